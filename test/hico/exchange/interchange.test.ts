/**
 * Checkpoints in and out: what `saveCheckpoint` writes and what the published implementation wrote becomes a run, its
 * sizes read off the tensors; the run becomes a checkpoint again, bit for bit; and its encoder as ONNX computes, in ONNX
 * Runtime, what it computes here.
 */
import { after, describe, test } from "node:test";
import type { TestContext } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BatchMaker } from "../../../src/data/batches/inputs.ts";
import type { EvaluationBatch } from "../../../src/data/batches/inputs.ts";
import { ClipStore } from "../../../src/data/store/store.ts";
import { device } from "../../../src/device/index.ts";
import {
  embed,
  HiCo,
  HiCoNetwork,
  HiCoTrainer,
  inputSettings,
  loadCheckpoint,
  resolveSettings,
  RunFolder,
  saveCheckpoint,
} from "../../../src/hico/index.ts";
import type { EncoderName } from "../../../src/hico/index.ts";
import { exportRun } from "../../../src/hico/exchange/export.ts";
import { openRun } from "../../../src/hico/run/open-run.ts";
import { importCheckpoint } from "../../../src/hico/exchange/import.ts";
import type { HostTensor } from "../../../src/io/index.ts";
import {
  hostTensor,
  readNpy,
  readSafetensors,
  readTorchCheckpoint,
  stateDictOf,
  writeTorchCheckpoint,
} from "../../../src/io/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { Generator } from "../../../src/tensor/random.ts";
import { temporaryFolder, tinyStore } from "../run/run-helpers.ts";

const computer = await device("cpu");
setDefaultDevice(computer);
const folder = temporaryFolder();
after(() => {
  setDefaultDevice(undefined);
  computer.close();
  rmSync(folder, { recursive: true });
});
const at = (name: string): string => join(folder, name);
const store = await tinyStore(folder);

const FRAMES = 16;
const SIZES = {
  hidden: 16,
  layers: 2,
  granularity: 3,
  projection: 4,
  queue: 12,
  temporalInput: 150,
  spatialInput: FRAMES * 3,
} as const;

/** A checkpoint after one step, so that no bias and no momentum is zero. */
async function writtenCheckpoint(encoder: EncoderName): Promise<string> {
  const generator = new Generator(5);
  const trainer = new HiCoTrainer(new HiCo({ ...SIZES, encoder, heads: 2, generator }), { lr: 0.05 });
  const views = (): [ReturnType<Generator["normal"]>, ReturnType<Generator["normal"]>] => [
    generator.normal([3, FRAMES, 150]),
    generator.normal([3, 50, FRAMES * 3]),
  ];
  const [[queryTemporal, querySpatial], [keyTemporal, keySpatial]] = [views(), views()];
  await trainer.step({ queryTemporal, querySpatial, keyTemporal, keySpatial });
  const path = at(`${encoder}.pth.tar`);
  await saveCheckpoint(path, trainer, 5);
  return path;
}

/** Features of clips, in batches of these sizes, here and by the run's encoder in ONNX Runtime. */
async function compareWithOnnx(
  context: TestContext,
  run: string,
  data: string,
  batches: readonly number[],
): Promise<void> {
  const runtime = await import("onnxruntime-web").catch(() => undefined);
  if (!runtime) return context.diagnostic("onnxruntime-web cannot be loaded here: not compared");
  const { InferenceSession, Tensor } = runtime;
  const file = at("encoder.onnx");
  const { temporal, spatial, width } = await exportRun({ run, out: file });
  await embed({ run, data, out: at("features.npy") });
  const { data: features } = readNpy(at("features.npy")) as { data: Float32Array };
  const session = await InferenceSession.create(readFileSync(file), { logSeverityLevel: 3, intraOpNumThreads: 1 });
  const clips = ClipStore.open(data);
  let [difference, largest, first] = [0, 0, 0];
  for (const batch of batches) {
    const numbers = Array.from({ length: batch }, (_, i) => first + i);
    const plan = {
      kind: "evaluation",
      clips: numbers,
      batch,
      inputs: inputSettings(new RunFolder(run).settings()),
    } as const;
    const inputs = new BatchMaker(clips, plan).make(0) as EvaluationBatch;
    const results = await session.run({
      temporal: new Tensor("float32", inputs.temporal, [batch, ...temporal]),
      spatial: new Tensor("float32", inputs.spatial, [batch, ...spatial]),
    });
    assert.deepEqual(results.features.dims, [batch, width]);
    (results.features.data as Float32Array).forEach((value, i) => {
      const expected = features[first * width + i];
      difference = Math.max(difference, Math.abs(value - expected));
      largest = Math.max(largest, Math.abs(expected));
    });
    first += batch;
  }
  await session.release();
  clips.close();
  context.diagnostic(`largest difference ${difference.toExponential(1)}, largest feature ${largest.toFixed(2)}`);
  assert.ok(largest > 0.1, `features of at most ${largest} tell nothing`);
  assert.ok(difference <= 1e-4, `${difference} apart, of ${largest}`);
}

const stateOf = (path: string): Map<string, HostTensor> => stateDictOf(readTorchCheckpoint(path));

describe("checkpoints that are written here", () => {
  for (const encoder of ["gru", "lstm", "transformer"] as const) {
    test(`${encoder}: imported by its shapes, exported as it was, the same in ONNX Runtime`, async (context) => {
      const file = await writtenCheckpoint(encoder);
      const run = at(`run-${encoder}`);
      const report = await importCheckpoint({ file, run, data: store, heads: 2 });
      const { checkpoint, run: _, ...found } = report;
      const heads = encoder === "transformer" ? 2 : undefined;
      assert.deepEqual(found, { ...SIZES, encoder, heads, epoch: 5, frames: FRAMES, tokens: 50, layout: "ntu25" });
      assert.ok(existsSync(checkpoint));
      assert.equal(new RunFolder(run).settings().lr, 0.05);

      const pth = at(`${encoder}-again.pth.tar`);
      assert.equal((await exportRun({ run, out: pth })).format, "pth");
      assert.deepEqual(stateOf(pth), stateOf(file));
      const trainer = new HiCoTrainer(new HiCo({ ...SIZES, encoder, heads: 2 }));
      assert.equal(loadCheckpoint(trainer, pth), 5);

      await exportRun({ run, out: at("network.safetensors") });
      const { tensors, metadata } = readSafetensors(at("network.safetensors"));
      assert.throws(
        () => openRun({ run, checkpoint: at("network.safetensors") }),
        /network\.safetensors is no checkpoint of a run: .*name one of a run's checkpoints\/, or .* as \.pth/,
      );
      // Where the run lies on this machine is not written into what is handed on.
      assert.equal(metadata.get("checkpoint"), `${basename(run)}/checkpoints/${basename(checkpoint)}`);
      new HiCoNetwork(trainer.model.config).loadStateDict(tensors);
      assert.deepEqual(tensors.get("clip_proj.0.weight"), stateOf(file).get("encoder_q.clip_proj.0.weight"));
      const { data: __, ...settings } = JSON.parse(metadata.get("settings")!) as Record<string, unknown>;
      assert.equal(resolveSettings({ from: "metadata", given: settings }).encoder, encoder);

      // Batches of several sizes through one file.
      await compareWithOnnx(context, run, store, [1, 20, 7]);
    });
  }

  test("what does not fit is named, and nothing is written", async () => {
    const file = await writtenCheckpoint("gru");
    const state = stateOf(file);
    const changed = async (
      name: string,
      change: (tensors: Map<string, HostTensor>) => void,
      expected: RegExp,
    ): Promise<void> => {
      const tensors = new Map(state);
      change(tensors);
      writeTorchCheckpoint(at(`${name}.pth`), Object.fromEntries(tensors));
      await assert.rejects(importCheckpoint({ file: at(`${name}.pth`), run: at("none"), data: store }), expected);
      assert.ok(!existsSync(at("none")));
    };
    const zeros = (...shape: number[]): HostTensor =>
      hostTensor("f32", shape, new Float32Array(shape.reduce((a, b) => a * b)));
    await changed(
      "lost",
      (t) => t.delete("encoder_k.part_proj.2.bias"),
      /missing \(1\): "encoder_k\.part_proj\.2\.bias"$/,
    );
    await changed("queueless", (t) => t.delete("t_queue"), /queueless\.pth: there is no tensor "t_queue"/);
    await changed(
      "more",
      (t) => t.set("encoder_q.classifier.weight", zeros(2, 2)),
      /unexpected \(1\): "encoder_q\.classifier\.weight"$/,
    );
    await changed(
      "wide",
      (t) => t.set("encoder_q.hi_encoder.s_encoder.weight_ih_l1", zeros(24, 8)),
      /"encoder_q\.hi_encoder\.s_encoder\.weight_ih_l1": has shape \[24, 8\], the model \[24, 16\]/,
    );
    await changed(
      "gates",
      (t) => t.set("encoder_q.hi_encoder.t_encoder.weight_hh_l0", zeros(16, 8)),
      /weight_hh_l0" has shape \[16, 8\]: neither 3 gates \(GRU\) nor 4 \(LSTM\)/,
    );
    await changed(
      "odd",
      (t) => t.set("encoder_q.td_proj.0.weight", zeros(16, 40)),
      /takes 40 features, no multiple of the width 16/,
    );
    await changed(
      "joints",
      (t) => {
        t.set("encoder_q.hi_encoder.t_embedding.0.weight", zeros(16, 60));
      },
      /takes 20 joints a frame \(persons × joints\); .*tiny\.clips has 2 × 25 of layout "ntu25"/,
    );
    await changed(
      "nan",
      (t) => t.set("i_queue", hostTensor("f32", [4, 12], new Float32Array(48).fill(NaN))),
      /"model\/i_queue" holds NaN/,
    );
    await importCheckpoint({ file, run: at("once"), data: store });
    await assert.rejects(
      importCheckpoint({ file, run: at("once"), data: store, stream: "bone" }),
      /once already holds a run; name another folder/,
    );
    await assert.rejects(
      exportRun({ run: at("once"), out: at("model.bin") }),
      /names no format; use \.safetensors, \.pth or \.onnx/,
    );
  });

  test("an import that ended and one that was killed in between go on: six runs stay as they are", async () => {
    const file = await writtenCheckpoint("gru");
    for (let i = 0; i < 6; i++) {
      const run = at(`kept-${i}`);
      const report = await importCheckpoint({ file, run, data: store });
      const left = (): string[] =>
        readdirSync(run, { recursive: true, encoding: "utf8" })
          .sort()
          .map((name) => `${name} ${statSync(join(run, name)).ino}`);
      const before = left();
      if (i % 2 === 0) {
        assert.deepEqual(await importCheckpoint({ file, run, data: store }), report);
        assert.deepEqual(left(), before, "nothing is written again");
      } else {
        // Killed before its last file.
        const bytes = readFileSync(report.checkpoint);
        rmSync(join(run, "hico.config.json"));
        assert.deepEqual(await importCheckpoint({ file, run, data: store }), report);
        assert.ok(readFileSync(report.checkpoint).equals(bytes));
        assert.equal(left().length, before.length);
      }
    }
  });

  test("names with the prefix of torch.nn.DataParallel are the same checkpoint", async () => {
    const state = stateOf(await writtenCheckpoint("lstm"));
    writeTorchCheckpoint(at("parallel.pth"), {
      state_dict: Object.fromEntries([...state].map(([name, value]) => [`module.${name}`, value])),
    });
    const { epoch } = await importCheckpoint({ file: at("parallel.pth"), run: at("parallel"), data: store });
    assert.equal(epoch, undefined);
    await exportRun({ run: at("parallel"), out: at("parallel-again.pth") });
    assert.deepEqual(stateOf(at("parallel-again.pth")), state);
  });
});

describe("checkpoints that the published implementation wrote", () => {
  for (const encoder of ["gru", "lstm", "transformer"] as const) {
    test(`${encoder}: imported, exported bit for bit, the same in ONNX Runtime`, async (context) => {
      const file = fileURLToPath(new URL(`../../../../shared/golden/hico_${encoder}.pth.tar`, import.meta.url));
      if (!existsSync(file)) return context.skip(`${file} is absent`);
      const run = at(`golden-${encoder}`);
      const { checkpoint: _, run: __, ...found } = await importCheckpoint({ file, run, data: store });
      assert.deepEqual(found, {
        ...{
          encoder,
          hidden: 32,
          layers: 1,
          granularity: 4,
          projection: 16,
          queue: 64,
          temporalInput: 150,
          spatialInput: 192,
        },
        ...{ heads: encoder === "transformer" ? 4 : undefined, epoch: 7, frames: 64, tokens: 50, layout: "ntu25" },
      });
      await exportRun({ run, out: at("golden.pth.tar") });
      assert.deepEqual(stateOf(at("golden.pth.tar")), stateOf(file));
      await compareWithOnnx(context, run, store, [28]);
    });
  }
});
