/** A whole training: parts in their order, resumed bits, early ends, guards, and what is written. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import {
  AdamW,
  BatchNorm1d,
  crossEntropy,
  Dropout,
  GradScaler,
  Linear,
  PlateauSchedule,
  Sequential,
} from "../../src/nn/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { Generator, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import {
  accuracy,
  DataLoader,
  evaluator,
  fit,
  MemoryStore,
  NonFiniteError,
  readTensorBoard,
  TensorDataset,
} from "../../src/train/index.ts";
import type { EpochReport, FitOptions, FitReport, StepReport } from "../../src/train/index.ts";

const device = await CpuDevice.open({ threads: 1 });
setDefaultDevice(device);
after(() => device.close());

const folder = mkdtempSync(join(tmpdir(), "hico-fit-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const random = new Generator(7);
const points = await random.normal([64, 3]).read();
const labels = Int32Array.from({ length: 64 }, (_, i) => (points[3 * i]! * points[3 * i + 1]! > 0 ? 1 : 0));
const data = new TensorDataset(tensor(points, { shape: [64, 3] }), labels);

type Batch = readonly [Tensor, Tensor];

/** A small training with everything that has a state: dropout, running statistics, Adam, a plateau, a shuffle. */
function training(more: Partial<FitOptions<Batch>> = {}) {
  const first = new Generator(1);
  const noise = new Generator(2);
  const model = new Sequential(
    new Linear(3, 16, { generator: first }),
    new BatchNorm1d(16),
    new Dropout(0.2, noise),
    (x) => x.relu(),
    new Linear(16, 2, { generator: first }),
  );
  const batches = new DataLoader(data, {
    batchSize: 10,
    shuffle: true,
    seed: 5,
    dropLast: true,
  }) as unknown as DataLoader<Batch>;
  const measure = (x: Tensor, y: Tensor) => {
    const logits = model.forward(x);
    return { loss: crossEntropy(logits, y), accuracy: accuracy(logits, y) };
  };
  const held = new DataLoader(data, { batchSize: 24 }) as unknown as DataLoader<Batch>;
  const options: FitOptions<Batch> = {
    ...{ model, optimizer: new AdamW(model.parameters(), { lr: 0.02 }), batches, loss: measure, epochs: 4 },
    ...{ schedule: new PlateauSchedule(0.02, { patience: 0, factor: 0.5, threshold: 0.2 }), state: { noise } },
    ...{ evaluate: evaluator(model, held, measure), clipGradNorm: 1, ...more },
  };
  const bits = async (): Promise<number[]> => {
    const found: number[] = [];
    for (const v of model.stateDict().values()) found.push(...(await v.read()));
    return found;
  };
  return { options, bits, run: (): Promise<FitReport> => fit(options), held, measure };
}

describe("fit", () => {
  test("trains, measures every epoch, and tells what is best", async () => {
    const steps: StepReport[] = [];
    const epochs: EpochReport[] = [];
    const { run, held, measure, options } = training({
      ...{ onStep: (report) => steps.push(report), onEpoch: (report) => epochs.push(report), epochs: 12, readEvery: 4 },
    });
    const report = await run();
    assert.deepEqual([report.ended, report.step, report.epochs.length, report.resumedAt], ["done", 72, 12, 0]);
    assert.deepEqual(report.epochs, epochs);
    assert.ok(epochs.at(-1)!.train.loss! < epochs[0].train.loss! / 1.2);
    assert.deepEqual(Object.keys(epochs[0].train), ["loss", "accuracy", "gradNorm"]);
    // Measures are read before the end of every epoch.
    const told = steps.map((one) => [one.step, one.epoch].join());
    for (let epoch = 1; epoch <= 12; epoch++) assert.ok(told.includes(`${6 * epoch},${epoch}`), told.join(" "));
    assert.equal(report.best!.evaluation!.loss, Math.min(...epochs.map((one) => one.evaluation!.loss!)));
    // Once more from its parts: the same numbers, with dropout off, whatever the size of batches.
    const again = await evaluator(options.model, held, measure)();
    assert.ok(Math.abs(again.loss - epochs.at(-1)!.evaluation!.loss!) < 1e-12);
    const byHand = await evaluator(
      options.model,
      new DataLoader(data, { batchSize: 64 }) as unknown as DataLoader<Batch>,
      measure,
    )();
    assert.ok(Math.abs(again.loss - byHand.loss) < 1e-6 && Math.abs(again.accuracy - byHand.accuracy) < 1e-6);
    assert.equal(options.model.training, true);
  });

  test("ended by its signal in the middle of an epoch and resumed elsewhere, it has the bits of one that was not", async () => {
    const whole = training();
    const wanted = await whole.run();
    const store = new MemoryStore();
    for (const at of [3, 9, 12, 14]) {
      const controller = new AbortController();
      const report = await training({
        ...{ checkpoints: store, saveEvery: 2, resume: true, signal: controller.signal, readEvery: 1 },
        onStep: ({ step }) => void (step >= at && controller.abort()),
      }).run();
      assert.equal(report.ended, "aborted");
    }
    const last = training({ checkpoints: store, resume: true });
    const report = await last.run();
    assert.ok(report.resumedAt >= 14 && report.resumedAt < 24, String(report.resumedAt));
    assert.deepEqual(report.epochs, wanted.epochs);
    assert.deepEqual(await last.bits(), await whole.bits());
    // What is done stays as it is.
    const done = training({ checkpoints: store, resume: true });
    assert.deepEqual([(await done.run()).step, await done.bits()], [24, await whole.bits()]);
    await assert.rejects(training({ checkpoints: store }).run(), /go on from it with resume: true/);
  });

  test("a scaler is part of what is resumed", async () => {
    const scaler = (): GradScaler => new GradScaler({ initScale: 4, growthInterval: 5 });
    const [own, store] = [scaler(), new MemoryStore()];
    const whole = training({ scaler: own });
    await whole.run();
    const controller = new AbortController();
    const stop = ({ step }: StepReport): void => void (step >= 8 && controller.abort());
    const options = { checkpoints: store, saveEvery: 1, resume: true, readEvery: 1 };
    await training({ ...options, scaler: scaler(), signal: controller.signal, onStep: stop }).run();
    const other = scaler();
    const last = training({ ...options, scaler: other });
    assert.ok((await last.run()).resumedAt >= 8);
    assert.deepEqual(await last.bits(), await whole.bits());
    assert.deepEqual([await other.getScale(), await own.getScale()], [4 * 2 ** 4, 4 * 2 ** 4]);
  });

  test("ends early, and gives the weights of the best epoch back", async () => {
    const losses = [0.5, 0.3, 0.4, 0.35, 0.2];
    const kept: number[][] = [];
    const { run, bits } = training({
      ...{ evaluate: async () => ({ loss: losses[kept.push(await bits()) - 1]! }), epochs: 9 },
      ...{ earlyStopping: { patience: 1 }, restoreBest: true },
    });
    const report = await run();
    assert.deepEqual([report.ended, report.epochs.length, report.best!.epoch], ["early", 4, 2]);
    assert.deepEqual(await bits(), kept[1]);
    const unknown = training({ monitor: "accurracy" });
    await assert.rejects(unknown.run(), /monitor is "accurracy", which is not measured; there are loss, accuracy/);
  });

  test("names the parameter whose gradient is not finite, the step and the last checkpoint", async () => {
    const spoilt = training({ clipGradNorm: undefined, readEvery: 3, checkpoints: new MemoryStore(), saveEvery: 4 });
    const { model } = spoilt.options;
    const loss = (x: Tensor, y: Tensor): Tensor => {
      const logits = (model as Sequential).forward(x);
      // A square root of 0 has an infinite slope, which times 0 is NaN; the loss itself is finite.
      const weight = model.stateDict().get("4.bias")!;
      return crossEntropy(logits, y).add(weight.mul(0).sqrt().sum());
    };
    await assert.rejects(fit({ ...spoilt.options, loss }), (error) => {
      assert.ok(error instanceof NonFiniteError);
      assert.deepEqual([error.step, error.what], [1, 'the squared norm of the gradient of "4.bias"']);
      return true;
    });
    const rest = { evaluate: undefined, schedule: undefined, epochs: 1, clipGradNorm: undefined };
    const late = training();
    let told = 0;
    const spoilLate = {
      ...{ ...late.options, ...rest, readEvery: 1, saveEvery: 2, checkpoints: new MemoryStore() },
      // The rate reaches the compiled step: from step 4 on it leaves no number finite.
      schedule: (step: number) => (step >= 3 ? Infinity : 0.01),
      onStep: () => void told++,
    };
    await assert.rejects(fit(spoilLate), /"model\/0\.weight" is .* at step 4.*last good checkpoint is step-00000002/s);
    assert.equal(told, 4);
    const loose = training();
    await fit({
      ...loose.options,
      ...rest,
      guard: false,
      loss: (x, y) => (loose.options.model as Sequential).forward(x).mul(NaN).sum().add(y.sum()),
    });
    await assert.rejects(fit({ ...training().options, loss }), /no parameter of the optimizer gets a gradient/);
  });

  test("takes any iterable of batches, and a rate by step or epoch", async () => {
    const rates: number[] = [];
    const { options } = training();
    const batches = (epoch: number): Iterable<Batch> =>
      [0, 1, 2]
        .slice(0, epoch + 2)
        .map((i) => [
          tensor(points.slice(30 * i, 30 * i + 30), { shape: [10, 3] }),
          tensor(labels.slice(10 * i, 10 * i + 10)),
        ]);
    const schedule = (at: number): number => 0.01 * Math.sign(rates.push(at));
    const report = await fit({ ...options, batches, schedule, scheduleBy: "epoch", epochs: 2 });
    assert.deepEqual([report.step, rates], [5, [0, 0, 1, 1, 1]]);
    await assert.rejects(
      fit({ ...options, batches: new DataLoader(data, { batchSize: 65, dropLast: true }) as never }),
      /no batch in an epoch/,
    );
    await assert.rejects(fit({ ...options, epoch: 3 } as never), /no option "epoch"; did you mean "epochs"/);
  });

  test("writes scalars for TensorBoard and checkpoints into folders", async () => {
    const run = join(folder, "run");
    const lines: string[] = [];
    await training({
      checkpoints: run,
      tensorBoard: run,
      epochs: 3,
      readEvery: 3,
      log: (line) => lines.push(line),
    }).run();
    const files = readdirSync(run).sort();
    assert.deepEqual(
      files.filter((name) => name.endsWith("safetensors")),
      ["best.safetensors", "step-00000012.safetensors", "step-00000018.safetensors"],
    );
    // A process that is killed after it wrote a checkpoint leaves the oldest one to the next.
    copyFileSync(join(run, "step-00000018.safetensors"), join(run, "step-00000006.safetensors"));
    await training({ checkpoints: run, epochs: 3, resume: true }).run();
    assert.ok(!readdirSync(run).includes("step-00000006.safetensors"));
    const events = readTensorBoard(join(run, files.find((name) => name.startsWith("events"))!));
    const tags = new Set(events.flatMap(({ scalars }) => Object.keys(scalars ?? {})));
    for (const tag of ["train/loss", "train/learning-rate", "epoch/accuracy", "evaluation/loss"])
      assert.ok(tags.has(tag), tag);
    assert.match(lines[0], /^step 3\/18/);
    assert.match(lines.find((line) => line.startsWith("epoch"))!, /^epoch 1\/3, loss .*, evaluation accuracy /);
  });
});
