/** What the reducing methods of a tensor do: checks, dtypes of bools and integers, empty axes; then one node or a few. */
import * as build from "../build.ts";
import { requireFlag, requireNumber } from "../door/door.ts";
import { isFloat } from "../dtype.ts";
import { formatShape, normalizeAxes, normalizeAxis, sizeOf } from "../shape.ts";
import type { Axes } from "./arguments.ts";
import { Tensor } from "../tensor.ts";

/** Sums and products of bools count as i32; the largest and smallest of bools are bools. */
export function reduction(
  name: "sum" | "prod" | "max" | "min",
  x: Tensor,
  axes: Axes | undefined,
  keepDims: boolean,
): Tensor {
  requireFlag(name, "keepDims", keepDims, `; several axes go in an array: ${name}([0, 1])`);
  const list = normalizeAxes(name, axes, x.rank);
  if (x.dtype === "bool") {
    const counted = reduction(name, x.cast("i32"), axes, keepDims);
    return name === "max" || name === "min" ? counted.cast("bool") : counted;
  }
  const reduced = new Tensor(build.reduce(name, x.node, list));
  return keepDims ? reduced.reshape(x.shape.map((n, i) => (list.includes(i) ? 1 : n))) : reduced;
}

/** Whether any element, or all, are not 0, as bools; for no element the answer is that of an empty list. */
export function holding(name: "any" | "all", x: Tensor, axes: Axes | undefined, keepDims: boolean): Tensor {
  requireFlag(name, "keepDims", keepDims, `; several axes go in an array: ${name}([0, 1])`);
  const list = normalizeAxes(name, axes, x.rank);
  const truth = x.cast("bool").cast("i32");
  if (list.some((a) => x.shape[a] === 0)) {
    const shape = keepDims
      ? x.shape.map((n, i) => (list.includes(i) ? 1 : n))
      : x.shape.filter((_, i) => !list.includes(i));
    return new Tensor(build.full(shape, name === "all" ? 1 : 0, "bool"));
  }
  return (name === "any" ? truth.max(axes, keepDims) : truth.min(axes, keepDims)).cast("bool");
}

/** Position of the first extreme along an axis, as i32; a NaN is more extreme than any number. */
export function argExtreme(name: "max" | "min", x: Tensor, axis: number): Tensor {
  if (x.dtype === "bool") return argExtreme(name, x.cast("i32"), axis);
  const at = normalizeAxis(`arg${name}`, axis, x.rank);
  const size = x.shape[at];
  if (size === 0) throw new Error(`arg${name}: axis ${axis} of ${formatShape(x.shape)} is empty`);
  const extreme = reduction(name, x.detach(), at, true);
  const positions = new Tensor(build.iota([size])).reshape(x.shape.map((_, i) => (i === at ? size : 1)));
  const equal = x.detach().eq(extreme);
  return (isFloat(x.dtype) ? equal.or(x.detach().isNaN()) : equal).where(positions.expand(x.shape), size - 1).min(at);
}

/** Of no element it is not a number, as in PyTorch: 0 · ∞. */
export function mean(x: Tensor, axes: Axes | undefined, keepDims: boolean): Tensor {
  const count = sizeOf(normalizeAxes("mean", axes, x.rank).map((a) => x.shape[a]));
  if (!isFloat(x.dtype)) return x.cast("f32").sum(axes, keepDims).div(count);
  return x.sum(axes, keepDims).mul(1 / count);
}

/** Of no element it is not a number, as in PyTorch. */
export function variance(x: Tensor, axes: Axes | undefined, keepDims: boolean, correction: number): Tensor {
  const count = sizeOf(normalizeAxes("variance", axes, x.rank).map((a) => x.shape[a]));
  requireNumber("variance", "correction", correction);
  if (count > 0 && !(count > correction)) throw new Error(`variance: ${count} elements with correction ${correction}`);
  return asFloat(x)
    .sub(x.mean(axes, true))
    .square()
    .sum(axes, keepDims)
    .mul(1 / Math.max(0, count - correction));
}

/** A floating tensor as it is, others as f32. */
function asFloat(x: Tensor): Tensor {
  return isFloat(x.dtype) ? x : x.cast("f32");
}
