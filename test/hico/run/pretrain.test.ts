/** Pretraining runs: what they leave behind, and that interruption, resumption and errors are what they should be. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import type { PretrainEvent, PretrainReport, RunSettings } from "../../../src/hico/index.ts";
import { NonFiniteError, openRun, pretrain, RunFolder } from "../../../src/hico/index.ts";
import { chanceWarning } from "../../../src/hico/run/chance.ts";
import { readSafetensors } from "../../../src/io/index.ts";
import { readTensorBoard } from "../../../src/io/protobuf/tensorboard.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { checkpointContents, flips, storeContents } from "../../../scripts/flips.ts";
import { temporaryFolder, tinySettings, tinyStore } from "./run-helpers.ts";

const folder = temporaryFolder();
let data: string;
let device: CpuDevice;
let next = 0;

before(async () => {
  device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  data = await tinyStore(folder);
});
after(() => {
  device.close();
  rmSync(folder, { recursive: true });
});

function run(settings: RunSettings, more: Partial<Parameters<typeof pretrain>[0]> = {}): Promise<PretrainReport> {
  return pretrain({ settings, run: join(folder, `run${next++}`), ...more });
}

/** Runs until `steps` steps are done, and stops as Ctrl-C does. */
async function interrupted(settings: RunSettings, steps: number, path: string): Promise<PretrainReport> {
  const controller = new AbortController();
  const onEvent = (event: PretrainEvent): void => {
    if (event.kind === "losses" && event.step >= steps) controller.abort();
  };
  return run({ ...settings, logEvery: 1 }, { run: path, signal: controller.signal, resume: true, onEvent });
}

function metricsOf(path: string): Record<string, unknown>[] {
  return readFileSync(join(path, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("a run", () => {
  test("leaves its settings, metrics, TensorBoard file, checkpoints and report", async () => {
    const events: PretrainEvent[] = [];
    const report = await run(tinySettings(data), { onEvent: (event) => events.push(event) });
    assert.deepEqual([report.finished, report.step, report.steps], [true, 9, 9]);
    const runFolder = new RunFolder(report.run);
    assert.deepEqual(runFolder.settings(), { ...tinySettings(data) });
    assert.deepEqual(
      runFolder.checkpoints().map(({ step }) => step),
      [9, 6],
    );
    assert.equal(report.checkpoint, runFolder.checkpoint());
    assert.ok(existsSync(runFolder.bestPath));
    const lines = metricsOf(report.run);
    assert.deepEqual(
      lines.filter(({ kind }) => kind === "epoch").map(({ step }) => step),
      [3, 6, 9],
    );
    assert.deepEqual(
      lines.filter(({ kind }) => kind === "step").map(({ step }) => step),
      [2, 4, 6, 8],
    );
    for (const { loss, parts } of lines as { loss: number; parts: Record<string, number> }[]) {
      const sum = Object.values(parts).reduce((a, b) => a + b);
      assert.ok(Math.abs(sum - loss) < 1e-6 * Math.abs(loss), "the loss is the sum of its parts");
    }
    const [file] = readdirSync(report.run).filter((name) => name.startsWith("events"));
    const scalars = readTensorBoard(join(report.run, file)).filter((event) => event.scalars);
    assert.deepEqual(
      scalars.filter(({ scalars: s }) => "epoch/loss" in s!).map(({ step }) => step),
      [3, 6, 9],
    );
    assert.equal(events.filter(({ kind }) => kind === "checkpoint").length, 3);
    assert.deepEqual(
      JSON.parse(readFileSync(join(report.run, "pretrain.json"), "utf8")),
      JSON.parse(JSON.stringify(report)),
    );
  });

  test("does not depend on the number of loader threads", async () => {
    const [own, threads] = [await run(tinySettings(data)), await run(tinySettings(data, { workers: 2, prefetch: 3 }))];
    const [a, b] = [own, threads].map(({ checkpoint }) => readSafetensors(checkpoint).tensors);
    for (const [name, { data: values }] of a) assert.deepEqual(b.get(name)!.data, values, name);
    assert.notEqual(own.run, threads.run);
  });

  test("learns: the loss of a longer run falls", async () => {
    const report = await run(tinySettings(data, { epochs: 12, lr: 0.1, queue: 4, saveEvery: 12 }));
    const losses = metricsOf(report.run)
      .filter(({ kind }) => kind === "epoch")
      .map(({ loss }) => loss as number);
    const mean = (list: number[]): number => list.reduce((a, b) => a + b) / list.length;
    assert.ok(mean(losses.slice(-4)) < mean(losses.slice(0, 4)), losses.join(" "));
  });
});

describe("an interrupted run", () => {
  for (const encoder of ["gru", "lstm", "transformer"]) {
    test(`of the ${encoder} goes on where it stopped, in the middle of an epoch too`, async () => {
      const settings = tinySettings(data, { encoder, dropout: 0.3 });
      const whole = await run(settings);
      const path = join(folder, `interrupted-${encoder}`);
      for (const steps of [1, 5]) {
        const part = await interrupted(settings, steps, path);
        assert.deepEqual([part.finished, part.step], [false, steps]);
      }
      const resumed = await run(settings, { run: path, resume: true });
      assert.deepEqual([resumed.finished, resumed.step], [true, 9]);
      const [expected, found] = [whole, resumed].map(({ checkpoint }) => readFileSync(checkpoint));
      assert.ok(found.equals(expected), "the last checkpoints are equal, byte for byte");
      const [a, b] = [whole, resumed].map((report) =>
        metricsOf(report.run).map(({ kind, step, loss, parts, accuracy }) => ({ kind, step, loss, parts, accuracy })),
      );
      assert.deepEqual(
        b.filter(({ kind }) => kind === "epoch"),
        a.filter(({ kind }) => kind === "epoch"),
      );
    });
  }

  test("is not begun anew, nor resumed with other settings", async () => {
    const path = join(folder, "begun");
    await interrupted(tinySettings(data), 1, path);
    await assert.rejects(run(tinySettings(data), { run: path }), /already holds a run; resume it/);
    await assert.rejects(
      run(tinySettings(data, { lr: 0.5, hidden: 10 }), { run: path, resume: true }),
      /other settings: hidden, lr/,
    );
  });

  test("drops what a killed process had written after its last checkpoint", async () => {
    const settings = tinySettings(data);
    const path = join(folder, "killed");
    await interrupted(settings, 4, path);
    writeFileSync(join(path, "metrics.jsonl"), `{"kind":"step","step":5,"loss":1}\n{"kind":"st`, { flag: "a" });
    writeFileSync(join(path, "checkpoints", ".step-00000005.safetensors.1.ab.tmp"), "half");
    await run(settings, { run: path, resume: true });
    assert.deepEqual(
      metricsOf(path)
        .filter(({ kind }) => kind === "epoch")
        .map(({ step }) => step),
      [3, 6, 9],
    );
    assert.ok(!readdirSync(join(path, "checkpoints")).some((name) => name.endsWith(".tmp")));
  });
});

test("a run without some levels of contrast resumes with the same bits, and its losses of those levels are 0", async () => {
  const settings = tinySettings(data, { contrast: "part,domain" });
  const path = join(folder, "levels");
  await interrupted(settings, 4, path);
  const [whole, resumed] = [await run(settings), await run(settings, { run: path, resume: true })];
  assert.ok(readFileSync(resumed.checkpoint).equals(readFileSync(whole.checkpoint)));
  assert.deepEqual([whole.parts.clip, whole.parts.instance], [0, 0]);
  assert.ok(whole.parts.part > 0 && whole.parts.temporal > 0 && whole.parts.spatial > 0);
});

describe("what stops a run", () => {
  test("a loss that is not finite is named by step and level, and the checkpoint before it is kept", async () => {
    const settings = tinySettings(data, { epochs: 40, lr: 1e6, momentum: 0, saveEvery: 1, temperature: 1e-6 });
    const error = await run(settings).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof NonFiniteError, String(error));
    assert.match(
      error.message,
      /(the (clip|part|temporal|spatial|instance|total) loss|model\/\S+) is (NaN|-?Infinity) at step \d+: training st/,
    );
    const path = join(folder, `run${next - 1}`);
    const saved = new RunFolder(path).checkpoints();
    assert.equal(saved[0]?.path, error.checkpoint);
    for (const { step, path: file } of saved) {
      assert.ok(step < error.step);
      for (const { data: values } of readSafetensors(file).tensors.values())
        for (const value of values) assert.ok(Number.isFinite(Number(value)));
    }
  });

  test("no data, too large a batch, an unknown subject", async () => {
    await assert.rejects(run(tinySettings("")), /no data is named/);
    await assert.rejects(run(tinySettings(join(folder, "absent.clips"))), /absent\.clips: unreadable/);
    await assert.rejects(run(tinySettings(data, { batch: 16 })), /14 training clips do not fill a batch of 16/);
    await assert.rejects(run(tinySettings(data, { holdOut: [9] })), /no training clip of subject 9; there are 1$/);
  });

  test("a damaged clip is named", async () => {
    const damaged = join(folder, "damaged.clips");
    const bytes = readFileSync(data);
    bytes[1000] ^= 255;
    writeFileSync(damaged, bytes);
    for (const workers of [0, 1]) {
      await assert.rejects(run(tinySettings(damaged, { workers, epochs: 2 })), /damaged: its checksum does not match/);
    }
  });
});

describe("damaged checkpoints", () => {
  test("the last one names the one before it, and the run goes on from there when told to, with the same bits", async () => {
    const settings = tinySettings(data);
    const whole = await run(settings);
    const path = join(folder, "flipped");
    await interrupted(settings, 7, path);
    const [last, before] = new RunFolder(path).checkpoints();
    const bytes = readFileSync(last.path);
    bytes[bytes.length - 100] ^= 1;
    writeFileSync(last.path, bytes);
    const words = `${last.path} is damaged: its checksum does not match; the one before it is ${before.path}`;
    const told = (error: Error): boolean => error.message.includes(words);
    await assert.rejects(run(settings, { run: path, resume: true }), (error: Error) => {
      assert.match(error.message, /--resume --skip-damaged goes on from there/);
      return told(error);
    });
    assert.throws(() => openRun({ run: path }), told);
    const resumed = await run(settings, { run: path, resume: true, skipDamaged: true });
    assert.ok(readFileSync(resumed.checkpoint).equals(readFileSync(whole.checkpoint)));
    assert.ok(existsSync(`${last.path}.damaged`));
  });

  test("what was killed before it removed the oldest one leaves it to the next start, also at the end of the run", async () => {
    const settings = tinySettings(data, { keep: 1 });
    const path = join(folder, "unpruned");
    const { step, checkpoint } = await run(settings, { run: path });
    const older = new RunFolder(path).checkpointPath(step - 1);
    copyFileSync(checkpoint, older);
    await run(settings, { run: path, resume: true });
    assert.deepEqual(
      new RunFolder(path).checkpoints().map(({ step }) => step),
      [step],
    );
  });

  test("what a stop asked for between two epochs goes with the next, so that the same are left as without it", async () => {
    const settings = tinySettings(data, { epochs: 2 });
    const path = join(folder, "stopped");
    const steps = (): number[] => new RunFolder(path).checkpoints().map(({ step }) => step);
    await interrupted(settings, 4, path);
    assert.deepEqual(steps(), [4, 3]);
    await interrupted(settings, 5, path);
    assert.deepEqual(steps(), [5, 3]);
    await run(settings, { run: path, resume: true });
    assert.deepEqual(steps(), [6, 3]);
  });

  test("where none is whole, nothing is begun anew over it", async () => {
    const path = join(folder, "lost");
    await interrupted(tinySettings(data, { keep: 1 }), 4, path);
    for (const { path: file } of new RunFolder(path).checkpoints()) writeFileSync(file, "nothing");
    const settings = tinySettings(data, { keep: 1 });
    await assert.rejects(run(settings, { run: path, resume: true, skipDamaged: true }), /is damaged: .*none before it/);
  });
});

test("a flipped byte anywhere in a store or a checkpoint is found, or harmless", async () => {
  const { checkpoint } = await run(tinySettings(data, { epochs: 1 }));
  for (const [path, contents] of [
    [data, storeContents],
    [checkpoint, checkpointContents],
  ] as const) {
    const { found, harmless, changed } = flips(readFileSync(path), contents, 60, 7);
    assert.deepEqual([found + harmless, changed], [60, []]);
    assert.ok(found > 50);
  }
});

test("more epochs extend a run that has ended; the rate falls when it was to fall", async () => {
  const path = join(folder, "longer");
  const short = tinySettings(data, { epochs: 2 });
  await run(short, { run: path });
  const resumed = await run({ ...short, epochs: 3 }, { run: path, resume: true });
  assert.deepEqual([resumed.step, new RunFolder(path).settings().drops], [9, [2]]);
  const whole = await run(tinySettings(data, { epochs: 3, drops: [2] }));
  assert.ok(readFileSync(resumed.checkpoint).equals(readFileSync(whole.checkpoint)));
  await assert.rejects(run({ ...short, epochs: 2 }, { run: path, resume: true }), /epochs.*may grow/);
});

test("accuracy at chance is a warning that names its likely cause", async () => {
  const slow = tinySettings(data, { keyMomentum: 0.9999, lr: 1e-9, queue: 64 });
  const { accuracy, warnings } = await run(slow);
  assert.deepEqual(
    warnings,
    [chanceWarning(slow, accuracy, 9, 3)].filter((words) => words !== undefined),
  );
  const settings = tinySettings(data, { keyMomentum: 0.999, queue: 64 });
  assert.match(chanceWarning(settings, 0.016, 100, 5)!, /guessing gives 1\.5 %.*key momentum of 0\.999 hardly moves/);
  assert.match(chanceWarning({ ...settings, keyMomentum: 0.9 }, 0.016, 100, 5)!, /rate may be too high/);
  assert.equal(chanceWarning(settings, 0.3, 100, 5), undefined);
});

test("a run is begun anew over another only by force, and nothing of the other is left", async () => {
  const path = join(folder, "forced");
  await run(tinySettings(data), { run: path });
  new RunFolder(path).writeEvaluation("knn", {});
  writeFileSync(join(path, "notes.txt"), "mine");
  await run(tinySettings(data, { epochs: 1, seed: 9 }), { run: path, force: true });
  const there = new RunFolder(path);
  assert.deepEqual([there.settings().seed, there.checkpoints().length, there.evaluations()], [9, 1, []]);
  assert.equal(readFileSync(join(path, "notes.txt"), "utf8"), "mine");
  assert.equal(metricsOf(path).filter(({ kind }) => kind === "epoch").length, 1);
  await assert.rejects(run(tinySettings(data), { run: path, force: true, resume: true }), /give one of them/);
});
