/**
 * Multi-head scaled dot-product attention as kernels of the `cpu` device, forward and backward.
 *
 * A row whose keys are all masked attends to nothing: out 0, lse 0, gradients 0 (PyTorch gives NaN there). Operands and
 * results are in the order of `shaders/attention.ts`.
 */
import type { AttentionSpec } from "../../specs/attention.ts";
import { backwardKernel, joinGroups, partialSize } from "./backward.ts";
import { forwardKernel } from "./forward.ts";
import type { WasmLowering } from "../kernel.ts";

/** In: q, k, v or qkv, then mask, keep where the spec has them. Out: out [B, Tq, H, D], lse [B, H, Tq]. */
export function attentionForward(spec: AttentionSpec): WasmLowering {
  return { kernels: [forwardKernel(spec)], scratch: [] };
}

/** In: dout, q, k, v or qkv, out, lse, then mask, keep where present. Out: dq, dk, dv, or dqkv. */
export function attentionBackward(spec: AttentionSpec): WasmLowering {
  const partial = partialSize(spec);
  if (partial === 0) return { kernels: [backwardKernel(spec)], scratch: [] };
  return { kernels: [backwardKernel(spec), joinGroups(spec)], scratch: [{ shape: [partial], dtype: "f32" }] };
}
