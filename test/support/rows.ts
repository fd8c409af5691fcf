/**
 * Rows of neighbours: those that lie outside a tensor as wholes, behind guards and in parts of joined tensors, and values
 * that every row needs again. Numbers are whole and small, so that all arithmetic is exact.
 */
import { concat, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";

/** Whole numbers from −4 to 4, other ones for another `seed`. */
function given(shape: readonly number[], seed: number): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: size }, (_, i) => ((i * 7 + seed * 5 + ((i / 9) | 0)) % 9) - 4),
    { shape },
  );
}

/** Sum of shifted rows of x [N, T, C], each times its column of w [C, K]. */
function shiftedSum(x: Tensor, w: Tensor, before: number, step = 1): Tensor {
  const [n, length] = x.shape;
  const padded = x.pad([
    [0, 0],
    [before, 2],
    [0, 0],
  ]);
  const count = Math.floor((length + before + 2 - w.shape[1]) / step) + 1;
  return Array.from({ length: w.shape[1] }, (_, k) =>
    padded.slice([0, n], [k, k + (count - 1) * step + 1, step]).mul(w.slice(null, k)),
  ).reduce((sum, term) => sum.add(term));
}

/** Sizes of the last axis: less than a vector, whole vectors, pairs of them, and some more. */
export const WIDTHS = [1, 3, 4, 6, 8, 13, 16, 24, 130];

/** By name, what is computed with a last axis of `width` elements. */
export const ROWS: Readonly<Record<string, (width: number) => Tensor>> = {
  "a padded axis before the last": (c) => shiftedSum(given([3, 7, c], 1), given([c, 5], 2), 2),
  "and every other row of it": (c) => shiftedSum(given([3, 8, c], 1), given([c, 3], 2), 1, 2),
  "its sums by row and by column": (c) => {
    const y = shiftedSum(given([3, 7, c], 1), given([c, 5], 2), 2);
    return concat([y.sum(-1).reshape([-1]), y.sum([0, 1])]);
  },
  "rows between which zeros stand": (c) =>
    given([4, c], 3)
      .pad([
        [1, 2],
        [0, 0],
      ])
      .reshape([7, 1, c])
      .pad([
        [0, 0],
        [2, 1],
        [0, 0],
      ])
      .mul(given([c], 4)),
  "columns padded as well": (c) => {
    const x = given([5, c], 5);
    const both = x.pad([
      [1, 1],
      [1, 2],
    ]);
    // The same tensor, once where whole rows are outside and once where lanes are.
    return both
      .slice(null, [0, c])
      .add(both.slice([1, 6], [1, c + 1]).sum(0))
      .add(both.slice(null, [3, c + 3]));
  },
  "places that are read, where columns are padded": (c) => {
    const places = tensor(
      Int32Array.from({ length: 4 * c }, (_, i) => (i * 5 + 1) % c),
      { shape: [4, c] },
    );
    return given([4, c], 1)
      .gather(1, places)
      .pad([
        [0, 0],
        [3, 2],
      ]);
  },
  "joined rows, taken with others": (c) => {
    const x = concat([given([2, c], 1).mul(2), given([3, c], 2).relu(), given([1, c], 3)]);
    return x
      .mul(given([c], 4))
      .add(x.slice([0, 6]).flip(0))
      .sum(0);
  },
  "joined columns": (c) => {
    const x = concat([given([5, c], 1).mul(2), given([5, c + 3], 2)], 1);
    return x
      .slice(null, [1, 2 * c + 3])
      .mul(x.slice(null, [0, 2 * c + 2]))
      .sum(1);
  },
  "weights and masks that do not lie side by side": (c) => {
    const [w, m] = [given([c, 4], 6), given([c, 3], 7)];
    const kept = m.slice(null, 1).gt(0);
    const x = given([9, c], 8);
    return kept.where(x.mul(w.slice(null, 2)), x.sub(w.slice(null, 3).square()));
  },
  "more of them than are kept": (c) => {
    const w = given([c, 40], 9);
    const x = given([6, c], 1);
    return Array.from({ length: 40 }, (_, k) => x.add(k).mul(w.slice(null, k))).reduce((sum, term) => sum.add(term));
  },
  "and their sums across rows": (c) => {
    const w = given([c, 4], 6);
    return given([9, c], 8).mul(w.slice(null, 2)).add(w.slice(null, 1)).sum(0);
  },
  "whole numbers": (c) =>
    given([6, c], 3)
      .cast("i32")
      .pad([
        [2, 1],
        [0, 0],
      ])
      .mul(given([c, 2], 2).cast("i32").slice(null, 1)),
};
