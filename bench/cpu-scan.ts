/**
 * The recurrent scans of the cpu device alone, on one thread: milliseconds and GFLOP/s of one pass, beside the register
 * tile's own rate, below the engine.
 *
 *     node --import tsx bench/cpu-scan.ts [--shapes 64x64x128x1,64x64x256x2,64x64x512x1] [--rounds 5]
 *                                         [--cells gru,lstm]
 *
 * A shape is steps × batch × hidden × directions. `peak` is the 4×8 tile on panels that stay in the first-level cache,
 * timed between the passes; the best of the rounds counts for both. GFLOP/s count the products with the recurrent
 * weight. Times are of the processor, so that what else the machine does counts less; `first` is by the clock, of
 * printing, compiling and the first run.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import v8 from "node:v8";
import { gruBackwardSignature, gruForwardSignature } from "../src/shaders/gru-scan.ts";
import { lstmBackwardSignature, lstmForwardSignature } from "../src/shaders/lstm-scan.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { wasmFeatures } from "../src/wasm/features.ts";
import { gruBackward, gruForward } from "../src/wasm/gru-scan.ts";
import { i32 } from "../src/wasm/instructions.ts";
import type { WasmKernel, WasmLowering } from "../src/wasm/kernel.ts";
import { lstmBackward, lstmForward } from "../src/wasm/lstm-scan.ts";
import { microKernel } from "../src/wasm/micro-kernel.ts";
import { emitProgram } from "../src/wasm/program.ts";

v8.setFlagsFromString("--experimental-wasm-relaxed-simd");
const { values } = parseArgs({
  options: {
    shapes: { type: "string", default: "64x64x128x1,64x64x256x2,64x64x512x1" },
    rounds: { type: "string", default: "5" },
    cells: { type: "string", default: "gru,lstm" },
  },
});

type Run = (table: number, begin: number, end: number, own: number) => void;

interface Loaded {
  /** Runs all kernels; milliseconds of each. */
  readonly run: () => number[];
  readonly bytes: number;
  /** When memory was ready: the beginning of printing and compiling. */
  readonly start: number;
}

/** Kernels on inputs of small random numbers: one after the other. */
function load({ kernels, scratch }: WasmLowering, inputs: readonly number[], outputs: readonly number[]): Loaded {
  let top = 4096;
  const place = (words: number): number => {
    const at = Math.ceil(top / 64) * 64;
    top = at + 4 * words;
    return at;
  };
  const at = [...inputs, ...outputs, ...scratch.map((s) => sizeOf(s.shape))].map(place);
  const own = place(Math.max(...kernels.map((k) => k.threadBytes)) / 4);
  const memory = new WebAssembly.Memory({ initial: Math.ceil(top / 65536), maximum: 65536 });
  const floats = new Float32Array(memory.buffer);
  inputs.forEach((words, i) => {
    for (let k = 0; k < words; k++) floats[at[i] / 4 + k] = ((k * 2654435761) % 1000) / 5000 - 0.1;
  });
  new Uint32Array(memory.buffer).set(at, 0);
  const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
  const start = performance.now();
  const bytes = emitProgram(kernels.map((kernel) => ({
    kernel, inputs: range(0, inputs.length), outputs: range(inputs.length, outputs.length),
    scratch: range(inputs.length + outputs.length, scratch.length),
  })), wasmFeatures(), false);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  const run = () => kernels.map((kernel, i) => {
    const start = process.cpuUsage();
    (exports[`kernel${i}`] as Run)(0, 0, kernel.units, own);
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  });
  return { run, bytes: bytes.length, start };
}

/** The register tile on one panel of A and one of B of 256 steps, 20000 times. */
const DEPTH = 256;
const REPEATS = 20000;
const tile: WasmKernel = {
  name: "tile", units: REPEATS, threadBytes: 0,
  emit(f, context) {
    const callee = microKernel(context, false);
    f.for(context.begin, context.end, 1, () =>
      f.call(callee, [context.input(0), context.input(1), i32.const(DEPTH), context.output(0), i32.const(32)]));
  },
};
const peak = load({ kernels: [tile], scratch: [] }, [4 * DEPTH, 8 * DEPTH], [32]);
const peakRate = (): number => (2 * 32 * DEPTH * REPEATS) / peak.run()[0] / 1e6;
for (let i = 0; i < 5; i++) peakRate();

const passes = [
  { name: "gru forward", lower: gruForward, signature: gruForwardSignature, gates: 3 },
  { name: "gru backward", lower: gruBackward, signature: gruBackwardSignature, gates: 3 },
  { name: "lstm forward", lower: lstmForward, signature: lstmForwardSignature, gates: 4 },
  { name: "lstm backward", lower: lstmBackward, signature: lstmBackwardSignature, gates: 4 },
].filter(({ name }) => values.cells.split(",").some((cell) => name.startsWith(cell)));

console.log("T x B x H x D      pass            pack     scan ms  GFLOP/s  peak   ratio  first ms  bytes");
for (const shape of values.shapes.split(",")) {
  const [steps, batch, hidden, directions] = shape.split("x").map(Number);
  const spec = { steps, batch, directions, hidden, masked: false };
  const flops = 2 * steps * batch * directions * hidden * hidden;
  for (const { name, lower, signature, gates } of passes) {
    const { inputs, outputs } = signature(spec);
    const sizes = (operands: typeof inputs) => operands.map((s) => sizeOf(s.shape));
    const { run, bytes, start } = load(lower(spec), sizes(inputs), sizes(outputs));
    run();
    const first = performance.now() - start;
    let [best, pack, rate] = [Infinity, Infinity, 0];
    for (let round = 0; round < Number(values.rounds); round++) {
      const [packing, scan] = run();
      [best, pack] = [Math.min(best, scan), Math.min(pack, packing)];
      rate = Math.max(rate, peakRate());
    }
    const reached = (flops * gates) / best / 1e6;
    const column = (value: number, digits: number, width: number): string => value.toFixed(digits).padStart(width);
    console.log([
      shape.padEnd(18), name.padEnd(14), column(pack, 2, 5), column(best, 2, 11), column(reached, 1, 8), column(rate, 1, 6),
      column(reached / rate, 2, 6), column(first, 0, 9), column(bytes, 0, 6),
    ].join(" "));
  }
}
