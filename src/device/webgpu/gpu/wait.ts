/**
 * Waiting for the GPU.
 *
 * While a WebGPU promise is pending, Node's binding polls Dawn in a busy loop on the main thread, which takes a core
 * from a software driver. There the loop is slowed to one turn in half a millisecond, after some quick turns for work
 * that is done at once. Deno and browsers wait without help.
 */
import { isNode } from "../../environment.ts";

const QUICK_TURNS = 8;
const SLEEP_MS = 0.5;

const cell = isNode ? new Int32Array(new SharedArrayBuffer(4)) : undefined;

/** Settles as `promise` does. */
export async function waitFor<T>(promise: Promise<T>): Promise<T> {
  if (cell === undefined) return promise;
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  promise.then(mark, mark);
  for (let turn = 0; !settled; turn++) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    if (!settled && turn >= QUICK_TURNS) Atomics.wait(cell, 0, 0, SLEEP_MS);
  }
  return promise;
}
