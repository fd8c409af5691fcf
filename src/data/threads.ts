/**
 * Numbered pieces of work on threads: dealt to them in turn, done ahead of their use and given in their order, so that
 * the number of threads changes nothing but the speed.
 */
import { parentPort, Worker } from "node:worker_threads";
import type { BadInput } from "./errors.ts";
import { DataError } from "./errors.ts";

/** Which pieces there are, and on how many threads of which program. */
interface ThreadsOptions {
  /** The program, as it is called in a build: a file that ends in `.js`. */
  readonly program: URL;
  /** What each thread is started with: its `workerData`. */
  readonly setup: unknown;
  /** First piece, and the one after the last. */
  readonly from: number;
  readonly until: number;
  readonly threads: number;
  /** Pieces asked for ahead of time. */
  readonly ahead: number;
}

/** What a thread is asked for: a piece by number, in memory that is no longer needed. */
interface Request {
  readonly number: number;
  readonly spare: ArrayBuffer[];
}

/** What a thread answers: the piece, or the error that came instead. */
type Reply<Result> =
  | { readonly number: number; readonly result: Result }
  | {
      readonly number: number;
      readonly error: {
        readonly message: string;
        readonly data?: { readonly file: string; readonly reason: BadInput; readonly detail: string };
      };
    };

/**
 * Starts a thread. In a build its program is a JavaScript file; from the sources, a thread does not inherit what reads
 * TypeScript (Node 20), so it registers tsx first.
 */
function startThread(program: URL, setup: unknown): Worker {
  if (!import.meta.url.endsWith(".ts")) return new Worker(program, { workerData: setup });
  const [tsx, source] = [import.meta.resolve("tsx/esm/api"), program.href.replace(/\.js$/, ".ts")];
  const code = `import("${tsx}").then(({ register }) => { register(); return import("${source}"); })`;
  return new Worker(code, { eval: true, workerData: setup });
}

/** All there is to a thread's program: answers every number with a piece, and gives the memory it names away with it. */
export function answerAll<Result>(
  make: (number: number, spare: ArrayBuffer[]) => readonly [Result, ArrayBuffer[]],
): void {
  const port = parentPort!;
  port.on("message", ({ number, spare }: Request) => {
    try {
      const [result, memory] = make(number, spare);
      port.postMessage({ number, result } satisfies Reply<Result>, memory);
    } catch (error) {
      const data =
        error instanceof DataError ? { file: error.file, reason: error.reason, detail: error.detail } : undefined;
      port.postMessage({ number, error: { message: (error as Error).message, data } } satisfies Reply<Result>);
    }
  });
}

/** The threads, and what they have done. */
export class Threads<Result> {
  #asked: number;
  #given: number;
  readonly #until: number;
  readonly #ahead: number;
  readonly #threads: readonly Worker[];
  readonly #ready = new Map<number, Reply<Result>>();
  readonly #spare: ArrayBuffer[] = [];
  #failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor({ program, setup, from, until, threads, ahead }: ThreadsOptions) {
    this.#asked = from;
    this.#given = from;
    this.#until = until;
    this.#ahead = ahead;
    this.#threads = Array.from({ length: threads }, () => {
      const thread = startThread(program, setup);
      thread.on("message", (reply: Reply<Result>) => this.#receive(reply));
      thread.on("error", (error: unknown) => this.#fail(error as Error));
      thread.on("exit", (code) => this.#fail(new Error(`a thread ended with code ${code}`)));
      // A thread that waits for work does not keep the process alive.
      thread.unref();
      return thread;
    });
    this.#ask();
  }

  /** The next piece, or undefined after the last. @throws what its thread threw: a DataError as one, others by message. */
  async next(): Promise<Result | undefined> {
    if (this.#given >= this.#until) return undefined;
    const number = this.#given++;
    while (!this.#ready.has(number)) {
      if (this.#failure) throw this.#failure;
      // Until the thread answers, something has to keep the process alive.
      const alive = setInterval(() => undefined, 1 << 30);
      await new Promise<void>((resolve) => (this.#wake = resolve));
      clearInterval(alive);
    }
    const reply = this.#ready.get(number)!;
    this.#ready.delete(number);
    this.#ask();
    if ("result" in reply) return reply.result;
    const { message, data } = reply.error;
    throw data ? new DataError(data.file, data.reason, data.detail) : new Error(message);
  }

  /** Takes memory that is no longer needed, for a piece to come. */
  release(memory: readonly ArrayBuffer[]): void {
    this.#spare.push(...memory);
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    this.#failure = new Error("the threads are closed");
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }

  #ask(): void {
    while (this.#asked < this.#until && this.#asked < this.#given + this.#ahead) {
      const request: Request = { number: this.#asked, spare: this.#spare.splice(0) };
      this.#threads[this.#asked % this.#threads.length].postMessage(request, request.spare);
      this.#asked++;
    }
  }

  #receive(reply: Reply<Result>): void {
    this.#ready.set(reply.number, reply);
    this.#wake?.();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wake?.();
  }
}
