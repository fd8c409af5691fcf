/**
 * A loader: worker threads that make the next batches while the device computes.
 *
 * Batches are asked for ahead of time and dealt to the workers in turn; a batch depends on its number alone, so the
 * number of workers changes nothing but the speed. How long `next` had to wait is counted.
 */
import type { BatchPlan, InputBatch, PretrainBatch } from "./inputs.ts";
import { BatchMaker } from "./inputs.ts";
import { ClipStore } from "../store/store.ts";
import { Threads } from "../threads.ts";

/** Which batches a loader makes, and on how many threads. */
export interface LoaderOptions {
  /** First batch, and the one after the last. */
  readonly from: number;
  readonly until: number;
  /** Threads; 0 makes batches where they are asked for. Default 1. */
  readonly workers?: number;
  /** Batches asked for ahead of time. Default 4. */
  readonly prefetch?: number;
}

/** What a worker is started with. */
export interface LoaderSetup {
  readonly store: string;
  readonly plan: BatchPlan;
}

/** The memory of a batch's float32 arrays. */
export function buffersOf(batch: InputBatch): ArrayBuffer[] {
  const arrays = Object.values(batch).filter((value): value is Float32Array => value instanceof Float32Array);
  return arrays.map((array) => array.buffer as ArrayBuffer);
}

/** Batches made ahead of their use on worker threads, in the order and with the values that one thread would give. */
export class Loader<Batch extends InputBatch = PretrainBatch> {
  /** Milliseconds that `next` has waited for batches. */
  waited = 0;
  readonly #threads: Threads<InputBatch> | undefined;
  /** Without threads: the store, and what makes the next batch of it. */
  readonly #own: { readonly store: ClipStore; next(): InputBatch | undefined } | undefined;

  constructor(setup: LoaderSetup, { from, until, workers = 1, prefetch = 4 }: LoaderOptions) {
    if (!Number.isInteger(workers) || workers < 0)
      throw new Error(`loader: workers is ${workers}; it must be a whole number of at least 0`);
    if (!Number.isInteger(prefetch) || prefetch < 1)
      throw new Error(`loader: prefetch is ${prefetch}; it must be a whole number of at least 1`);
    if (workers === 0) {
      const store = ClipStore.open(setup.store);
      const maker = new BatchMaker(store, setup.plan);
      let number = from;
      this.#own = { store, next: () => (number < until ? maker.make(number++) : undefined) };
      return;
    }
    const program = new URL("./loader-worker.js", import.meta.url);
    this.#threads = new Threads({ program, setup, from, until, threads: workers, ahead: prefetch });
  }

  /** The next batch, or undefined after the last. @throws DataError naming a damaged clip. */
  async next(): Promise<Batch | undefined> {
    const start = performance.now();
    const batch = this.#own ? this.#own.next() : await this.#threads!.next();
    this.waited += performance.now() - start;
    return batch as Batch | undefined;
  }

  /**
   * Takes the memory of a batch that is no longer needed for one to come; its arrays are empty afterwards. What is new
   * for each batch has to be collected, at a twentieth of a small model's step.
   */
  release(batch: Batch): void {
    this.#threads?.release(buffersOf(batch));
  }

  /** The batches that are left; ending the loop over them closes the loader. */
  [Symbol.asyncIterator](): AsyncIterator<Batch> {
    return {
      next: async () => {
        const value = await this.next();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
      return: async () => {
        await this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    this.#own?.store.close();
    await this.#threads?.close();
  }
}

/** As many threads as batches of this size need on `cores` cores, where the others compute. */
export function defaultWorkers(cores: number): number {
  return Math.max(1, Math.min(8, Math.floor(cores / 4)));
}
