/**
 * Sums and dot products over very many elements, as sums of parts, each of which a kernel sums in blocks: rounding errors
 * do not grow with the length (Higham 1993, SIAM J. Sci. Comput. 14(4)).
 */
import { isFloat } from "../tensor/dtype.ts";
import type { Node } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Elements from which a sum is long, and from which the inner axis of a product is. */
export const LONG = 2 ** 18;
const LONG_PRODUCT = 2 ** 15;
/** Elements of a part of a long sum, about. */
const PART = 512;

/** The product of a [.., m, k] and b [.., k, n] of long k, for a device whose kernels sum k in one chain. */
export type LongProduct = (a: Tensor, b: Tensor) => Tensor;

/** What takes the place of a long sum or product; undefined for every other node. */
export function inPartsIfLong(node: Node, inputs: readonly Node[], product?: LongProduct): Node | undefined {
  const { op, shape, dtype } = node;
  const [x] = inputs;
  if (op.kind === "reduce" && op.name === "sum" && isFloat(dtype)) {
    if (sizeOf(x.shape) < LONG * sizeOf(shape)) return undefined;
    return sum(new Tensor(x).cast("f32"), op.axes).cast(dtype).node;
  }
  if (op.kind !== "matmul" || x.shape[x.shape.length - 1] < LONG_PRODUCT) return undefined;
  const [a, b] = inputs.map((n) => new Tensor(n).cast("f32"));
  const isDot = shape[shape.length - 2] * shape[shape.length - 1] === 1;
  return (isDot ? dot : product)?.(a, b).cast(dtype).node;
}

/** Products of [.., 1, k] and [.., k, 1]. */
const dot: LongProduct = (a, b) => sum(a.mul(b.transpose()), [a.rank - 1]).unsqueeze(-1);

function sum(x: Tensor, axes: readonly number[]): Tensor {
  const parts = sizeOf(axes.map((a) => x.shape[a])) / PART;
  // Few parts are for one kernel.
  if (parts < 9) return x.sum(axes);
  const axis = axes.reduce((a, b) => (x.shape[b] > x.shape[a] ? b : a));
  const cut = inParts(x, axis, Math.min(x.shape[axis], Math.ceil(parts)));
  const sums = cut.sum(axes.map((a) => (a < axis ? a : a + 1)));
  return sum(sums, [axis - axes.filter((a) => a < axis).length]);
}

/** An axis as [parts, elements of a part], filled up with zeros. */
export function inParts(x: Tensor, axis: number, parts: number): Tensor {
  const size = x.shape[axis];
  const each = Math.ceil(size / parts);
  const missing = parts * each - size;
  const whole = missing > 0 ? x.pad(x.shape.map((_, i) => [0, i === axis ? missing : 0] as const)) : x;
  return whole.reshape([...x.shape.slice(0, axis), parts, each, ...x.shape.slice(axis + 1)]);
}
