/**
 * What an op hands to devices so that they run kernels of their own rather than its decomposition. The kernels hang on
 * the op: a bundle of a program that does not use an op carries none of its kernels.
 */
import type { LowerToWgsl } from "../../shaders/kernel.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import type { LowerToWasm } from "../../wasm/kernel.ts";

/** The kernels of one fused op, by kind of device. */
export interface Kernels<A extends object> {
  readonly cpu: LowerToWasm<A>;
  readonly webgpu: LowerToWgsl<A>;
  /** Floating-point operations, for measurements; absent where the op only chooses or moves. */
  readonly flops?: (inputs: readonly ValueSpec[], attrs: A) => number;
}
