/** What the benchmark asks of an engine: train one workload, say what the loss was, and let go of it. */
import type { Workload } from "../workloads.ts";

/** Where an engine's work runs; ratios are only meaningful between engines on the same kind of adapter. */
export type AdapterKind = "webgpu" | "wasm" | "cpu";

export interface Engine {
  /** Unique, as given to `--engines`. */
  readonly name: string;
  readonly adapter: AdapterKind;
  /** `true`, or the reason it cannot run here, in words. Must leave nothing behind where it is not `true`. */
  available(): Promise<true | string>;
  /** Puts parameters and batch on the device; compiles, or leaves that to the first step. */
  prepare(workload: Workload): Promise<TrainingRun>;
}

export interface TrainingRun {
  /**
   * Starts one training step (forward, backward, SGD). It may return before the device has finished, so that an engine
   * can keep its queue filled as it would in training.
   */
  step(): Promise<void>;
  /** The loss of the latest step, before its update; resolves when that step, update included, has finished. */
  loss(): Promise<number>;
  /** Figures of the engine's own, for the JSON output. */
  stats?(): Record<string, number>;
  dispose(): void | Promise<void>;
}
