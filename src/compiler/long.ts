/**
 * Sums and products over very many elements, as sums of blocks and of groups of these: rounding errors then grow with
 * the logarithm of the length, nearly, and not with the length (pairwise summation: Higham 1993, SIAM J. Sci. Comput.
 * 14(4)). Shorter ones are left to the kernels, whose lanes and tiles are blocks enough.
 */
import * as build from "../tensor/build.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { Node } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Elements from which a sum, or the inner axis of a product, is long. */
export const LONG = 2 ** 18;
/** Elements of a block of a sum, and of a product's inner axis. */
const SUM_BLOCK = 512;
const PRODUCT_BLOCK = 1024;
/** Groups that the blocks are added in. */
const GROUPS = 64;
/** Elements of all the blocks' products together. */
const MOST_PRODUCTS = 2 ** 24;

/** What takes the place of a long sum or product; undefined for every other node. */
export function inBlocks(node: Node, inputs: readonly Node[]): Node | undefined {
  const { op } = node;
  if (op.kind === "reduce" && op.name === "sum" && isFloat(node.dtype)) {
    if (sizeOf(inputs[0].shape) < LONG * sizeOf(node.shape)) return undefined;
    return sum(new Tensor(inputs[0]).cast("f32"), op.axes).cast(node.dtype).node;
  }
  if (op.kind !== "matmul" || inputs[0].shape[inputs[0].shape.length - 1] < LONG) return undefined;
  return product(new Tensor(inputs[0]).cast("f32"), new Tensor(inputs[1]).cast("f32")).cast(node.dtype).node;
}

function sum(x: Tensor, axes: readonly number[]): Tensor {
  const count = sizeOf(axes.map((a) => x.shape[a]));
  if (count < LONG) return new Tensor(build.reduce("sum", x.node, axes));
  const axis = axes.reduce((a, b) => (x.shape[b] > x.shape[a] ? b : a));
  const others = count / x.shape[axis];
  const block = others < SUM_BLOCK ? Math.min(x.shape[axis], Math.ceil(SUM_BLOCK / others / 4) * 4) : 1;
  const cut = blocks(x, axis, block);
  // The blocks' sums: the cut axis keeps its groups and the blocks in a group.
  const inner = axes.map((a) => (a < axis ? a : a + 2));
  const parts = sum(cut, inner);
  const at = axis - axes.filter((a) => a < axis).length;
  return parts.sum(at + 1).sum(at);
}

/** An axis as [groups, blocks in a group, elements of a block], filled up with zeros. */
function blocks(x: Tensor, axis: number, block: number): Tensor {
  const size = x.shape[axis];
  const groups = Math.min(GROUPS, Math.ceil(size / block));
  const each = Math.ceil(size / block / groups);
  const missing = groups * each * block - size;
  const whole = missing > 0 ? x.pad(x.shape.map((_, i) => [0, i === axis ? missing : 0] as const)) : x;
  return whole.reshape([...x.shape.slice(0, axis), groups, each, block, ...x.shape.slice(axis + 1)]);
}

function product(a: Tensor, b: Tensor): Tensor {
  const rank = a.rank;
  const [m, k] = a.shape.slice(-2);
  const n = b.shape[rank - 1];
  const lead = a.shape.slice(0, -2);
  if (m * n === 1) {
    const row = [...lead, k];
    return sum(a.reshape(row).mul(b.reshape(row)), [rank - 2]).reshape([...lead, 1, 1]);
  }
  const least = (k * m * n * sizeOf(lead)) / MOST_PRODUCTS;
  const block = Math.max(PRODUCT_BLOCK, Math.ceil(least / 4) * 4);
  // [.., m, G, E, block] and [.., G, E, block, n], multiplied block by block.
  const left = blocks(a, rank - 1, block);
  const order = [...lead.map((_, i) => i), rank - 1, rank, rank - 2, rank + 1];
  return left
    .permute(order)
    .matmul(blocks(b, rank - 2, block))
    .sum(rank - 1)
    .sum(rank - 2);
}
