/**
 * Fused ops: a name, a meaning, and room for kernels.
 *
 * The decomposition into primitives is the meaning: the reference device runs it, gradients can be taken through it,
 * and every tuned lowering is tested against it. A device that has no lowering for an op runs the decomposition.
 */
import type { Loop } from "./program/body.ts";
import type { DType, HostArray } from "./dtype.ts";
import type { Shape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** Shape and element type of an operand or a result. */
export interface ValueSpec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Shape and dtype alone, of a node or a tensor say: what keeps them does not keep what they belong to. */
export const valueSpec = ({ shape, dtype }: ValueSpec): ValueSpec => ({ shape, dtype });

/** Kernels of a fused op for one kind of device; the room of that device's kernels says what it is given and gives. */
type Lower = (inputs: readonly ValueSpec[], attrs: never, ...more: never[]) => object | undefined;

/** A fused op: its meaning as other ops, its gradient, and the kernels that devices have for it. */
export interface FusedOp<A extends object = object> {
  readonly name: string;
  /** Kernels by kind of device; without them a device runs the decomposition. */
  readonly kernels?: {
    readonly cpu?: Lower;
    readonly webgpu?: Lower;
    /** Floating-point operations of the kernels, a multiply-add as two; absent where they do none. */
    readonly flops?: (inputs: readonly ValueSpec[], attrs: never) => number;
  };
  /** Shapes and dtypes of the results. Inputs were checked by the public function that builds the op. */
  outputs(inputs: readonly ValueSpec[], attrs: A): ValueSpec[];
  /** The results from other ops: the meaning that every kernel is held to, and what gradients are taken of. */
  decompose(inputs: readonly Tensor[], attrs: A): Tensor[];
  /**
   * The results on host arrays, for the reference device, where the decomposition's work is out of proportion. Floating
   * operands are float64.
   */
  host?(inputs: readonly HostArray[], specs: readonly ValueSpec[], attrs: A): HostArray[];
  /** Set where the op is one body run step after step: devices plan the body once, and loop over it. */
  readonly loop?: Loop;
  /**
   * Cotangents of the inputs from those of the outputs (`undefined`: zero). Absent, or where it returns `undefined`:
   * the gradient of the decomposition is taken.
   */
  vjp?(
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    cotangents: readonly (Tensor | undefined)[],
    attrs: A,
  ): (Tensor | undefined)[] | undefined;
}
