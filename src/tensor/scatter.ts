/**
 * `scatterAdd`: sources summed where an index says, the adjoint of `gather`.
 *
 * Every element sums the sources that name it in their order, so the result does not depend on how work is divided.
 * A device's kernel visits each source once; the decomposition compares every place with every index.
 */
import * as build from "./build.ts";
import type { HostArray } from "./dtype.ts";
import type { FusedOp } from "./fused.ts";
import type { Node } from "./node.ts";
import { formatShape, sameShape, sizeOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { Tensor } from "./tensor.ts";

export interface ScatterAttrs {
  /** Places along the axis. */
  readonly size: number;
}

/** In: index [O or 1, T, I or 1], i32 or u32, and source [O, T, I]. Out: the sums [O, size, I]. */
export const SCATTER_ADD: FusedOp<ScatterAttrs> = {
  name: "scatterAdd",
  outputs: ([, source], { size }) => [{ shape: [source.shape[0], size, source.shape[2]], dtype: source.dtype }],
  decompose([index, source], { size }) {
    const places = new Tensor(build.iota([size])).cast(index.dtype).reshape([1, size, 1, 1]);
    return [index.unsqueeze(1).eq(places).where(source.unsqueeze(1), 0).sum(2)];
  },
  host([index, source], [{ shape: indexShape }, { shape }], { size }) {
    const [outer, length, inner] = shape;
    const sums = new (source.constructor as new (n: number) => HostArray)(outer * size * inner);
    const [everyRow, everyColumn] = [indexShape[0] === 1, indexShape[2] === 1];
    for (let o = 0; o < outer; o++) {
      for (let t = 0; t < length; t++) {
        for (let i = 0; i < inner; i++) {
          const at = index[((everyRow ? 0 : o) * length + t) * indexShape[2] + (everyColumn ? 0 : i)];
          if (at >= 0 && at < size) sums[(o * size + at) * inner + i] += source[(o * length + t) * inner + i];
        }
      }
    }
    return [sums];
  },
  vjp([index, source], _, [dy], { size }) {
    if (!dy) return [];
    const at = index.expand(source.shape);
    return [undefined, dy.gather(1, at).mask(at.ge(0).and(at.lt(size)))];
  },
};

/** Zeros of `shape` with `source` summed in at `index` along `axis`. */
export function scatterAddZeros(shape: Shape, axis: number, index: Tensor, source: Tensor): Tensor {
  const fits =
    index.rank === shape.length &&
    index.shape.every((n, i) => i === axis || n === shape[i]) &&
    sameShape(index.shape, source.shape);
  if (!fits) {
    throw new Error(
      `scatterAdd: index ${formatShape(index.shape)} and source ${formatShape(source.shape)} must have one shape, ` +
        `equal to ${formatShape(shape)} except along axis ${axis}`,
    );
  }
  if (sizeOf(shape) === 0 || source.size === 0) return new Tensor(build.full(shape, 0, source.dtype));
  const [outer, inner] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  const whole = [outer, index.shape[axis], inner];
  const [sums] = build.fused(SCATTER_ADD, [bare(index.node, axis, whole), build.reshape(source.node, whole)], {
    size: shape[axis],
  });
  return new Tensor(build.reshape(sums, shape));
}

/** An index as [O, T, I], the shape `whole` of the source, each of O and I 1 where it is the same all along those axes. */
function bare(index: Node, axis: number, whole: Shape): Node {
  const given = index.op.kind === "expand" && index.inputs[0].shape[axis] === whole[1] ? index.inputs[0] : index;
  const shape = [sizeOf(given.shape.slice(0, axis)), whole[1], sizeOf(given.shape.slice(axis + 1))];
  const uniform = shape.every((n, i) => n === 1 || n === whole[i]);
  return uniform ? build.reshape(given, shape) : build.reshape(index, whole);
}
