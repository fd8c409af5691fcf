/**
 * The program of a worker thread, as text: it runs as it is in Node, Deno and browsers, whatever transforms TypeScript.
 *
 * A worker gets the shared memory once, and from then on only reads words in it. It never returns to its event loop: it
 * sleeps in `Atomics.wait`. Modules come as bytes in the memory; engines that have compiled the same bytes on another
 * thread do not do so again. A worker remembers as many programs as the device does plans.
 *
 * Growing by nothing makes the engine look how long the memory is: V8 does not tell a worker of it that receives the
 * memory while another thread lets it grow.
 */
import { CONTROL } from "../../wasm/work-sharing.ts";
import { MAX_PLANS } from "../plan-device.ts";

/** Words (not bytes) of the memory that tell workers what to do. */
export const JOB = {
  /** Bumped when there is something to do, last of all words. */
  sequence: 16,
  program: 17,
  /** From here on `JobWords`, in their order. */
  first: 18,
  /** Not 0: workers shall end. */
  exit: 25,
} as const;

/** Of what a job consists besides its program. */
export type JobWords = readonly [
  moduleAddress: number,
  moduleBytes: number,
  table: number,
  run: number,
  counters: number,
  threadMemory: number,
  threadBytes: number,
];

/**
 * Bytes of a buffer that is dropped with a program. The code of modules weighs nothing in V8's account, so that it would
 * not collect them in a thread that allocates nothing else; buffers do, and one that nobody touches is not resident. Below
 * 32 MiB glibc may take it from memory that was used before, and write zeros to all of it.
 */
const NUDGE = 1 << 25;
/** Looks at the sequence before a worker goes to sleep: some tens of microseconds. */
const SPINS = 5000;

export const workerText = `
"use strict";
function work({ memory, thread }) {
  const words = new Int32Array(memory.buffer);
  const programs = new Map();
  let seen = 0;
  for (;;) {
    for (let i = 0; i < ${SPINS} && Atomics.load(words, ${JOB.sequence}) === seen; i++);
    Atomics.wait(words, ${JOB.sequence}, seen);
    seen = Atomics.load(words, ${JOB.sequence});
    if (Atomics.load(words, ${JOB.exit})) return;
    const [program, at, size, table, run, counters, ownMemory, ownBytes] =
      Array.from({ length: 8 }, (_, i) => Atomics.load(words, ${JOB.program} + i) >>> 0);
    if (program === 0) continue;
    let exports = programs.get(program);
    if (!exports) {
      memory.grow(0);
      const bytes = new Uint8Array(memory.buffer).slice(at, at + size);
      if (Atomics.load(words, ${JOB.sequence}) !== seen) continue;
      exports = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } }).exports;
      programs.set(program, exports);
      if (programs.size > ${MAX_PLANS}) programs.delete(programs.keys().next().value), new ArrayBuffer(${NUDGE});
    }
    if (Atomics.load(words, ${JOB.sequence}) !== seen) continue;
    try {
      exports.run(table, run, counters, thread, ownMemory + thread * ownBytes, 1);
    } catch (error) {
      const phase = words[${CONTROL.phaseOfThread / 4} + 16 * thread];
      Atomics.store(words, ${CONTROL.failed / 4}, phase + 1);
      Atomics.add(words, ${CONTROL.progress / 4}, 1);
      Atomics.notify(words, ${CONTROL.progress / 4});
    }
  }
}
if (typeof require === "function") {
  work(require("node:worker_threads").workerData);
  process.exit();
} else if (typeof process === "object" && typeof WorkerGlobalScope === "undefined") {
  import("node:worker_threads").then(({ workerData }) => work(workerData));
} else {
  self.onmessage = ({ data }) => { self.postMessage(0); work(data); self.close(); };
}
`;
