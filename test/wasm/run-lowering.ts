/**
 * Runs a fused op's WebAssembly kernels on given inputs, one thread, and hands back the outputs: for tests of one family
 * without a device around it.
 */
import type { Pass } from "../support/decomposition.ts";
import { enableRelaxedSimd } from "../../src/device/cpu/engine.ts";
import { wasmFeatures } from "../../src/wasm/assembler/features.ts";
import type { WasmFeatures } from "../../src/wasm/assembler/features.ts";
import type { WasmLowering } from "../../src/wasm/kernel.ts";
import { emitProgram } from "../../src/wasm/program.ts";

await enableRelaxedSimd();

/** Words beside every tensor that must stay as they are. */
const GUARD = 16;
const SENTINEL = 0x7fc0dead;
/** Bytes behind a tensor that may be read: those the device's memory leaves there. */
const PADDING = 16;

/**
 * One of the inputs ends, but for its padding, where the memory ends: what reads further on traps.
 *
 * @param sizes elements of every output
 * @param split units each call gets; by default all in one call
 * @throws Error where a kernel writes beside its tensors, or reads behind that input
 */
export function runLowering(
  lowering: WasmLowering,
  inputs: readonly Float32Array[],
  sizes: readonly number[],
  { split = Infinity, features = wasmFeatures() }: { split?: number; features?: WasmFeatures } = {},
): Float32Array[] {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  let top = 1024;
  const ends: number[] = [];
  const place = (words: number): number => {
    const at = Math.ceil(top / 64) * 64;
    top = at + 4 * (words + GUARD);
    ends.push(at + 4 * words);
    return at;
  };
  const at: number[] = [
    ...inputs.map((x) => x.length),
    ...sizes,
    ...lowering.scratch.map((s) => s.shape.reduce((a, b) => a * b, 1)),
  ].map(place);
  const threadBytes = Math.max(0, ...lowering.kernels.map((k) => k.threadBytes));
  const threadMemory = place(Math.ceil(threadBytes / 4));
  // A different one from call to call, the same every time for the same sizes.
  const last = inputs.reduce((sum, x) => sum + x.length, 0) % inputs.length;
  memory.grow(Math.ceil((top + 4 * inputs[last].length + PADDING) / 65536));
  at[last] = memory.buffer.byteLength - PADDING - 4 * inputs[last].length;
  const words = new Uint32Array(memory.buffer);
  words.fill(SENTINEL, 256);
  words.set(at, 0);
  inputs.forEach((x, i) => new Float32Array(memory.buffer, at[i], x.length).set(x));
  const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
  const entries = lowering.kernels.map((kernel) => ({
    kernel,
    inputs: range(0, inputs.length),
    outputs: range(inputs.length, sizes.length),
    scratch: range(inputs.length + sizes.length, lowering.scratch.length),
  }));
  const module = new WebAssembly.Module(emitProgram(entries, features, false));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  lowering.kernels.forEach((kernel, i) => {
    const run = exports[`kernel${i}`] as (table: number, begin: number, end: number, own: number) => void;
    for (let begin = 0; begin < kernel.units; begin += split)
      run(0, begin, Math.min(kernel.units, begin + split), threadMemory);
  });
  for (const end of ends) {
    for (let i = 0; i < GUARD; i++) {
      if (words[end / 4 + i] !== SENTINEL)
        throw new Error(`a kernel of ${lowering.kernels[0].name} wrote beside its tensors`);
    }
  }
  return sizes.map(
    (size, i) => new Float32Array(memory.buffer.slice(at[inputs.length + i], at[inputs.length + i] + 4 * size)),
  );
}

/** How kernels are run: units a call, and instructions and widths other than this machine's. */
export interface Run {
  readonly split?: number;
  readonly relaxedSimd?: boolean;
  readonly wide?: boolean;
}

/** The outputs of a forward and a backward kernel, each in one run of its own. */
export function runPasses(
  [forward, backward]: readonly [WasmLowering, WasmLowering],
  passes: { readonly forward: Pass; readonly backward: Pass },
  { split, relaxedSimd, wide }: Run = {},
): Float32Array[] {
  const features = { ...wasmFeatures(), ...(relaxedSimd === undefined ? {} : { relaxedSimd }), wide };
  return [
    ...runLowering(forward, passes.forward.inputs, passes.forward.sizes, { split, features }),
    ...runLowering(backward, passes.backward.inputs, passes.backward.sizes, { split, features }),
  ];
}
