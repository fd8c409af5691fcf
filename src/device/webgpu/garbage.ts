/**
 * Keeping memory flat under Node.
 *
 * Every submit makes a command encoder, a pass and a command buffer. Dawn frees them when their JavaScript wrappers
 * are collected, and those are so small that V8 sees no reason to: a fast loop piles up tens of megabytes of native
 * memory between two collections. A collection of the young generation, well under a millisecond, once in a number of
 * submits keeps them from piling up.
 */
import { importLate, isNode } from "../environment.ts";

/** Submits between two collections. */
const SUBMITS = 64;

let collectYoung: (() => void) | undefined;

/** Makes the collection available; nothing outside Node. V8 offers `gc` to code that sets a flag at run time. */
export async function prepareCollection(): Promise<void> {
  if (!isNode || collectYoung !== undefined) return;
  try {
    const v8 = await importLate<typeof import("node:v8")>("node:v8");
    const vm = await importLate<typeof import("node:vm")>("node:vm");
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as (options: { type: "minor" }) => void;
    collectYoung = () => gc({ type: "minor" });
  } catch {
    collectYoung = undefined;
  }
}

/** To be told of each submit's number; collects at every 64th. */
export function collectAtSubmit(submits: number): void {
  if (submits % SUBMITS === 0) collectYoung?.();
}
