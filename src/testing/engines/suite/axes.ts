/** Operations along one axis that stays: softmax, its logarithm, running sums and products, normalisation. */
import { cumprod, cumsum, layerNorm, logSoftmax, softmax } from "../../../ops/index.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { EngineAttributes } from "../protocol.ts";
import { alongRows, average, byRows, LARGE_ROWS } from "./along.ts";
import type { ArrayRow, ArrayRows, Question } from "./array-row.ts";
import { numberOf } from "./array-row.ts";

const SHAPES: readonly Question[] = [
  { of: [[5]], with: { axis: 0 } },
  { of: [[3, 5]], with: { axis: 0 }, second: true },
  { of: [[3, 5]], with: { axis: -1 } },
  { of: [[2, 3, 4]], with: { axis: 1 } },
  { of: [[2, 1, 3]], with: { axis: 1 } },
  { of: [[7, 1030]], with: { axis: 1 } },
  { of: [[1030, 7]], with: { axis: 0 } },
  { of: [[0, 3]], with: { axis: 1 } },
];

/** Along the attribute `axis`. */
const along = (f: (x: Tensor, axis: number) => Tensor): ArrayRow["meaning"] => {
  return (attributes: EngineAttributes, x: Tensor) => f(x, numberOf(attributes, "axis"));
};

function shifted(row: readonly number[]): { readonly shifts: number[]; readonly sum: number } {
  const largest = Math.max(...row);
  const shifts = row.map((x) => x - largest);
  return { shifts, sum: shifts.reduce((all, x) => all + Math.exp(x), 0) };
}

/** Sums or products of all up to each. */
function running(row: readonly number[], join: (a: number, b: number) => number): number[] {
  const found: number[] = [];
  for (const x of row) found.push(found.length === 0 ? x : join(found.at(-1)!, x));
  return found;
}

/** Over the last axis, with an addend to the variance of 1e-5. */
const NORM_SHAPES: readonly Question[] = [
  { of: [[5]] },
  { of: [[3, 5]], second: true },
  { of: [[2, 3, 4]] },
  { of: [{ shape: [3, 1], interval: [-1, 1] }] },
  { of: [[5, 1030]] },
  { of: [[0, 3]] },
  // Near 1000 the mean itself is only known to 6e-5, which the small deviation magnifies.
  {
    ...{ of: [{ shape: [3, 100], interval: [1000, 1001] }], values: "edges", gradients: "edges" },
    ...{ relative: 1e-3, absolute: 1e-3 },
  },
];

/** By name. */
export const AXIS_ROWS: ArrayRows = {
  softmax: {
    meaning: along(softmax),
    plain: byRows((row) => {
      const { shifts, sum } = shifted(row);
      return shifts.map((x) => Math.exp(x) / sum);
    }),
    questions: [...alongRows({ axis: 1 }, { far: LARGE_ROWS }), ...SHAPES],
  },
  logSoftmax: {
    meaning: along(logSoftmax),
    plain: byRows((row) => {
      const { shifts, sum } = shifted(row);
      return shifts.map((x) => x - Math.log(sum));
    }),
    questions: [...alongRows({ axis: 1 }, { far: LARGE_ROWS }), ...SHAPES],
  },
  cumsum: {
    meaning: along(cumsum),
    plain: byRows((row) => running(row, (a, b) => a + b)),
    interval: [-1, 3],
    questions: [
      ...alongRows({ axis: 1 }),
      ...SHAPES,
      { of: [[3, 0]], with: { axis: 1 } },
      { of: [{ shape: [2 ** 18], interval: [0, 1] }], with: { axis: 0 }, values: "edges", gradients: null },
    ],
  },
  cumprod: {
    meaning: along(cumprod),
    plain: byRows((row) => running(row, (a, b) => a * b)),
    interval: [0.9, 1.1],
    questions: [
      ...alongRows(
        { axis: 1 },
        {
          far: [
            [0, 2, 3],
            [2, 0, 3],
            [2, 0, 0],
            [3, 2, 0],
          ],
        },
      ),
      ...SHAPES,
      { of: [[3, 0]], with: { axis: 1 } },
    ],
  },
  layerNorm: {
    meaning: (_, x) => layerNorm(x),
    plain: (_, x) =>
      byRows((row) => {
        const mean = average(row);
        const scale = 1 / Math.sqrt(average(row.map((value) => (value - mean) ** 2)) + 1e-5);
        return row.map((value) => (value - mean) * scale);
      })!({ axis: 1 }, x),
    questions: [
      // Of numbers whose squares overflow nobody says what comes.
      ...alongRows(
        {},
        {
          specials: [
            [NaN, 1, 2],
            [1, Infinity, 2],
            [0, 0, 0],
            [1e-30, -1e-30, 1e-30],
            [5, 5, 5],
          ],
        },
      ),
      ...NORM_SHAPES,
    ],
  },
  layerNormAffine: {
    meaning: (_, x, weight, bias) => layerNorm(x, { weight, bias }),
    questions: [
      { of: [[5], [5], [5]] },
      { of: [[3, 5], [5], [5]], second: true },
      { of: [[2, 3, 4], [4], [4]] },
      { of: [[5, 1030], [1030], [1030]] },
      { of: [[0, 3], [3], [3]] },
    ],
  },
};
