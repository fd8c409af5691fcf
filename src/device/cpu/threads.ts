/**
 * The threads of a cpu device: the calling one, which is number 0, and workers that sleep until there is a plan to run.
 *
 * The caller takes part in the work and waits, without its event loop, until the plan is done.
 */
import { CONTROL, COUNTER_BYTES, resetCounters } from "../../wasm/work-sharing.ts";
import { hasProcess, importLate } from "../environment.ts";
import type { Block, CpuMemory } from "./memory.ts";
import type { JobWords } from "./worker-text.ts";
import { JOB, workerText } from "./worker-text.ts";

/** What a module exports, see `emitPhases`. */
export interface ProgramExports {
  alone(table: number, threadMemory: number): void;
  run(table: number, run: number, counters: number, thread: number, threadMemory: number, mayBlock: number): void;
}

/** A program that threads can run. */
export interface SharedProgram {
  /** Not 0, and never used twice. */
  readonly id: number;
  readonly exports: ProgramExports;
  /** The module's bytes in the memory. */
  readonly module: Block;
  readonly moduleBytes: number;
  /** Counters that a run needs. */
  readonly counters: number;
  readonly threadBytes: number;
}

/** A kernel of the phase with this number has failed. */
export class PhaseError extends Error {
  constructor(
    readonly phase: number,
    cause?: unknown,
  ) {
    super(`phase ${phase}`, { cause });
  }
}

interface WorkerHandle {
  terminate(): void;
}

export class Threads {
  readonly count: number;
  readonly #memory: CpuMemory;
  readonly #workers: WorkerHandle[];
  readonly #mayBlock: boolean;
  #counters: Block | undefined;
  #threadMemory: Block | undefined;
  #threadBytes = 0;
  #run = 0;

  private constructor(memory: CpuMemory, workers: WorkerHandle[]) {
    this.#memory = memory;
    this.#workers = workers;
    this.count = workers.length + 1;
    this.#mayBlock = mayBlock();
  }

  /** @param count threads, the calling one among them; with 1 the memory need not be shared */
  static async start(memory: CpuMemory, count: number): Promise<Threads> {
    const numbers = Array.from({ length: count - 1 }, (_, i) => i + 1);
    const started = await Promise.allSettled(numbers.map((thread) => startWorker({ memory: memory.memory, thread })));
    const workers = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const failed = started.find((one) => one.status === "rejected");
    if (!failed) return new Threads(memory, workers);
    for (const worker of workers) worker.terminate();
    // Workers may be forbidden (a page's content security policy): the calling thread will do.
    if (hasProcess) throw failed.reason;
    return new Threads(memory, []);
  }

  /** Memory of `bytes` for every thread; thread 0's address. */
  threadMemory(bytes: number): number {
    const each = Math.ceil(bytes / 64) * 64 + 64;
    if (!this.#threadMemory || each > this.#threadBytes) {
      if (this.#threadMemory) this.#memory.free(this.#threadMemory);
      this.#threadMemory = undefined;
      this.#threadMemory = this.#memory.allocate(each * this.count);
      this.#threadBytes = each;
    }
    return this.#threadMemory.address;
  }

  /** Runs a program on all threads. @throws PhaseError where a kernel fails */
  run(program: SharedProgram, table: number): void {
    const own = this.threadMemory(program.threadBytes);
    const counters = this.#countersFor(program.counters);
    const words = this.#memory.words;
    this.#run = (this.#run + 1) & 0x7fffffff;
    const run = this.#run;
    resetCounters(words, counters, program.counters, run);
    Atomics.store(words, CONTROL.failed / 4, 0);
    const { module, moduleBytes, id } = program;
    const job: JobWords = [module.address, moduleBytes, table, run, counters, own, this.#threadBytes];
    // While words change there is no program, and a worker that was reading before sees that the sequence has changed.
    Atomics.store(words, JOB.program, 0);
    this.#announce();
    job.forEach((value, i) => Atomics.store(words, JOB.first + i, value));
    Atomics.store(words, JOB.program, id);
    this.#announce();
    try {
      program.exports.run(table, run, counters, 0, own, this.#mayBlock ? 1 : 0);
    } catch (error) {
      throw new PhaseError(words[CONTROL.phaseOfThread / 4], error);
    }
    const failed = Atomics.load(words, CONTROL.failed / 4);
    if (failed !== 0) throw new PhaseError(failed - 1);
  }

  #announce(): void {
    Atomics.add(this.#memory.words, JOB.sequence, 1);
    Atomics.notify(this.#memory.words, JOB.sequence);
  }

  /** A program's memory is about to be freed: no worker may look at it any more. */
  forget(program: SharedProgram): void {
    if (Atomics.load(this.#memory.words, JOB.program) !== program.id) return;
    Atomics.store(this.#memory.words, JOB.program, 0);
    this.#announce();
  }

  #countersFor(count: number): number {
    // Counters are never freed: a thread that slept through the end of its run may still look at them.
    if (!this.#counters || this.#counters.size < count * COUNTER_BYTES + 64) {
      this.#counters = this.#memory.allocate(Math.max(1024, 2 * count) * COUNTER_BYTES + 64);
    }
    return this.#counters.address;
  }

  close(): void {
    Atomics.store(this.#memory.words, JOB.exit, 1);
    this.#announce();
    for (const worker of this.#workers) worker.terminate();
  }
}

/** Whether this thread may sleep (not that of a web page). */
function mayBlock(): boolean {
  if (typeof SharedArrayBuffer === "undefined") return false;
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

async function startWorker(data: { memory: WebAssembly.Memory; thread: number }): Promise<WorkerHandle> {
  if (hasProcess) {
    const { Worker: NodeWorker } = await importLate<typeof import("node:worker_threads")>("node:worker_threads");
    const worker = new NodeWorker(workerText, { eval: true, workerData: data, execArgv: [] });
    // A process that has nothing else to do may end.
    worker.unref();
    return { terminate: () => void worker.terminate() };
  }
  const url = URL.createObjectURL(new Blob([workerText], { type: "text/javascript" }));
  const worker = new Worker(url);
  // A policy that forbids the worker is told by an event, and only then is it known how many threads there are.
  return new Promise((resolve, reject) => {
    worker.onmessage = () => {
      URL.revokeObjectURL(url);
      resolve(worker);
    };
    worker.onerror = (event) => reject(new Error(event.message || "the worker does not start"));
    worker.postMessage(data);
  });
}
