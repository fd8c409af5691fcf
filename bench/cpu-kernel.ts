/**
 * Times kernels of the cpu device on one thread, below the engine, beside the register tile's own rate.
 *
 * Times are of the processor, so that what else the machine does counts less.
 */
import process from "node:process";
import { prepareEngine } from "../src/device/cpu/engine.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { i32 } from "../src/wasm/assembler/instructions.ts";
import type { WasmKernel, WasmLowering } from "../src/wasm/kernel.ts";
import { MR, NR, PACKED, WIDE_NR, strip } from "../src/wasm/matmul/micro-kernel.ts";
import { emitProgram } from "../src/wasm/program.ts";

/** What this engine can do; `wide` where it joins neighbouring vectors and that is faster. */
export const features = await prepareEngine();

type Run = (table: number, begin: number, end: number, own: number) => void;

export interface LoadedKernels {
  /** Runs all kernels one after the other; milliseconds of each. */
  run(): number[];
  /** Bytes of the module. */
  readonly bytes: number;
  /** When memory was ready: the beginning of printing and compiling. */
  readonly start: number;
}

/**
 * @param inputs elements of each input, which are filled with numbers
 * @param largest of which none is larger
 */
export function loadKernels(
  { kernels, scratch }: WasmLowering,
  inputs: readonly number[],
  outputs: readonly number[],
  largest = 0.5,
): LoadedKernels {
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
    for (let k = 0; k < words; k++) floats[at[i] / 4 + k] = 2 * largest * (((k * 2654435761) % 1000) / 1000 - 0.5);
  });
  new Uint32Array(memory.buffer).set(at, 0);
  const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
  const start = performance.now();
  const bytes = emitProgram(
    kernels.map((kernel) => ({
      kernel,
      inputs: range(0, inputs.length),
      outputs: range(inputs.length, outputs.length),
      scratch: range(inputs.length + outputs.length, scratch.length),
    })),
    features,
    false,
  );
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
  const run = () =>
    kernels.map((kernel, i) => {
      const start = process.cpuUsage();
      (exports[`kernel${i}`] as Run)(0, 0, kernel.units, own);
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1000;
    });
  return { run, bytes: bytes.length, start };
}

/** Steps of the panels, which stay in the first-level cache, and how often they are multiplied. */
const DEPTH = 256;
const REPEATS = 10000;
/** Columns of the tile of the engine's width. */
const columns = features.wide ? WIDE_NR : NR;
const tile: WasmKernel = {
  name: "tile",
  units: REPEATS,
  threadBytes: 0,
  emit(f, context) {
    const strides = { ...PACKED, bStep: 4 * columns };
    const callee = strip(context, { rows: MR, columns, strides, accumulate: false });
    const end = f.name(i32.add(context.input(1), i32.const(4 * columns * DEPTH)));
    const sizes = [4 * columns, 1, 0].map(i32.const);
    f.for(context.begin, context.end, 1, () =>
      f.call(callee, [context.input(0), context.input(1), end, context.output(0), ...sizes]),
    );
  },
};
const peak = loadKernels({ kernels: [tile], scratch: [] }, [MR * DEPTH, columns * DEPTH], [MR * columns]);

/** GFLOP/s of the register tile alone: 4×8, or 4×16 where the engine joins vectors. */
export function peakRate(): number {
  return (2 * MR * columns * DEPTH * REPEATS) / peak.run()[0] / 1e6;
}
for (let i = 0; i < 5; i++) peakRate();
