/** The log of a run: steps' measures summed by epoch, and written to `metrics.jsonl` and for TensorBoard. */
import { TensorBoardWriter } from "../../io/protobuf/tensorboard.ts";
import type { Measures } from "./measures.ts";
import { meanOf, measuresOf, scalarsOf, zeroSums } from "./measures.ts";
import type { RunFolder } from "./folder.ts";
import { MetricsLog } from "./folder.ts";
import type { RunProgress } from "./state.ts";

/** How fast a run goes. */
export interface Pace {
  readonly seconds: number;
  readonly examplesPerSecond: number;
  readonly secondsLeft: number;
  /** Share of the time that steps waited for their batch. */
  readonly dataWait: number;
}

/** Measures with where they were taken. */
export interface Logged extends Measures, Pace {
  readonly step: number;
  /** Counted from 1. */
  readonly epoch: number;
  readonly lr: number;
}

interface RunLogOptions {
  readonly folder: RunFolder;
  readonly begun: RunProgress;
  readonly resumed: boolean;
  /** Steps of an epoch. */
  readonly perEpoch: number;
  /** Every how many steps one is written. */
  readonly logEvery: number;
}

export class RunLog {
  /** Sums over the steps of the epoch under way. */
  sums: readonly number[];
  /** Of the step recorded last, or the mean of the epoch so far where none was. */
  last: readonly number[];
  readonly #options: RunLogOptions;
  readonly #metrics: MetricsLog;
  readonly #board: TensorBoardWriter;

  constructor(options: RunLogOptions) {
    const { folder, begun, resumed, perEpoch } = options;
    this.#options = options;
    this.sums = begun.sums;
    this.last = meanOf(begun.sums, begun.step % perEpoch || perEpoch);
    this.#metrics = new MetricsLog(folder.metricsPath);
    this.#board = new TensorBoardWriter(folder.path, resumed ? begun.step + 1 : undefined);
  }

  /** Takes in a step's measures. @returns those of the epoch where it ends with this step. */
  record(step: number, lr: number, values: readonly number[], pace: Pace): Logged | undefined {
    const { perEpoch, logEvery } = this.#options;
    if ((step - 1) % perEpoch === 0) this.sums = zeroSums();
    this.sums = this.sums.map((sum, i) => sum + values[i]);
    this.last = values;
    if (step % logEvery === 0) {
      this.#metrics.write({ kind: "step", ...this.#logged(step, lr, values, pace) });
      this.#board.scalars(step, { ...scalarsOf("step", values), "train/learning-rate": lr });
    }
    if (step % perEpoch !== 0) return undefined;
    const mean = meanOf(this.sums, perEpoch);
    const logged = this.#logged(step, lr, mean, pace);
    this.#metrics.write({ kind: "epoch", ...logged });
    this.#board.scalars(step, {
      ...scalarsOf("epoch", mean),
      "speed/examples-per-second": pace.examplesPerSecond,
      "speed/data-wait": pace.dataWait,
    });
    return logged;
  }

  /** The step recorded last. */
  latest(step: number, lr: number, pace: Pace): Logged {
    return this.#logged(step, lr, this.last, pace);
  }

  /** Means of the epoch that ended with `step`, or the last step's measures in the middle of one. */
  measures(step: number): Measures {
    const { perEpoch } = this.#options;
    return measuresOf(step % perEpoch === 0 ? meanOf(this.sums, perEpoch) : this.last);
  }

  /** Everything written is on the disk when this returns. */
  sync(): void {
    this.#metrics.sync();
  }

  close(): void {
    this.#metrics.close();
    this.#board.close();
  }

  #logged(step: number, lr: number, values: readonly number[], pace: Pace): Logged {
    return { step, epoch: Math.ceil(step / this.#options.perEpoch), lr, ...measuresOf(values), ...pace };
  }
}
