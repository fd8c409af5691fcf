/**
 * Keeping memory flat over many submits, under Node.
 *
 * Every submit makes a command encoder, a pass and a command buffer. Dawn frees them when their JavaScript wrappers
 * are collected, but those are so small that V8 is in no hurry: a fast loop piles up tens of megabytes of native
 * memory. A full collection once in a few hundred submits, at no more than five percent of the time, keeps resident
 * memory flat. Young collections are not enough, since the wrappers soon count as old.
 */
import { importLate, isNode } from "./environment.ts";

/** Submits between two collections, at least, where little memory is waiting for one. */
const SUBMITS = 256;

/** Bytes of tensors made since the last collection that are worth one, however few the submits. */
const BYTES = 2 ** 28;

/** A collection that takes t is followed by none for this many times t. */
const REST = 20;

let collect: (() => void) | undefined;
let submits = 0;
let bytes = 0;
let duration = 0;
let ended = 0;

/** Makes collections available. V8 gives its `gc` to a context that is made while a flag is set. */
export async function prepareCollection(): Promise<void> {
  if (!isNode || collect !== undefined) return;
  try {
    const v8 = await importLate<typeof import("node:v8")>("node:v8");
    const vm = await importLate<typeof import("node:vm")>("node:vm");
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as () => void;
    v8.setFlagsFromString("--no-expose-gc");
    collect = () => gc();
  } catch {
    // Another engine than V8: it collects when it sees fit.
  }
}

/** Collects now, where collections are available. */
export function collectGarbage(): void {
  collect?.();
}

/** Notes memory that only a collection gives back: bytes of a tensor made, less than 0 where it was disposed of. */
export function noteTensor(size: number): void {
  bytes += size;
}

/** To be called once for each submit of a loop. */
export function collectAfterSubmit(): void {
  if (collect === undefined || (++submits < SUBMITS && bytes < BYTES)) return;
  const start = performance.now();
  if (start - ended < REST * duration) return;
  collect();
  ended = performance.now();
  duration = ended - start;
  submits = 0;
  bytes = 0;
}
