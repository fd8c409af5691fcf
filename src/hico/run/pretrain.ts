/**
 * A pretraining run: from settings and a clip store to checkpoints, metrics and TensorBoard files in a folder.
 *
 * The device computes a step while worker threads make the next batches; losses stay on the device and are read a few
 * steps at a time. A run that was interrupted, or killed, goes on from its last checkpoint with the same bits: batches
 * and draws follow from the seed and the step, and the checkpoint holds the rest.
 */
import { availableParallelism } from "node:os";
import type { BatchPlan, InputShape, PretrainBatch } from "../../data/batches/inputs.ts";
import { batchesOf, inputShape } from "../../data/batches/inputs.ts";
import { DataError } from "../../data/errors.ts";
import { defaultWorkers, Loader } from "../../data/batches/loader.ts";
import { ClipStore } from "../../data/store/store.ts";
import type { Schedule } from "../../nn/optim/schedules.ts";
import { cosineSchedule, stepSchedule, warmUp } from "../../nn/optim/schedules.ts";
import { defaultDevice } from "../../tensor/backend.ts";
import { compile } from "../../tensor/program/compile.ts";
import { tensor } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { concat } from "../../tensor/methods/join.ts";
import { chanceWarning } from "./chance.ts";
import { clipsOf, protocolOf } from "./clips.ts";
import { contrastiveAccuracy, partsOfLevels } from "../model/loss.ts";
import type { Measures } from "./measures.ts";
import { nonFiniteMeasure, zeroSums } from "./measures.ts";
import type { RunStore } from "./folder.ts";
import { RunFolder } from "./folder.ts";
import type { Logged, Pace } from "./log.ts";
import { RunLog } from "./log.ts";
import { lockRun } from "./run-lock.ts";
import { modelFor } from "./run-model.ts";
import type { RunProgress } from "./state.ts";
import { loadRun, readRunState, writeRun } from "./state.ts";
import type { RunSettings } from "./settings.ts";
import { differingSettings, extendedSettings, inputSettings } from "./settings.ts";
import { StepGenerator } from "./step-generator.ts";
import { HiCoTrainer } from "../model/trainer.ts";
import type { StepValues } from "../../train/loop.ts";
import { trainLoop } from "../../train/loop.ts";
import { DamagedCheckpointError } from "../../train/checkpoint/checksum.ts";
import { NonFiniteError, nonFiniteTensor } from "../../train/non-finite.ts";
import { ProgressTimer } from "../../train/progress.ts";

interface RunStart {
  readonly device: string;
  readonly clips: number;
  readonly steps: number;
  readonly perEpoch: number;
  readonly epochs: number;
  readonly resumedAt: number;
  readonly checkpoint?: string;
}

/**
 * `waiting` comes where a process of another machine may hold the folder; `losses` after losses were read; times count
 * from the end of this process's first step.
 */
export type PretrainEvent =
  | { readonly kind: "waiting"; readonly words: string }
  | ({ readonly kind: "start" } & RunStart)
  | ({ readonly kind: "losses" | "epoch" } & Logged)
  | { readonly kind: "checkpoint"; readonly step: number; readonly path: string; readonly best: boolean };

/** What is pretrained, where it is kept, and when it ends. */
export interface PretrainOptions {
  readonly settings: RunSettings;
  /** The run's folder. */
  readonly run: string;
  /** Go on from what is in the folder. Default false: the folder must not hold a run. */
  readonly resume?: boolean;
  /** With `resume`: goes on from the latest checkpoint that is whole, and puts damaged ones aside. Default false. */
  readonly skipDamaged?: boolean;
  /** Begins anew over a run that is there: its checkpoints, metrics and results are removed. Default false. */
  readonly force?: boolean;
  /** Stops after the step under way, and saves. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: PretrainEvent) => void;
}

/** What pretraining came to. */
export interface PretrainReport extends Measures, Pace {
  readonly run: string;
  readonly device: string;
  readonly finished: boolean;
  readonly step: number;
  readonly steps: number;
  readonly epochs: number;
  readonly checkpoint: string;
  readonly best?: { readonly loss: number; readonly step: number };
  /** What seems to have gone wrong, in words. */
  readonly warnings: readonly string[];
}

/** Milliseconds after which losses are read, however few steps they are of. */
const READ_AFTER = 1000;

/**
 * Runs, or goes on with, a pretraining run.
 * @throws Error naming what cannot be: a folder that another process writes to, settings of another run, a full disk;
 * the signal's reason where it came before anything was begun.
 */
export async function pretrain({
  settings: asked,
  run,
  resume = false,
  skipDamaged = false,
  force = false,
  signal,
  onEvent,
}: PretrainOptions): Promise<PretrainReport> {
  const folder = new RunFolder(run);
  const settings = resume && folder.exists ? extendedSettings(folder.settings(), asked) : asked;
  if (resume && force)
    throw new Error("resume goes on with what is there, force begins anew over it; give one of them");
  checkFolder(folder, settings, resume, force);
  const lock = await lockRun(run, { signal, onWait: (words) => onEvent?.({ kind: "waiting", words }) });
  try {
    if (force) folder.clear();
    return await pretrainLocked({ settings, run, resume, skipDamaged, signal, onEvent }, () => lock.requireHeld());
  } finally {
    lock.release();
  }
}

async function pretrainLocked(
  { settings, run, resume, skipDamaged, signal, onEvent }: PretrainOptions,
  requireHeld: () => void,
): Promise<PretrainReport> {
  const folder = new RunFolder(run);
  // Once more: a process that has just ended may have begun the run.
  checkFolder(folder, settings, resume === true);
  const { plan, shape, layout, store } = planOf(settings);
  const perEpoch = batchesOf(plan);
  const steps = perEpoch * settings.epochs;
  const saves = (step: number): boolean => step % (perEpoch * settings.saveEvery) === 0 || step === steps;

  const generator = new StepGenerator(settings.seed);
  const { lr: firstRate, momentum, weightDecay } = settings;
  const trainer = new HiCoTrainer(modelFor(settings, layout, generator), { lr: firstRate, momentum, weightDecay });
  const { latest, begun } = resume ? takeUp(folder, trainer, skipDamaged === true) : BEGINNING();
  folder.create();
  folder.writeSettings(settings);
  folder.writeStore(store);
  if (resume) {
    folder.rewindMetrics(begun.step);
    // A process that was killed after it wrote a checkpoint left the oldest one to the next.
    if (latest) folder.prune(settings.keep, saves);
  }
  const device = await defaultDevice();
  const { epochs } = settings;
  onEvent?.({
    ...{ kind: "start", device: device.name, clips: plan.clips.length, steps, perEpoch, epochs },
    ...{ resumedAt: begun.step, checkpoint: latest?.path },
  });

  const step = measuredStep(trainer);
  const rate = rateOf(settings);
  const workers = settings.workers < 0 ? defaultWorkers(availableParallelism()) : settings.workers;
  const ahead = { from: begun.step, until: steps, workers, prefetch: settings.prefetch };
  const loader = new Loader<PretrainBatch>({ store: settings.data, plan }, ahead);

  let { step: done, best } = begun;
  let checkpoint = latest?.path;
  const timer = new ProgressTimer(steps, done);
  /** How long batches were waited for up to the end of the first step, from which on time counts. */
  let waitedBefore: number | undefined;

  const pace = (): Pace => {
    const { seconds, perSecond, secondsLeft = 0 } = timer.progress();
    const dataWait = seconds > 0 ? (loader.waited - (waitedBefore ?? 0)) / 1000 / seconds : 0;
    return { seconds, examplesPerSecond: perSecond * settings.batch, secondsLeft, dataWait };
  };
  const log = new RunLog({ folder, begun, resumed: latest !== undefined, perEpoch, logEvery: settings.logEvery });
  const rateAt = (step: number): number => rate((step - 1) / perEpoch);
  const record = (read: readonly StepValues[]): void => {
    for (const { step: at, values } of read) {
      const fault = nonFiniteMeasure(values);
      if (fault) throw new NonFiniteError(at, fault.what, fault.value, checkpoint);
      const epoch = log.record(at, rateAt(at), values, pace());
      if (epoch) onEvent?.({ kind: "epoch", ...epoch });
    }
    const last = read.at(-1)!.step;
    onEvent?.({ kind: "losses", ...log.latest(last, rateAt(last), pace()) });
  };
  const save = async (): Promise<void> => {
    if (done === folder.checkpoints()[0]?.step) return;
    requireHeld();
    log.sync();
    const state = await readRunState(trainer);
    // A last update can spoil weights after a loss that was finite.
    const spoilt = nonFiniteTensor(state);
    if (spoilt) throw new NonFiniteError(done, spoilt.name, spoilt.value, checkpoint);
    const loss = done > 0 && done % perEpoch === 0 ? log.sums[0] / perEpoch : Infinity;
    const isBest = loss < (best?.loss ?? Infinity);
    if (isBest) best = { loss, step: done };
    const progress = { step: done, sums: log.sums, best };
    if (isBest) writeRun(folder.bestPath, state, progress, settings);
    const path = folder.checkpointPath(done);
    writeRun(path, state, progress, settings);
    checkpoint = path;
    folder.prune(settings.keep, saves);
    onEvent?.({ kind: "checkpoint", step: done, path, best: isBest });
  };

  try {
    await trainLoop<PretrainBatch>({
      ...{ from: done, steps, batches: loader, readEvery: settings.logEvery, readAfter: READ_AFTER, signal },
      step: async (batch, at) => {
        trainer.optimizer.lr = rateAt(at);
        generator.begin(at);
        const measured = await step(...inputsOf(batch, shape));
        loader.release(batch);
        return measured;
      },
      onStep: async (at) => {
        done = at;
        if (waitedBefore === undefined) {
          await device.synchronize();
          waitedBefore = loader.waited;
        }
        timer.step(at);
      },
      onValues: record,
      stopsAt: saves,
      onStop: save,
    });
    const measures = log.measures(done);
    const atChance = chanceWarning(settings, measures.accuracy, done, perEpoch);
    const report: PretrainReport = {
      ...{ run, device: device.name, finished: done === steps, step: done, steps, epochs: settings.epochs },
      ...{ ...measures, ...pace(), checkpoint: checkpoint!, best },
      warnings: atChance === undefined || done < steps ? [] : [atChance],
    };
    folder.writePretraining(report);
    return report;
  } catch (error) {
    if (error instanceof NonFiniteError || error instanceof DataError || checkpoint === undefined) throw error;
    const { message } = error as Error;
    throw new Error(`${message}\nThe last good checkpoint is ${checkpoint}; resume to go on from it`, { cause: error });
  } finally {
    log.close();
  }
}

interface TakenUp {
  readonly latest?: { readonly path: string; readonly step: number };
  readonly begun: RunProgress;
}

const BEGINNING = (): TakenUp => ({ begun: { step: 0, sums: zeroSums() } });

/** Loads the latest checkpoint. @throws Error where it is damaged and not to be skipped, naming the one before it. */
function takeUp(folder: RunFolder, trainer: HiCoTrainer, skipDamaged: boolean): TakenUp {
  const all = folder.checkpoints();
  for (const [i, latest] of all.entries()) {
    try {
      return { latest, begun: loadRun(latest.path, trainer) };
    } catch (error) {
      if (!(error instanceof DamagedCheckpointError)) throw error;
      const before = all[i + 1];
      if (before === undefined || !skipDamaged) {
        const wayOut = before
          ? `the one before it is ${before.path}; --resume --skip-damaged goes on from there`
          : "there is none before it; begin anew in another folder";
        throw new Error(`${error.message}; ${wayOut}`, { cause: error });
      }
      folder.putAside(latest.path);
    }
  }
  return BEGINNING();
}

/** Everything that can be refused is, before anything is written. */
function checkFolder(folder: RunFolder, settings: RunSettings, resume: boolean, force = false): void {
  if (settings.data === "") throw new Error("no data is named; give the clip store that hico data prepare made");
  const begunHere = folder.exists && !force;
  if (begunHere && resume) folder.requireData(settings.data);
  planOf(settings);
  if (!begunHere) return;
  if (!resume)
    throw new Error(
      `${folder.path} already holds a run; resume it, or name another folder; --force begins anew over it`,
    );
  const begun = folder.settings();
  const { epochs } = settings;
  const longer = epochs > begun.epochs ? { ...begun, epochs, drops: settings.drops } : begun;
  const differing = differingSettings(longer, settings);
  if (differing.length === 0) return requireStore(folder, settings);
  const names = differing.join(", ");
  throw new Error(
    `${folder.path} was begun with other settings: ${names}; resume without them (--epochs alone may grow), or name another folder`,
  );
}

function requireStore(folder: RunFolder, { data }: RunSettings): void {
  const store = ClipStore.open(data);
  try {
    folder.requireStore(store);
  } finally {
    store.close();
  }
}

/** The batches of the run, and the shape of their inputs. */
function planOf(settings: RunSettings): {
  readonly plan: BatchPlan & { readonly kind: "pretrain" };
  readonly shape: InputShape;
  readonly layout: ClipStore["header"]["layout"];
  readonly store: RunStore;
} {
  const store = ClipStore.open(settings.data);
  try {
    const { batch, seed, data } = settings;
    const clips = clipsOf(store, "train", settings);
    const inputs = inputSettings(settings);
    const plan = { kind: "pretrain", clips, batch, inputs, seed } as const;
    if (batchesOf(plan) === 0) {
      throw new Error(`${data}: ${clips.length} training clips do not fill a batch of ${batch}; use a smaller batch`);
    }
    const { layout } = store.header;
    const { checksum, length } = store;
    const of = { checksum, clips: length, protocol: protocolOf(store, settings) ?? "", layout: layout.name };
    return { plan, shape: inputShape(layout, inputs), layout, store: of };
  } finally {
    store.close();
  }
}

type StepInputs = [queryTemporal: Tensor, querySpatial: Tensor, keyTemporal: Tensor, keySpatial: Tensor];

/** A training step that gives loss, five parts and contrastive accuracy in one tensor. */
function measuredStep(trainer: HiCoTrainer): (...inputs: StepInputs) => Promise<Tensor> {
  // Of instances; where they are left out, of the last part that is compared.
  const judged = partsOfLevels(trainer.model.config.contrast).at(-1)!;
  return compile((...[queryTemporal, querySpatial, keyTemporal, keySpatial]: StepInputs) => {
    const { loss, parts, compared } = trainer.update({ queryTemporal, querySpatial, keyTemporal, keySpatial });
    return concat([loss.reshape([1]), parts, contrastiveAccuracy(compared[judged]).reshape([1])]);
  });
}

function inputsOf(batch: PretrainBatch, { temporal, spatial }: InputShape): StepInputs {
  // Nobody else writes to a batch of the loader, so it is taken as it is.
  const input = (data: Float32Array, shape: readonly [number, number]): Tensor =>
    tensor(data, { shape: [batch.count, ...shape], copy: false });
  return [
    input(batch.queryTemporal, temporal),
    input(batch.querySpatial, spatial),
    input(batch.keyTemporal, temporal),
    input(batch.keySpatial, spatial),
  ];
}

/** The learning rate by epoch (a fraction of it during warm-up). */
function rateOf({ lr, schedule, drops, epochs, warmup }: RunSettings): Schedule {
  const milestones = drops.map((at) => (at < 1 ? Math.round(at * epochs) : at) - warmup);
  const after = schedule === "cosine" ? cosineSchedule(lr, Math.max(epochs - warmup, 1)) : stepSchedule(lr, milestones);
  const warmed = warmUp(warmup, after);
  return (at) => (at < warmup ? warmed(at) : warmed(Math.floor(at)));
}
