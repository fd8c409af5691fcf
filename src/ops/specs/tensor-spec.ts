/** What a kernel has to know of an operand, whatever prints the kernel. */
import type { DType } from "../../tensor/dtype.ts";
import type { Shape } from "../../tensor/shape.ts";

/** Shape and element type of a kernel's operand. Operands are contiguous, row-major. */
export interface TensorSpec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** A float32 operand of this shape. */
export const f32 = (...shape: number[]): TensorSpec => ({ shape, dtype: "f32" });
