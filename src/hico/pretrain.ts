/**
 * A pretraining run: from settings and a clip store to checkpoints, metrics and TensorBoard files in a folder.
 *
 * The device computes a step while worker threads make the next batches; losses stay on the device and are read a few
 * steps at a time. A run that was interrupted, or killed, goes on from its last checkpoint with the same bits: batches
 * follow from the seed and the step, and the checkpoint holds the rest.
 */
import { availableParallelism } from "node:os";
import { batchesOf, inputShape } from "../data/inputs.ts";
import type { PretrainBatch } from "../data/inputs.ts";
import { defaultWorkers, Loader } from "../data/loader.ts";
import { ClipStore } from "../data/store.ts";
import { TensorBoardWriter } from "../io/tensorboard.ts";
import type { Schedule } from "../nn/schedules.ts";
import { cosineSchedule, stepSchedule, warmUp } from "../nn/schedules.ts";
import { defaultDevice } from "../tensor/backend.ts";
import { compile } from "../tensor/compile.ts";
import { tensor } from "../tensor/create.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { concat } from "../tensor/tensor.ts";
import { clipsOf } from "./clips.ts";
import type { LossPart } from "./loss.ts";
import { contrastiveAccuracy, LOSS_PARTS } from "./loss.ts";
import { MetricsLog, RunFolder, writeJson } from "./run-folder.ts";
import { modelFor } from "./run-model.ts";
import type { RunProgress } from "./run-state.ts";
import { loadRun, nonFiniteTensor, readRunState, writeRun } from "./run-state.ts";
import type { RunSettings } from "./settings.ts";
import { differingSettings, inputSettings } from "./settings.ts";
import { StepGenerator } from "./step-generator.ts";
import { HiCoTrainer } from "./trainer.ts";

/** What a step, or the mean over several, has: the sum of the five losses, each of them, contrastive accuracy. */
export interface Measures {
  readonly loss: number;
  readonly parts: Readonly<Record<LossPart, number>>;
  /** Share of instances whose key is nearer than every negative. */
  readonly accuracy: number;
}

export type PretrainEvent =
  | { readonly kind: "start"; readonly device: string; readonly clips: number; readonly steps: number; readonly perEpoch: number; readonly epochs: number; readonly resumedAt: number; readonly checkpoint?: string }
  /** After losses were read. `seconds` and what follows from it count from the end of this process's first step. */
  | ({ readonly kind: "losses"; readonly step: number; readonly epoch: number; readonly lr: number } & Measures & Pace)
  | ({ readonly kind: "epoch"; readonly step: number; readonly epoch: number; readonly lr: number } & Measures & Pace)
  | { readonly kind: "checkpoint"; readonly step: number; readonly path: string; readonly best: boolean };

export interface Pace {
  readonly seconds: number;
  readonly examplesPerSecond: number;
  readonly secondsLeft: number;
  /** Share of the time that steps waited for their batch. */
  readonly dataWait: number;
}

export interface PretrainOptions {
  readonly settings: RunSettings;
  /** The run's folder. */
  readonly run: string;
  /** Go on from what is in the folder. Default false: the folder must not hold a run. */
  readonly resume?: boolean;
  /** Stops after the step under way, and saves. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: PretrainEvent) => void;
}

export interface PretrainReport extends Measures, Pace {
  readonly run: string;
  readonly device: string;
  readonly finished: boolean;
  readonly step: number;
  readonly steps: number;
  readonly epochs: number;
  readonly checkpoint: string;
  readonly best?: { readonly loss: number; readonly step: number };
}

/** A loss, or a weight, that is no number any more. Nothing after the last good checkpoint was saved. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";

  constructor(readonly step: number, readonly what: string, readonly value: number, readonly checkpoint: string | undefined) {
    super(
      `${what} is ${value} at step ${step}: training stopped. ` +
        (checkpoint === undefined
          ? "There is no checkpoint before it; start again with a lower learning rate"
          : `The last good checkpoint is ${checkpoint}; start anew from a lower learning rate, or resume to reproduce this`),
    );
  }
}

/** Numbers read of a step: loss, five parts, accuracy. */
const MEASURED = 2 + LOSS_PARTS.length;

/** Runs, or goes on with, a pretraining run. */
export async function pretrain({ settings, run, resume = false, signal, onEvent }: PretrainOptions): Promise<PretrainReport> {
  const folder = new RunFolder(run);
  checkFolder(folder, settings, resume);
  const store = ClipStore.open(settings.data);
  const clips = clipsOf(store, "train", settings);
  const { layout } = store.header;
  store.close();
  const inputs = inputSettings(settings);
  const plan = { kind: "pretrain", clips, batch: settings.batch, inputs, seed: settings.seed } as const;
  const perEpoch = batchesOf(plan);
  if (perEpoch === 0) throw new Error(`${settings.data}: ${clips.length} training clips do not fill a batch of ${settings.batch}; use a smaller batch`);
  const steps = perEpoch * settings.epochs;

  const generator = new StepGenerator(settings.seed);
  const model = modelFor(settings, layout, generator);
  const trainer = new HiCoTrainer(model, { lr: settings.lr, momentum: settings.momentum, weightDecay: settings.weightDecay });
  folder.create();
  folder.writeSettings(settings);
  const [latest] = resume ? folder.checkpoints() : [];
  const begun: RunProgress = latest ? loadRun(latest.path, trainer) : { step: 0, sums: zeroSums() };
  if (resume) folder.rewindMetrics(begun.step);

  const device = await defaultDevice();
  onEvent?.({
    kind: "start", device: device.name, clips: clips.length, steps, perEpoch, epochs: settings.epochs, resumedAt: begun.step,
    checkpoint: latest?.path,
  });
  const step = compile((queryTemporal: Tensor, querySpatial: Tensor, keyTemporal: Tensor, keySpatial: Tensor) => {
    const { loss, parts, compared } = trainer.update({ queryTemporal, querySpatial, keyTemporal, keySpatial });
    return concat([loss.reshape([1]), parts, contrastiveAccuracy(compared.instance).reshape([1])]);
  });
  const { temporal, spatial } = inputShape(layout, inputs);
  const rate = rateOf(settings);
  const workers = settings.workers < 0 ? defaultWorkers(availableParallelism()) : settings.workers;
  const loader = new Loader<PretrainBatch>({ store: settings.data, plan }, { from: begun.step, until: steps, workers, prefetch: settings.prefetch });
  const metrics = new MetricsLog(folder.metricsPath);
  const board = new TensorBoardWriter(run, latest ? begun.step + 1 : undefined);

  let { step: done, best } = begun;
  let sums = [...begun.sums];
  let checkpoint = latest?.path;
  let last: number[] = meanOf(sums, Math.max(1, done % perEpoch));
  // Steps whose losses are still on the device, and where things stood after the first step, which also plans and compiles.
  let unread: { readonly step: number; readonly lr: number; readonly measured: Tensor }[] = [];
  let lastRead = performance.now();
  let clock: { readonly start: number; readonly waited: number; readonly step: number } | undefined;

  const pace = (): Pace => {
    const seconds = clock ? (performance.now() - clock.start) / 1000 : 0;
    const count = clock ? done - clock.step : 0;
    return {
      seconds,
      examplesPerSecond: seconds > 0 ? (count * settings.batch) / seconds : 0,
      secondsLeft: count > 0 ? (seconds / count) * (steps - done) : 0,
      dataWait: clock && seconds > 0 ? (loader.waited - clock.waited) / 1000 / seconds : 0,
    };
  };
  const readLosses = async (): Promise<void> => {
    const reading = unread;
    unread = [];
    lastRead = performance.now();
    for (const { step: at, lr, measured } of reading) {
      const values = [...await measured.read()];
      measured.dispose();
      const fault = values.findIndex((value) => !Number.isFinite(value));
      if (fault >= 0) throw nonFinite(at, values, checkpoint);
      if ((at - 1) % perEpoch === 0) sums = zeroSums();
      sums = sums.map((sum, i) => sum + values[i]);
      last = values;
      const epoch = Math.ceil(at / perEpoch);
      if (at % settings.logEvery === 0) {
        metrics.write({ kind: "step", step: at, epoch, lr, ...measuresOf(values), seconds: pace().seconds });
        board.scalars(at, { ...scalarsOf("step", values), "train/learning-rate": lr });
      }
      if (at % perEpoch === 0) {
        const mean = meanOf(sums, perEpoch);
        const now = pace();
        metrics.write({ kind: "epoch", step: at, epoch, lr, ...measuresOf(mean), ...now });
        board.scalars(at, { ...scalarsOf("epoch", mean), "speed/examples-per-second": now.examplesPerSecond, "speed/data-wait": now.dataWait });
        onEvent?.({ kind: "epoch", step: at, epoch, lr, ...measuresOf(mean), ...now });
      }
    }
    const [{ step: at, lr } = { step: done, lr: 0 }] = reading.slice(-1);
    if (reading.length > 0) onEvent?.({ kind: "losses", step: at, epoch: Math.ceil(at / perEpoch), lr, ...measuresOf(last), ...pace() });
  };
  const save = async (): Promise<void> => {
    await readLosses();
    metrics.sync();
    const epochLoss = done % perEpoch === 0 ? sums[0] / perEpoch : Infinity;
    const isBest = epochLoss < (best?.loss ?? Infinity);
    if (isBest) best = { loss: epochLoss, step: done };
    const progress = { step: done, sums, best };
    const state = await readRunState(trainer);
    // A last update can spoil weights after a loss that was finite.
    const spoilt = nonFiniteTensor(state);
    if (spoilt) throw new NonFiniteError(done, spoilt.name, spoilt.value, checkpoint);
    if (isBest) writeRun(folder.bestPath, state, progress, settings);
    const path = folder.checkpointPath(done);
    writeRun(path, state, progress, settings);
    checkpoint = path;
    folder.prune(settings.keep);
    onEvent?.({ kind: "checkpoint", step: done, path, best: isBest });
  };

  try {
    while (done < steps && !signal?.aborted) {
      // Lets arrived batches and Ctrl-C in, also where a step never waits for the event loop.
      await new Promise(setImmediate);
      const batch = (await loader.next())!;
      const lr = rate(done / perEpoch);
      trainer.optimizer.lr = lr;
      generator.begin(done + 1);
      const input = (data: Float32Array, [tokens, features]: readonly [number, number]): Tensor => (
        tensor(data, { shape: [batch.count, tokens, features] })
      );
      const measured = await step(
        input(batch.queryTemporal, temporal), input(batch.querySpatial, spatial),
        input(batch.keyTemporal, temporal), input(batch.keySpatial, spatial),
      );
      done++;
      unread.push({ step: done, lr, measured });
      if (!clock) {
        await device.synchronize();
        clock = { start: performance.now(), waited: loader.waited, step: done };
      }
      if (done % (perEpoch * settings.saveEvery) === 0 || done === steps) await save();
      else if (unread.length >= settings.logEvery || performance.now() - lastRead > 1000) await readLosses();
    }
    if (done < steps) await save();
    const report: PretrainReport = {
      run, device: device.name, finished: done === steps, step: done, steps, epochs: settings.epochs,
      ...measuresOf(done % perEpoch === 0 ? meanOf(sums, perEpoch) : last), ...pace(), checkpoint: checkpoint!, best,
    };
    writeJson(`${run}/pretrain.json`, report);
    return report;
  } finally {
    metrics.close();
    board.close();
    await loader.close();
  }
}

function checkFolder(folder: RunFolder, settings: RunSettings, resume: boolean): void {
  if (settings.data === "") throw new Error("no data is named; give the clip store that hico data prepare made");
  if (!folder.exists) return;
  if (!resume) throw new Error(`${folder.path} already holds a run; resume it, or name another folder`);
  const differing = differingSettings(folder.settings(), settings);
  if (differing.length === 0) return;
  throw new Error(`${folder.path} was begun with other settings: ${differing.join(", ")}; resume without them, or name another folder`);
}

/** The learning rate by epoch (a fraction of it during warm-up). */
function rateOf({ lr, schedule, drops, epochs, warmup }: RunSettings): Schedule {
  const milestones = drops.map((at) => (at < 1 ? Math.round(at * epochs) : at) - warmup);
  const after = schedule === "cosine" ? cosineSchedule(lr, Math.max(epochs - warmup, 1)) : stepSchedule(lr, milestones);
  const warmed = warmUp(warmup, after);
  return (at) => (at < warmup ? warmed(at) : warmed(Math.floor(at)));
}

function zeroSums(): number[] {
  return new Array<number>(MEASURED).fill(0);
}

function meanOf(sums: readonly number[], count: number): number[] {
  return sums.map((sum) => sum / count);
}

function measuresOf(values: readonly number[]): Measures {
  return {
    loss: values[0],
    parts: Object.fromEntries(LOSS_PARTS.map((name, i) => [name, values[1 + i]])) as Record<LossPart, number>,
    accuracy: values[MEASURED - 1],
  };
}

function scalarsOf(group: string, values: readonly number[]): Record<string, number> {
  const { loss, parts, accuracy } = measuresOf(values);
  const named = LOSS_PARTS.map((name) => [`${group}/loss-${name}`, parts[name]]);
  return { [`${group}/loss`]: loss, ...Object.fromEntries(named) as Record<string, number>, [`${group}/contrastive-accuracy`]: accuracy };
}

/** The error for measured values of which one is not finite: the level is the first of the five parts that is not. */
function nonFinite(step: number, values: readonly number[], checkpoint: string | undefined): NonFiniteError {
  const part = LOSS_PARTS.findIndex((_, i) => !Number.isFinite(values[1 + i]));
  const [level, value] = part >= 0 ? [LOSS_PARTS[part], values[1 + part]] : ["total", values[0]];
  return new NonFiniteError(step, `the ${level} loss`, value, checkpoint);
}
