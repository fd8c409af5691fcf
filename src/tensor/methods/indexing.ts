/** What the methods that read or write by an index tensor do, and the matrix product: NumPy's and PyTorch's rules, then nodes. */
import { inBounds } from "../bounds.ts";
import * as build from "../build.ts";
import { requireTensor } from "../door/door.ts";
import { scatterAddZeros } from "../scatter.ts";
import { formatShape, normalizeAxis } from "../shape.ts";
import { Tensor } from "../tensor.ts";

export function matmul(x: Tensor, y: Tensor): Tensor {
  requireTensor("matmul", "the operand", y);
  if (x.rank === 0 || y.rank === 0)
    throw new Error(`matmul: ${formatShape(x.shape)} times ${formatShape(y.shape)}: scalars are not matrices`);
  const a = x.rank === 1 ? x.unsqueeze(0) : x;
  const b = y.rank === 1 ? y.unsqueeze(1) : y;
  let product = new Tensor(build.matmul(a.node, b.node));
  if (y.rank === 1) product = product.squeeze(-1);
  if (x.rank === 1) product = product.squeeze(y.rank === 1 ? -1 : -2);
  return product;
}

export function gather(x: Tensor, axis: number, index: Tensor): Tensor {
  requireTensor("gather", "the index", index);
  return gatherChecked("gather", x, normalizeAxis("gather", axis, x.rank), index);
}

function gatherChecked(op: string, x: Tensor, axis: number, index: Tensor): Tensor {
  // Shapes and dtypes are checked before values.
  const found = build.gather(x.node, index.node, axis);
  const checked = inBounds(index.node, { op, what: "index", size: x.shape[axis] });
  return new Tensor(checked === index.node ? found : build.gather(x.node, checked, axis));
}

export function take(x: Tensor, index: Tensor, axis: number): Tensor {
  requireTensor("take", "the index", index);
  const at = normalizeAxis("take", axis, x.rank);
  if (index.rank !== 1) throw new Error(`take: the index must have 1 axis, not shape ${formatShape(index.shape)}`);
  const shape = x.shape.map((n, i) => (i === at ? index.size : n));
  const placed = index.reshape(shape.map((_, i) => (i === at ? index.size : 1)));
  return gatherChecked("take", x, at, placed.expand(shape));
}

export function scatterAdd(x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor {
  requireTensor("scatterAdd", "the index", index);
  requireTensor("scatterAdd", "the source", source);
  if (source.dtype !== x.dtype || (index.dtype !== "i32" && index.dtype !== "u32")) {
    throw new Error(
      `scatterAdd: the source must be ${x.dtype}, as the tensor is, and the index i32 or u32, ` +
        `not ${source.dtype} and ${index.dtype}; cast them`,
    );
  }
  // Bools are counted and add up to "either", as those of `add` do.
  if (x.dtype === "bool") return scatterAdd(x.cast("i32"), axis, index, source.cast("i32")).cast("bool");
  const at = normalizeAxis("scatterAdd", axis, x.rank);
  const checked = new Tensor(inBounds(index.node, { op: "scatterAdd", what: "index", size: x.shape[at] }));
  return x.add(scatterAddZeros(x.shape, at, checked, source));
}
