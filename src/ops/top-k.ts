/** The k largest elements of the last axis, in order. */
import { requireTensor } from "../tensor/door/door.ts";
import type { FusedOp } from "../tensor/fused.ts";
import * as build from "../tensor/build.ts";
import { arange } from "../tensor/create.ts";
import { formatShape } from "../tensor/shape.ts";
import { scatterAddZeros } from "../tensor/scatter.ts";
import { Tensor } from "../tensor/tensor.ts";
import { stack } from "../tensor/methods/join.ts";
import type { TopKAttrs } from "./kernels/top-k.ts";
import * as kernels from "./kernels/top-k.ts";

/** Whether x is y, NaN being equal to itself. */
const same = (x: Tensor, y: Tensor): Tensor => x.eq(y).or(x.isNaN().and(y.isNaN()));

/** Whether x comes after an element picked: below it, any number below NaN, or its equal at a later position. */
function after(x: Tensor, picked: Tensor, position: Tensor, index: Tensor): Tensor {
  const value = picked.unsqueeze(-1);
  const below = x.lt(value).or(value.isNaN().and(x.isNaN().not()));
  return below.or(same(x, value).and(position.gt(index.unsqueeze(-1))));
}

/** In: x [..., n]. Out: values [..., k], largest first, and their indices, i32; of equals the first comes first, and NaN before all. */
const TOP_K: FusedOp<TopKAttrs> = {
  name: "topK",
  kernels: kernels.TOP_K,
  outputs([x], { k }) {
    const shape = [...x.shape.slice(0, -1), k];
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: "i32" },
    ];
  },
  decompose([x], { k }) {
    const n = x.shape[x.rank - 1];
    const position = arange(n).expand(x.shape);
    const values: Tensor[] = [];
    const indices: Tensor[] = [];
    for (let round = 0; round < k; round++) {
      // Each round looks at what comes after the last pick: smaller, or equal and further on.
      const rest = round === 0 ? undefined : after(x, values[round - 1], position, indices[round - 1]);
      const left = rest ? rest.where(x, -Infinity) : x;
      const value = left.max(-1);
      const here = same(left, value.unsqueeze(-1));
      const index = (rest ? here.and(rest) : here).where(position, n - 1).min(-1);
      values.push(value);
      indices.push(index);
    }
    return [stack(values, -1), stack(indices, -1)];
  },
  vjp([x], [, indices], [dvalues]) {
    return dvalues ? [scatterAddZeros(x.shape, x.rank - 1, indices, dvalues)] : [];
  },
};

/** The `k` largest of the last axis of x, largest first, with their indices (torch.topk). NaN counts as the largest. */
export function topK(x: Tensor, k: number): { values: Tensor; indices: Tensor } {
  requireTensor("topK", "x", x);
  const n = x.shape[x.rank - 1] ?? 0;
  if (!Number.isInteger(k) || k < 1 || k > n)
    throw new Error(`topK: k = ${k} must be in 1..${n} for ${formatShape(x.shape)}`);
  const [values, indices] = build.fused(TOP_K, [x.node], { k });
  return { values: new Tensor(values), indices: new Tensor(indices) };
}
