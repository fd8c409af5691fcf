/**
 * A tensor of a test as data: its values, and how it lies in memory. From it come the tensor, often a view of another,
 * and the line of code that makes it again.
 */
import { tensor } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How a drawn tensor comes to be: with its values in order, or as a view of a tensor that has them otherwise. */
export type Layout = "plain" | "transposed" | "strided" | "flipped" | "expanded";

export const LAYOUTS: readonly Layout[] = ["plain", "transposed", "strided", "flipped", "expanded"];

/** fast-check prints a value by the method of this name. */
const PRINTED: unique symbol = Symbol.for("fast-check/toStringMethod") as never;

/** A drawn tensor: its shape, dtype, values and layout. */
export class Operand {
  constructor(
    readonly shape: Shape,
    readonly dtype: DType,
    /** In row-major order; an `expanded` one repeats the first row of its first axis. */
    readonly values: readonly number[],
    readonly layout: Layout = "plain",
  ) {}

  /** The tensor. */
  tensor(): Tensor {
    const { values, shape, view } = this.#base();
    return view(tensor([...values], { shape, dtype: this.dtype }));
  }

  /** The expression that makes the tensor, for a program that imports `tensor` from `hico-webgpu`. */
  get code(): string {
    const { values, shape, text } = this.#base();
    const list = values.map((value) => (Object.is(value, -0) ? "-0" : String(value))).join(", ");
    return `tensor([${list}], { shape: [${shape.join(", ")}], dtype: "${this.dtype}" })${text}`;
  }

  /** The same without one row of an axis. */
  without(axis: number, row: number): Operand {
    const inner = sizeOf(this.shape.slice(axis + 1));
    const values = this.values.filter((_, i) => Math.floor(i / inner) % this.shape[axis] !== row);
    const shape = this.shape.map((size, at) => (at === axis ? size - 1 : size));
    return new Operand(shape, this.dtype, values, this.layout);
  }

  [PRINTED](): string {
    return this.code;
  }

  /** The tensor in memory, and the view of it. */
  #base(): { values: readonly number[]; shape: Shape; view: (t: Tensor) => Tensor; text: string } {
    const { shape, values, layout } = this;
    const rank = shape.length;
    const last = shape[rank - 1];
    const plain = { values, shape, view: (t: Tensor) => t, text: "" };
    if (sizeOf(shape) === 0 || rank === 0) return plain;
    switch (layout) {
      case "transposed":
        if (rank < 2) return plain;
        return {
          ...{ values: transposed(values, last), shape: [last, ...shape.slice(0, -1)] },
          view: (t) => t.permute([...shape.keys()].map((axis) => (axis + 1) % rank)),
          text: `.permute([${[...shape.keys()].map((axis) => (axis + 1) % rank).join(", ")}])`,
        };
      case "strided":
        return {
          // Between the values lie others, which must not be seen.
          ...{ values: values.flatMap((value) => [value, this.dtype === "bool" ? 1 : 77]) },
          shape: [...shape.slice(0, -1), 2 * last],
          view: (t) => t.slice(...shape.slice(0, -1).map((n): [number, number] => [0, n]), [0, 2 * last, 2]),
          text: `.slice(${[...shape.slice(0, -1).map((n) => `[0, ${n}]`), `[0, ${2 * last}, 2]`].join(", ")})`,
        };
      case "flipped":
        return { values: [...values].reverse(), shape, view: (t) => t.flip(), text: ".flip()" };
      case "expanded":
        return {
          ...{ values: values.slice(0, sizeOf(shape) / shape[0]), shape: [1, ...shape.slice(1)] },
          view: (t) => t.expand(shape),
          text: `.expand([${shape.join(", ")}])`,
        };
      default:
        return plain;
    }
  }
}

/** Rows of `width` values with their last axis in front. */
function transposed(values: readonly number[], width: number): number[] {
  const rows = values.length / width;
  return values.map((_, i) => values[(i % rows) * width + Math.floor(i / rows)]);
}
