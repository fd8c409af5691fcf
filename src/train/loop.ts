/**
 * The loop around a training step: batches in, a step each, measures out, with stops at which a model is saved or judged.
 *
 * What a step measures (its loss, and what else it gives) stays on the device, so that the host can prepare the next
 * step while the device computes; it is read a few steps at a time, and always before a stop. The loop knows neither the
 * model nor where batches come from: a training that goes on from step n gives `from: n` and batches from there.
 */
import type { Tensor } from "../tensor/tensor.ts";

/** What a step measured, on the host. */
export interface StepValues {
  /** Counted from 1. */
  readonly step: number;
  /** The elements of the step's tensor, in row-major order. */
  readonly values: readonly number[];
}

/** What a `trainLoop` runs, and when it tells what. */
export interface TrainLoopOptions<Batch> {
  /** Steps that were done before. Default 0. */
  readonly from?: number;
  /** Steps of the whole training, those before included; Infinity: until the batches end. */
  readonly steps: number;
  /** Batches of step `from` + 1 and on; closed (`return`) when the loop ends, also by an error. */
  readonly batches: Iterable<Batch> | AsyncIterable<Batch>;
  /** One step, counted from 1: sets rates and seeds, runs the compiled step, gives what it measured, on the device. */
  readonly step: (batch: Batch, step: number) => Promise<Tensor>;
  /** Steps whose measures are read together. Default 10. */
  readonly readEvery?: number;
  /** Milliseconds after which measures are read, however few steps they are of. Default: none. */
  readonly readAfter?: number;
  /** Is given the measures of every step once, in order; `done` steps have been computed by then. */
  readonly onValues?: (values: readonly StepValues[], done: number) => void | Promise<void>;
  /** After each step, when it is on its way to the device. */
  readonly onStep?: (done: number) => void | Promise<void>;
  /** Whether the loop stops after so many steps; the last step is a stop in any case. Default: it does not. */
  readonly stopsAt?: (done: number) => boolean;
  /** At a stop: measures of all steps until here have been given. */
  readonly onStop?: (done: number) => void | Promise<void>;
  /** Ends the loop after the step under way; measures are read and `onStop` is called, unless it just was. */
  readonly signal?: AbortSignal;
}

/**
 * Runs the steps that are left.
 * @returns how many steps of the training are done: `steps`, or fewer where the signal aborted.
 * @throws Error where batches end before a number of steps that was given, and what the callbacks throw.
 */
export async function trainLoop<Batch>(options: TrainLoopOptions<Batch>): Promise<number> {
  const { from = 0, steps, step, readEvery = 10, readAfter = Infinity, signal } = options;
  const batches = iteratorOf(options.batches);
  let done = from;
  let stopped: number | undefined;
  let unread: { readonly step: number; readonly measured: Tensor }[] = [];
  let lastRead = performance.now();

  const read = async (): Promise<void> => {
    const reading = unread;
    unread = [];
    lastRead = performance.now();
    if (reading.length === 0) return;
    const found: StepValues[] = [];
    for (const { step: at, measured } of reading) {
      found.push({ step: at, values: [...(await measured.read())] });
      measured.dispose();
    }
    await options.onValues?.(found, done);
  };
  const stop = async (): Promise<void> => {
    await read();
    await options.onStop?.(done);
    stopped = done;
  };

  try {
    while (done < steps && !signal?.aborted) {
      // Lets arrived batches and Ctrl-C in, also where a step never waits for the event loop.
      await turn();
      const next = await batches.next();
      if (next.done && steps === Infinity) break;
      if (next.done) throw new Error(`trainLoop: batches ended after step ${done} of ${steps}; give one for each step`);
      const measured = await step(next.value, done + 1);
      done++;
      unread.push({ step: done, measured });
      await options.onStep?.(done);
      if (done === steps || options.stopsAt?.(done)) await stop();
      else if (unread.length >= readEvery || performance.now() - lastRead > readAfter) await read();
    }
    if (stopped !== done && done < steps) await stop();
    return done;
  } finally {
    await batches.return?.();
  }
}

/** A turn of the event loop. Timers of browsers wait some milliseconds, messages do not. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

function iteratorOf<Batch>(batches: Iterable<Batch> | AsyncIterable<Batch>): Iterator<Batch> | AsyncIterator<Batch> {
  return Symbol.asyncIterator in batches ? batches[Symbol.asyncIterator]() : batches[Symbol.iterator]();
}
