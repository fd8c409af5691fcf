/**
 * What this engine's WebAssembly can do, and the operations that depend on it.
 */
import type { Value } from "./instructions.ts";
import { f32x4 } from "./instructions.ts";
import { ModuleBuilder } from "./module.ts";

export interface WasmFeatures {
  /** Fused multiply-add of the relaxed SIMD proposal. */
  readonly relaxedSimd: boolean;
  /** Memory shared between threads. */
  readonly threads: boolean;
  /** The engine joins neighbouring vectors into one of 256 bits: kernels are written in pairs of them. Default false. */
  readonly wide?: boolean;
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

/** x·y + z: one rounding where the engine has it, else two. */
export function multiplyAdd(features: WasmFeatures, x: Value, y: Value, z: Value): Value {
  return features.relaxedSimd ? f32x4.relaxedMadd(x, y, z) : f32x4.add(f32x4.mul(x, y), z);
}

/** z − x·y, likewise. */
export function negativeMultiplyAdd(features: WasmFeatures, x: Value, y: Value, z: Value): Value {
  return features.relaxedSimd ? f32x4.relaxedNmadd(x, y, z) : f32x4.sub(z, f32x4.mul(x, y));
}
