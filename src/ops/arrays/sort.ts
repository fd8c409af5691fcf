/**
 * Sorting along an axis: a bitonic network (Batcher 1968) of compare-and-exchange steps, each of them elementwise work
 * on views of the pairs; of a short axis, ranks by counting. Equal elements keep their order, so results do not depend
 * on the device; NaN comes last, as in PyTorch.
 */
import { arange, full, zeros } from "../../tensor/create.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { normalizeAxis } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { concat, stack } from "../../tensor/methods/join.ts";
import { checkOptions, requireTensor } from "../../tensor/door/door.ts";

/** Settings of `sort` and `argsort`. */
export interface SortOptions {
  /** Default −1. */
  readonly axis?: number;
  /** Largest first; NaN then comes first. Default false. */
  readonly descending?: boolean;
}

/** Lengths up to which ranks are counted: the square of it in comparisons. */
const COUNTED = 128;

/** Whether element (a, i) comes after (b, j). */
function after(a: Tensor, i: Tensor, b: Tensor, j: Tensor, descending: boolean): Tensor {
  const floating = isFloat(a.dtype);
  const [high, low] = descending ? [b, a] : [a, b];
  const above = floating ? high.gt(low).or(high.isNaN().and(low.isNaN().not())) : high.gt(low);
  const equal = floating ? a.eq(b).or(a.isNaN().and(b.isNaN())) : a.eq(b);
  return above.or(equal.and(i.gt(j)));
}

/** Order of the last axis, by counting how many elements come before each. */
function countedOrder(x: Tensor, descending: boolean): Tensor {
  const n = x.shape[x.rank - 1];
  const place = arange(n);
  const square = [...x.shape, n];
  const [mine, other] = [x.unsqueeze(-1).expand(square), x.unsqueeze(-2).expand(square)];
  const [i, j] = [place.unsqueeze(1).expand(square), place.unsqueeze(0).expand(square)];
  const rank = after(mine, i, other, j, descending).cast("i32").sum(-1);
  // The inverse permutation: at place r, the element whose rank is r.
  return rank.unsqueeze(-2).expand(square).eq(i).where(j, 0).sum(-1);
}

/** Order of the last axis, by a bitonic network on a power of two of places, the last of them filled up. */
function networkOrder(x: Tensor, descending: boolean): Tensor {
  const n = x.shape[x.rank - 1];
  const size = 2 ** Math.ceil(Math.log2(n));
  const before = x.shape.slice(0, -1);
  const fill = full([...before, size - n], 0, x.dtype);
  let values = concat([x, fill], -1);
  // What fills up has the numbers from n on, and comes after everything.
  let places = arange(size).expand([...before, size]);
  for (let run = 2; run <= size; run *= 2) {
    for (let apart = run / 2; apart >= 1; apart /= 2) {
      // Pairs `apart` places from each other. A run's second half is taken backwards first, so that all go one way.
      const first = apart === run / 2;
      const pairs = [...before, size / (2 * apart), 2, apart];
      const halves = (t: Tensor): [Tensor, Tensor] => {
        const p = t.reshape(pairs);
        const half = (h: number) => p.slice(...before.map(() => null), null, h);
        return [half(0), first ? half(1).flip(-1) : half(1)];
      };
      const [a, b] = halves(values);
      const [i, j] = halves(places);
      const filled = i.ge(n).and(j.lt(n));
      const real = j.lt(n);
      const swap = filled.or(real.and(i.lt(n)).and(after(a, i, b, j, descending)));
      const join = (low: Tensor, high: Tensor) =>
        stack([low, first ? high.flip(-1) : high], -2)
          .reshape([...before, size])
          .contiguous();
      const [lowValue, highValue] = [swap.where(b, a), swap.where(a, b)];
      const [lowPlace, highPlace] = [swap.where(j, i), swap.where(i, j)];
      values = join(lowValue, highValue);
      places = join(lowPlace, highPlace);
    }
  }
  return places.slice(...before.map(() => null), [0, n]);
}

/** Places of the elements of an axis in order, i32: `x.gather(axis, argsort(x))` is sorted (torch.argsort, stable). */
export function argsort(x: Tensor, options: SortOptions = {}): Tensor {
  requireTensor("argsort", "x", x);
  checkOptions("argsort", options, ["axis", "descending"]);
  const { axis = -1, descending = false } = options;
  if (x.dtype === "bool") return argsort(x.cast("i32"), options);
  const at = normalizeAxis("argsort", axis, x.rank);
  if (x.size === 0) return zeros(x.shape, "i32");
  const turned = (at === x.rank - 1 ? x : x.transpose(at, -1)).detach();
  const order =
    turned.shape[x.rank - 1] <= COUNTED ? countedOrder(turned, descending) : networkOrder(turned, descending);
  return at === x.rank - 1 ? order : order.transpose(at, -1);
}

/** The elements of x along an axis in order, and where they stood (torch.sort, stable). */
export function sort(x: Tensor, options: SortOptions = {}): { values: Tensor; indices: Tensor } {
  requireTensor("sort", "x", x);
  if (x.size === 0) return { values: x, indices: argsort(x, options) };
  const indices = argsort(x, options).contiguous();
  return { values: x.gather(normalizeAxis("sort", options.axis ?? -1, x.rank), indices), indices };
}
