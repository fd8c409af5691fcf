/**
 * A whole training: epochs of compiled steps, with evaluation, early stopping, checkpoints and progress.
 *
 * It is made of parts that stand by themselves: `DataLoader`, `trainStep`, `evaluator`, `EarlyStopping`, checkpoints,
 * `ProgressTimer`, around `trainLoop`.
 */
import { TensorBoardWriter } from "../io/protobuf/tensorboard.ts";
import type { Module } from "../nn/module.ts";
import type { CommonSettings, Optimizer } from "../nn/optim/optimizer.ts";
import { PlateauSchedule } from "../nn/optim/plateau.ts";
import type { Schedule } from "../nn/optim/schedules.ts";
import { checkOptions, requireCount } from "../tensor/door/door.ts";
import { rng } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CheckpointParts, Stateful } from "./checkpoint/checkpoint.ts";
import type { CheckpointStore } from "./checkpoint/store.ts";
import { DataLoader } from "./data/loader.ts";
import type { LoaderState, PlacedBatch, Stream } from "./data/loader.ts";
import { KeptCheckpoints } from "./checkpoint/kept.ts";
import { trainLoop } from "./loop.ts";
import { EarlyStopping } from "./measure/early-stopping.ts";
import type { EarlyStoppingOptions } from "./measure/early-stopping.ts";
import { RunningMeans } from "./measure/metrics.ts";
import { ProgressTimer, progressLine } from "./progress.ts";
import type { Progress } from "./progress.ts";
import { trainStep } from "./train-step.ts";
import type { StepResult, TrainStepOptions } from "./train-step.ts";

/** Numbers by name. */
export type Numbers = Readonly<Record<string, number>>;

/** Where scalars go, step by step: a `TensorBoardWriter`, or anything like it. */
export interface ScalarWriter {
  scalars(step: number, scalars: Numbers): void;
}

/** What is told of the steps last read. */
export interface StepReport {
  /** Counted from 1. */
  readonly step: number;
  /** Counted from 1. */
  readonly epoch: number;
  readonly lr: number;
  /** Of this step: the loss and what else the step measures. */
  readonly measures: Numbers;
  readonly progress: Progress;
}

/** What is told at the end of an epoch. */
export interface EpochReport {
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps done. */
  readonly step: number;
  readonly lr: number;
  /** Means over the epoch's samples. */
  readonly train: Numbers;
  /** What `evaluate` gave; undefined where there was no evaluation. */
  readonly evaluation: Numbers | undefined;
  /** Whether the monitored measure was the best so far. */
  readonly best: boolean;
}

/** What a training came to. */
export interface FitReport {
  /** Why it ended: all epochs done, no improvement any more, or the signal. */
  readonly ended: "done" | "early" | "aborted";
  /** Steps done, those of earlier runs included. */
  readonly step: number;
  /** All epochs, those of earlier runs included. */
  readonly epochs: readonly EpochReport[];
  /** The epoch whose monitored measure was best. */
  readonly best: EpochReport | undefined;
  /** The step that was gone on from; 0 where the training began anew. */
  readonly resumedAt: number;
}

/** What `fit` trains, with what, and what it tells. */
export interface FitOptions<B extends readonly Tensor[]> extends Omit<TrainStepOptions, "model"> {
  readonly model: Module;
  readonly optimizer: Optimizer<CommonSettings>;
  /** A loader, or batches one after the other (a function begins them anew for each epoch). */
  readonly batches: DataLoader<Readonly<B>> | Stream<Readonly<B>>;
  /** What is minimised: the loss of a batch, or `{ loss, … }` with more to measure. See `trainStep`. */
  readonly loss: (...batch: B) => StepResult;
  /** Epochs of the whole training, those of earlier runs included. */
  readonly epochs: number;
  /**
   * The learning rate: a function of the step (counted from 0), or a `PlateauSchedule`, which is told the monitored
   * measure after every evaluation. Default: the optimizer's own.
   */
  readonly schedule?: Schedule | PlateauSchedule;
  /** What a schedule's function is given: the step (default) or the epoch, both counted from 0. */
  readonly scheduleBy?: "step" | "epoch";
  /** Measures on held-out data, such as an `evaluator`. */
  readonly evaluate?: () => Promise<Numbers>;
  /** Epochs after which there is an evaluation; default 1. The last epoch has one. */
  readonly evaluateEvery?: number;
  /** The measure that decides what is best: of the evaluation, else of the training; default "loss". */
  readonly monitor?: string;
  /** Whether the monitored measure should fall ("min", default) or rise ("max"). */
  readonly mode?: "min" | "max";
  /** Ends the training where the monitored measure no longer improves. */
  readonly earlyStopping?: Omit<EarlyStoppingOptions, "mode">;
  /** At the end the model gets the weights of its best epoch back; default false. */
  readonly restoreBest?: boolean;
  /** A folder, or another store, for checkpoints. Default: none are written. */
  readonly checkpoints?: string | CheckpointStore;
  /** Steps after which there is one, besides the ends of epochs; default: none. */
  readonly saveEvery?: number;
  /** The last checkpoints that are kept, besides the best; default 2. */
  readonly keep?: number;
  /** Goes on from the last checkpoint where there is one; default false, and a store that has some is refused. */
  readonly resume?: boolean;
  /** What else checkpoints hold: generators of dropout and augmentation, momentum networks. The shared `rng()` always is. */
  readonly state?: CheckpointParts;
  /** Steps whose measures are read together; default 10. */
  readonly readEvery?: number;
  /** After measures were read: of the last of those steps. */
  readonly onStep?: (report: StepReport) => void;
  /** After every epoch, its evaluation included. */
  readonly onEpoch?: (report: EpochReport) => void;
  /** Takes lines of progress for people: `(line) => console.error(line)`. */
  readonly log?: (line: string) => void;
  /** A folder for TensorBoard's files, which is made where it is not there, or another writer of scalars. */
  readonly tensorBoard?: string | ScalarWriter;
  /** Ends the training after the step under way, with a checkpoint where there is a store. */
  readonly signal?: AbortSignal;
}

const OPTIONS = (
  "model optimizer batches loss epochs schedule scheduleBy evaluate evaluateEvery monitor mode earlyStopping restoreBest " +
  "checkpoints saveEvery keep resume state readEvery onStep onEpoch log tensorBoard signal accumulate clipGradNorm scaler guard after"
).split(" ");

/** What a checkpoint holds of the training itself. */
interface FitState {
  readonly step: number;
  readonly position: LoaderState;
  readonly means: ReturnType<RunningMeans["state"]>;
  readonly stopping: ReturnType<EarlyStopping["state"]>;
  readonly epochs: readonly EpochReport[];
}

/**
 * Trains a model.
 *
 * ```ts
 * const report = await fit({
 *   model, optimizer, epochs: 10,
 *   batches: new DataLoader(data, { batchSize: 128, shuffle: true }),
 *   loss: (x, labels) => crossEntropy(model.forward(x), labels),
 *   evaluate: evaluator(model, held, (x, labels) => ({ accuracy: accuracy(model.forward(x), labels) })),
 *   checkpoints: "runs/digits", resume: true,
 * });
 * ```
 *
 * A training that was killed and goes on from its last checkpoint, in the middle of an epoch or not, ends with the same
 * bits as one that was not: on the same kind of device with as many threads, where what `state` holds and the loader's
 * samples are all that is random.
 *
 * @throws NonFiniteError naming a loss, gradients or weights that are not finite; DamagedCheckpointError; Error naming an
 * option out of range, and what the functions given throw.
 */
export async function fit<B extends readonly Tensor[]>(options: FitOptions<B>): Promise<FitReport> {
  return new Training(options).run();
}

class Training<B extends readonly Tensor[]> {
  readonly #options: FitOptions<B>;
  readonly #loader: DataLoader<Readonly<B>>;
  readonly #kept: KeptCheckpoints | undefined;
  readonly #best: KeptCheckpoints;
  readonly #means = new RunningMeans();
  readonly #stopping: EarlyStopping;
  readonly #monitor: string;
  readonly #sizes = new Map<number, number>();
  #epochs: EpochReport[] = [];
  #step = 0;
  #ended: FitReport["ended"] = "done";

  constructor(options: FitOptions<B>) {
    checkOptions("fit", options, OPTIONS);
    const { batches, epochs, evaluateEvery = 1, saveEvery, keep = 2, mode, earlyStopping, monitor = "loss" } = options;
    requireCount("fit", "epochs", epochs);
    requireCount("fit", "evaluateEvery", evaluateEvery, 1);
    requireCount("fit", "keep", keep, 1);
    if (saveEvery !== undefined) requireCount("fit", "saveEvery", saveEvery, 1);
    if (saveEvery !== undefined && options.checkpoints === undefined)
      throw new Error('fit: saveEvery needs a place for checkpoints; name a folder: checkpoints: "runs/name"');
    this.#options = options;
    this.#monitor = monitor;
    this.#loader = batches instanceof DataLoader ? batches : new DataLoader<Readonly<B>>(batches, { batchSize: null });
    this.#stopping = new EarlyStopping({ patience: Number.MAX_SAFE_INTEGER - 1, ...earlyStopping, mode });
    const parts = this.#parts();
    if (options.checkpoints !== undefined) this.#kept = new KeptCheckpoints(options.checkpoints, parts, keep);
    this.#best = new KeptCheckpoints(options.checkpoints, { model: options.model }, 1);
  }

  async run(): Promise<FitReport> {
    const options = this.#options;
    const resumedAt = await this.#takeUp();
    const { length } = this.#loader;
    const total = length === undefined ? undefined : length * options.epochs;
    const timer = new ProgressTimer(total, this.#step);
    const board = boardOf(options.tensorBoard, resumedAt);
    const { model, accumulate, clipGradNorm, scaler, guard, after } = options;
    const settings = { model, accumulate, clipGradNorm, scaler, guard, after };
    const step = trainStep<B>(options.optimizer, options.loss, settings);
    let placed: PlacedBatch<Readonly<B>> | undefined;
    try {
      await trainLoop<PlacedBatch<Readonly<B>>>({
        ...{ from: this.#step, steps: Infinity, batches: this.#batches(), signal: options.signal },
        readEvery: options.readEvery,
        readAfter: 1000,
        step: (given, at) => {
          placed = given;
          this.#setRate(at - 1, given.epoch);
          this.#sizes.set(at, (given.batch as readonly Tensor[])[0]?.shape[0] ?? 1);
          return step.run(...(given.batch as B));
        },
        onStep: (done) => {
          this.#step = done;
          const { epoch, index, last } = placed!;
          this.#loader.load(last ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: index + 1 });
          timer.step(done);
        },
        onValues: (read) => {
          let measures: Numbers = {};
          for (const { step: at, values } of read) {
            measures = step.measures(values, at, this.#kept?.latest);
            this.#means.add(measures, this.#sizes.get(at));
            this.#sizes.delete(at);
          }
          const { step: at } = read.at(-1)!;
          const progress = timer.progress();
          const report = { step: at, epoch: placed!.epoch + 1, lr: options.optimizer.lr, measures, progress };
          options.onStep?.(report);
          options.log?.(progressLine(progress, measures));
          board?.scalars(at, prefixed("train/", { ...measures, "learning-rate": report.lr }));
        },
        stopsAt: (done) => placed!.last || (options.saveEvery !== undefined && done % options.saveEvery === 0),
        onStop: async () => {
          if (placed?.last) await this.#endEpoch(placed.epoch, board);
          await this.#save();
        },
      });
    } finally {
      if (typeof options.tensorBoard === "string") (board as TensorBoardWriter | undefined)?.close();
    }
    if (options.signal?.aborted && this.#ended === "done" && this.#loader.epoch < options.epochs)
      this.#ended = "aborted";
    if (options.restoreBest && this.#epochs.some(({ best }) => best)) await this.#best.loadBest();
    const best = this.#epochs.findLast((epoch) => epoch.best);
    return { ended: this.#ended, step: this.#step, epochs: this.#epochs, best, resumedAt };
  }

  /** Everything that a checkpoint holds. */
  #parts(): CheckpointParts {
    const { model, optimizer, schedule, scaler, state = {} } = this.#options;
    const own = {
      model,
      optimizer,
      rng: rng(),
      fit: this.#own(),
      ...(schedule instanceof PlateauSchedule && { schedule }),
      ...(scaler?.enabled && { scaler }),
    };
    for (const name of Object.keys(state)) {
      if (name in own) throw new Error(`fit: state has a part "${name}", which is fit's own; choose another name`);
    }
    return { ...own, ...state };
  }

  /** The training itself, as a part of its checkpoints. */
  #own(): Stateful<FitState> {
    return {
      state: () => ({
        step: this.#step,
        position: this.#loader.state(),
        means: this.#means.state(),
        stopping: this.#stopping.state(),
        epochs: this.#epochs,
      }),
      load: ({ step, position, means, stopping, epochs }) => {
        this.#step = step;
        this.#loader.load(position);
        this.#means.load(means);
        this.#stopping.load(stopping);
        this.#epochs = [...epochs];
      },
    };
  }

  /** Goes on from the last checkpoint. @returns its step. */
  async #takeUp(): Promise<number> {
    const found = await this.#kept?.find();
    if (found === undefined) return 0;
    if (!this.#options.resume) {
      throw new Error(
        `fit: there are checkpoints already, the last of them ${found}; go on from it with resume: true, or name another place`,
      );
    }
    await this.#kept!.load(found);
    return this.#step;
  }

  /** Batches of all epochs that are left. */
  async *#batches(): AsyncGenerator<PlacedBatch<Readonly<B>>, void, undefined> {
    let { epoch, batch } = this.#loader.state();
    for (; epoch < this.#options.epochs && this.#ended === "done" && !this.#stopping.stopped; epoch++, batch = 0) {
      let given = batch;
      for await (const placed of this.#loader.placed(epoch, batch)) {
        given++;
        yield placed;
      }
      if (given === 0) {
        throw new Error("fit: there is no batch in an epoch; use a smaller batchSize, or leave dropLast out");
      }
    }
  }

  #setRate(step: number, epoch: number): void {
    const { optimizer, schedule, scheduleBy = "step" } = this.#options;
    if (schedule instanceof PlateauSchedule) optimizer.lr = schedule.lr;
    else if (schedule) optimizer.lr = schedule(scheduleBy === "epoch" ? epoch : step);
  }

  async #endEpoch(epoch: number, board: ScalarWriter | undefined): Promise<void> {
    const { evaluate, evaluateEvery = 1, epochs, schedule, optimizer } = this.#options;
    const due = (epoch + 1) % evaluateEvery === 0 || epoch + 1 === epochs;
    const train = this.#means.means();
    this.#means.reset();
    const evaluation = evaluate && due ? await evaluate() : undefined;
    let best = false;
    if (evaluation || !evaluate) {
      const measured = evaluation ?? train;
      const value = measured[this.#monitor];
      if (value === undefined) {
        const there = Object.keys(measured).join(", ");
        throw new Error(`fit: monitor is "${this.#monitor}", which is not measured; there are ${there}`);
      }
      if (this.#stopping.next(value)) this.#ended = "early";
      best = this.#stopping.improved;
      if (schedule instanceof PlateauSchedule) schedule.next(value);
    }
    const report = { epoch: epoch + 1, step: this.#step, lr: optimizer.lr, train, evaluation, best };
    this.#epochs.push(report);
    if (best && (this.#kept || this.#options.restoreBest)) await this.#best.saveBest();
    board?.scalars(this.#step, { ...prefixed("epoch/", train), ...prefixed("evaluation/", evaluation ?? {}) });
    this.#options.onEpoch?.(report);
    const shown = { ...train, ...prefixed("evaluation ", evaluation ?? {}) };
    this.#options.log?.(
      `epoch ${epoch + 1}/${epochs}${Object.entries(shown)
        .map(([n, v]) => `, ${n} ${Number(v.toPrecision(4))}`)
        .join("")}`,
    );
  }

  async #save(): Promise<void> {
    await this.#kept?.save(this.#step, this.#options.guard !== false);
  }
}

const prefixed = (prefix: string, numbers: Numbers): Numbers =>
  Object.fromEntries(Object.entries(numbers).map(([name, value]) => [prefix + name, value]));

function boardOf(tensorBoard: string | ScalarWriter | undefined, resumedAt: number): ScalarWriter | undefined {
  if (typeof tensorBoard !== "string") return tensorBoard;
  return TensorBoardWriter.inFolder(tensorBoard, resumedAt > 0 ? resumedAt + 1 : undefined);
}
