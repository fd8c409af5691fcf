/**
 * A loader: worker threads that make the next batches while the device computes.
 *
 * Batches are asked for ahead of time and dealt to the workers in turn; a batch depends on its number alone, so the
 * number of workers changes nothing but the speed. How long `next` had to wait is counted.
 */
import { Worker } from "node:worker_threads";
import type { BatchPlan, InputBatch, PretrainBatch } from "./inputs.ts";
import { BatchMaker } from "./inputs.ts";
import type { BadInput } from "../errors.ts";
import { DataError } from "../errors.ts";
import { ClipStore } from "../store/store.ts";

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

/** What a loader's thread is asked for: a batch by number, in memory of batches that are no longer needed. */
export interface LoaderRequest {
  readonly number: number;
  readonly spare: ArrayBuffer[];
}

/** The memory of a batch's float32 arrays. */
export function buffersOf(batch: InputBatch): ArrayBuffer[] {
  const arrays = Object.values(batch).filter((value): value is Float32Array => value instanceof Float32Array);
  return arrays.map((array) => array.buffer as ArrayBuffer);
}

/** What a loader's thread answers: a batch, or the error that came instead. */
export type LoaderReply =
  | { readonly number: number; readonly batch: InputBatch }
  | {
      readonly number: number;
      readonly error: {
        readonly message: string;
        readonly data?: { readonly file: string; readonly reason: BadInput; readonly detail: string };
      };
    };

/**
 * Starts the worker. In a build it is a JavaScript file; from the sources, a thread does not inherit what reads
 * TypeScript (Node 20), so it registers tsx first.
 */
function startWorker(setup: LoaderSetup): Worker {
  if (!import.meta.url.endsWith(".ts"))
    return new Worker(new URL("./loader-worker.js", import.meta.url), { workerData: setup });
  const [tsx, worker] = [import.meta.resolve("tsx/esm/api"), new URL("./loader-worker.ts", import.meta.url).href];
  const code = `import("${tsx}").then(({ register }) => { register(); return import("${worker}"); })`;
  return new Worker(code, { eval: true, workerData: setup });
}

/** Batches made ahead of their use on worker threads, in the order and with the values that one thread would give. */
export class Loader<Batch extends InputBatch = PretrainBatch> {
  /** Milliseconds that `next` has waited for batches. */
  waited = 0;
  #asked: number;
  #given: number;
  readonly #until: number;
  readonly #prefetch: number;
  readonly #threads: Worker[] = [];
  readonly #own: { readonly store: ClipStore; readonly maker: BatchMaker } | undefined;
  readonly #ready = new Map<number, LoaderReply>();
  readonly #spare: ArrayBuffer[] = [];
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(setup: LoaderSetup, { from, until, workers = 1, prefetch = 4 }: LoaderOptions) {
    if (!Number.isInteger(workers) || workers < 0)
      throw new Error(`loader: workers is ${workers}; it must be a whole number of at least 0`);
    if (!Number.isInteger(prefetch) || prefetch < 1)
      throw new Error(`loader: prefetch is ${prefetch}; it must be a whole number of at least 1`);
    this.#asked = from;
    this.#given = from;
    this.#until = until;
    this.#prefetch = prefetch;
    if (workers === 0) {
      const store = ClipStore.open(setup.store);
      this.#own = { store, maker: new BatchMaker(store, setup.plan) };
      return;
    }
    for (let i = 0; i < workers; i++) {
      const thread = startWorker(setup);
      thread.on("message", (reply: LoaderReply) => this.#receive(reply));
      thread.on("error", (error: unknown) => this.#fail(error as Error));
      thread.on("exit", (code) => this.#fail(new Error(`a loader thread ended with code ${code}`)));
      // A thread that waits for work does not keep the process alive.
      thread.unref();
      this.#threads.push(thread);
    }
    this.#ask();
  }

  /** The next batch, or undefined after the last. @throws DataError naming a damaged clip. */
  async next(): Promise<Batch | undefined> {
    if (this.#given >= this.#until) return undefined;
    const number = this.#given++;
    if (this.#own) {
      const start = performance.now();
      const batch = this.#own.maker.make(number);
      this.waited += performance.now() - start;
      return batch as Batch;
    }
    const start = performance.now();
    while (!this.#ready.has(number)) {
      if (this.#failure) throw this.#failure;
      // Until the thread answers, something has to keep the process alive.
      const alive = setInterval(() => undefined, 1 << 30);
      await new Promise<void>((resolve) => (this.#wake = resolve));
      clearInterval(alive);
    }
    this.waited += performance.now() - start;
    const reply = this.#ready.get(number)!;
    this.#ready.delete(number);
    this.#ask();
    if ("batch" in reply) return reply.batch as Batch;
    const { message, data } = reply.error;
    throw data ? new DataError(data.file, data.reason, data.detail) : new Error(message);
  }

  /**
   * Takes the memory of a batch that is no longer needed for one to come; its arrays are empty afterwards. What is new
   * for each batch has to be collected, at a twentieth of a small model's step.
   */
  release(batch: Batch): void {
    if (this.#threads.length > 0) this.#spare.push(...buffersOf(batch));
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
    this.#failure = new Error("the loader is closed");
    this.#own?.store.close();
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  #ask(): void {
    while (this.#asked < this.#until && this.#asked < this.#given + this.#prefetch) {
      const request: LoaderRequest = { number: this.#asked, spare: this.#spare.splice(0) };
      this.#threads[this.#asked % this.#threads.length].postMessage(request, request.spare);
      this.#asked++;
    }
  }

  #receive(reply: LoaderReply): void {
    this.#ready.set(reply.number, reply);
    this.#wake?.();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}

/** As many threads as batches of this size need on `cores` cores, where the others compute. */
export function defaultWorkers(cores: number): number {
  return Math.max(1, Math.min(8, Math.floor(cores / 4)));
}
