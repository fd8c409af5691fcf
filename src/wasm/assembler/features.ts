/**
 * What this engine's WebAssembly can do, and the operations that depend on it.
 */
import type { Value } from "./instructions.ts";
import { f32x4, i32, v128 } from "./instructions.ts";
import { MAX_PAGES, ModuleBuilder } from "./module.ts";

/** What an engine's WebAssembly can do besides SIMD, which all have. */
export interface WasmFeatures {
  /** Fused multiply-add of the relaxed SIMD proposal. */
  readonly relaxedSimd: boolean;
  /** Memory shared between threads. */
  readonly threads: boolean;
  /** The engine joins neighbouring vectors into one of 256 bits: kernels are written in pairs of them. Default false. */
  readonly wide?: boolean;
  /** Products are faster with six rows of A at a time than with four. Default false. */
  readonly tall?: boolean;
  /** What a thread that does other things too calls when kernels have run on it. */
  settle?(): void;
}

/** Whether a module whose one function computes `value` is accepted. */
function accepts(value: Value, shared: boolean): boolean {
  const module = new ModuleBuilder();
  module.function({ parameters: [] }, (f) => f.drop(value));
  return WebAssembly.validate(module.encode(shared));
}

/** Asks the engine; Node 20 has fused multiply-add only after `enableRelaxedSimd`. */
export function wasmFeatures(): WasmFeatures {
  const one = f32x4.const(1);
  return {
    relaxedSimd: accepts(f32x4.relaxedMadd(one, one, one), false),
    threads: typeof SharedArrayBuffer !== "undefined" && accepts(one, true),
  };
}

/**
 * Whether x·y + z is rounded once: relaxed SIMD leaves it to the engine. V8 and SpiderMonkey round once where the
 * processor can; JavaScriptCore, Bun's and Safari's, rounds twice on x64. Results have the same bits among engines that agree.
 */
export function fusesMultiplyAdd(features: WasmFeatures): boolean {
  const [x, y, z] = [0, 16, 32];
  const module = new ModuleBuilder();
  module.function(
    { parameters: [] },
    (f) => {
      const [a, b, c] = [x, y, z].map((at) => v128.load(i32.const(at)));
      f.store(i32.const(z), multiplyAdd(features, a!, b!, c!));
    },
    "run",
  );
  const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES });
  const numbers = new Float32Array(memory.buffer);
  // (1 + 2⁻¹²)² − (1 + 2⁻¹¹) is 2⁻²⁴, which the rounding of the product takes away.
  numbers.fill(1 + 2 ** -12, 0, 8);
  numbers.fill(-(1 + 2 ** -11), 8, 12);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.encode(false)), { env: { memory } });
  (exports.run as () => void)();
  return numbers[8] === 2 ** -24;
}

/** x·y + z: one rounding where the engine has it, else two. */
export function multiplyAdd(features: WasmFeatures, x: Value, y: Value, z: Value): Value {
  return features.relaxedSimd ? f32x4.relaxedMadd(x, y, z) : f32x4.add(f32x4.mul(x, y), z);
}

/** z − x·y, likewise. */
export function negativeMultiplyAdd(features: WasmFeatures, x: Value, y: Value, z: Value): Value {
  return features.relaxedSimd ? f32x4.relaxedNmadd(x, y, z) : f32x4.sub(z, f32x4.mul(x, y));
}
