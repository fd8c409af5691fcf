/**
 * hico-webgpu/kernels: operations of one's own with kernels of one's own, in WGSL for WebGPU and in WebAssembly for the
 * `cpu` device.
 *
 * ```ts
 * import { defineFusedOp, f32x4, i32, v128 } from "hico-webgpu/kernels";
 * ```
 *
 * @module hico-webgpu/kernels
 */
export { defineFusedOp } from "./define.ts";
export type {
  FusedFunction,
  FusedOpDefinition,
  WasmBody,
  WasmContext,
  WasmKernel,
  WasmKernels,
  WgslKernel,
  WgslKernels,
} from "./define.ts";
export type { AdapterProfile, Binding } from "../shaders/kernel.ts";
export type { ValueSpec } from "../tensor/fused.ts";
export { f32, f32x4, i32, i32x4 } from "../wasm/assembler/full-instructions.ts";
export { select, v128 } from "../wasm/assembler/instructions.ts";
export type { Value, ValueType } from "../wasm/assembler/instructions.ts";
export type { Local } from "../wasm/assembler/function.ts";
