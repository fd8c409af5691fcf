/** Operands of kernels, written short. Operands are contiguous, row-major. */
import type { ValueSpec } from "../tensor/fused.ts";

/** A float32 operand of this shape. */
export const f32 = (...shape: number[]): ValueSpec => ({ shape, dtype: "f32" });
