/** Reductions of the suite: over one axis, several and all, of nothing, of special numbers, of many. */
import { logSumExp } from "../../../ops/index.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { EngineAttributes } from "../protocol.ts";
import { alongRows, average, byRows, LARGE_ROWS, total } from "./along.ts";
import type { ArrayRow, ArrayRows, Interval, Question } from "./array-row.ts";
import { listOf, numberOf } from "./array-row.ts";
import type { RowFormula } from "./along.ts";

type Reduction = (x: Tensor, axes: readonly number[] | undefined, keepDims: boolean) => Tensor;

const axesOf = (attributes: EngineAttributes): number[] | undefined =>
  attributes.axes === undefined ? undefined : listOf(attributes, "axes");

/** Most sums do not come near 0, where what is lost of their terms would count for more. */
const MOSTLY_POSITIVE: Interval = [-1, 3];

/** Over one axis, or all. */
const ONE_AXIS: readonly Question[] = [
  { of: [[]] },
  { of: [[5]], with: { axes: [0] } },
  { of: [[3, 5]] },
  { of: [[3, 5]], with: { axes: [0] }, second: true },
  { of: [[3, 5]], with: { axes: [1], keepDims: true } },
  { of: [[2, 3, 4]], with: { axes: [1] }, second: true },
  { of: [[2, 3, 4]], with: { axes: [-1] } },
  { of: [[2, 1, 3]], with: { axes: [1] } },
  { of: [[1030]] },
  { of: [[7, 1030]], with: { axes: [1] } },
  { of: [[1030, 7]], with: { axes: [0] } },
  { of: [[2, 0, 3]], with: { axes: [0] } },
];

const SEVERAL_AXES: readonly Question[] = [
  { of: [[2, 3, 4]], with: { axes: [0, 2] }, second: true },
  { of: [[2, 3, 4]], with: { axes: [2, 0], keepDims: true } },
  { of: [[2, 3, 4, 5]], with: { axes: [1, 2] } },
  { of: [[2, 3, 4]], with: { axes: [0, 1, 2], keepDims: true } },
];

/** Of no element. */
const NOTHING: readonly Question[] = [{ of: [[0]] }, { of: [[2, 0, 3]], with: { axes: [1] } }];

/** Of so many that float32 loses digits where it adds them one by one. */
const MANY: readonly Question[] = [
  { of: [{ shape: [2 ** 20], interval: [0, 1] }], values: "edges", gradients: null },
  { of: [{ shape: [2 ** 20], interval: [0.1, 0.1] }], values: "edges", gradients: null, name: "2 ** 20 times 0.1" },
];

interface ReductionMore extends Partial<ArrayRow> {
  readonly far?: readonly (readonly number[])[];
  readonly ties?: readonly (readonly number[])[];
}

function reduction(
  meaning: Reduction,
  formula: RowFormula,
  asked: readonly Question[],
  { far, ties, ...more }: ReductionMore = {},
): ArrayRow {
  return {
    meaning: (attributes, x) => meaning(x, axesOf(attributes), Boolean(attributes.keepDims)),
    plain: byRows(formula),
    questions: [...alongRows({ axes: [1] }, { far, ties }), ...asked],
    ...more,
  };
}

const product = (row: readonly number[]): number => row.reduce((a, b) => a * b, 1);

/** The first of the largest by `of`; NaN is larger than any number. */
function placeOf(row: readonly number[], of: (...list: number[]) => number): number {
  const found = of(...row);
  return row.findIndex((x) => x === found || Number.isNaN(x));
}

/** Index of the largest or the smallest. */
function place(meaning: (x: Tensor, axis: number) => Tensor, formula: RowFormula): ArrayRow {
  return {
    meaning: (attributes, x) => meaning(x, numberOf(attributes, "axis")),
    plain: byRows(formula),
    differentiable: false,
    questions: [
      ...alongRows({ axis: 1 }),
      { of: [[5]], with: { axis: 0 } },
      { of: [[3, 5]], with: { axis: 0 } },
      { of: [[2, 3, 4]], with: { axis: 1 } },
      { of: [[2, 3, 4]], with: { axis: -1 } },
      { of: [[7, 1030]], with: { axis: 1 } },
      { of: [[2, 0, 3]], with: { axis: 0 } },
      { of: [{ shape: [1030], data: Array.from({ length: 1030 }, (_, i) => (i * 37) % 5) }], with: { axis: 0 } },
    ],
  };
}

const TIES = [
  [3, 1, 3],
  [2, 2, 2],
];
const LOW_TIES = [
  [1, 3, 1],
  [2, 2, 2],
];

/** By name. */
export const REDUCTION_ROWS: ArrayRows = {
  sum: reduction((x, ...over) => x.sum(...over), total, [...ONE_AXIS, ...SEVERAL_AXES, ...NOTHING, ...MANY], {
    interval: MOSTLY_POSITIVE,
  }),
  mean: reduction((x, ...over) => x.mean(...over), average, [...ONE_AXIS, ...SEVERAL_AXES, ...NOTHING, ...MANY], {
    interval: MOSTLY_POSITIVE,
  }),
  prod: reduction((x, ...over) => x.prod(...over), product, [...ONE_AXIS, ...NOTHING], {
    interval: [0.5, 1.5],
    far: [
      [0, 2, 3],
      [2, 0, 3],
      [0, 0, 3],
      [-0, 5, 2],
      [1e-30, 2, 1e30],
    ],
  }),
  max: reduction(
    (x, ...over) => x.max(...over),
    (row) => Math.max(...row),
    [...ONE_AXIS, ...SEVERAL_AXES],
    {
      ties: TIES,
    },
  ),
  min: reduction(
    (x, ...over) => x.min(...over),
    (row) => Math.min(...row),
    [...ONE_AXIS, ...SEVERAL_AXES],
    {
      ties: LOW_TIES,
    },
  ),
  variance: reduction(
    (x, ...over) => x.variance(...over),
    (row) => average(row.map((x) => (x - average(row)) ** 2)),
    [
      ...ONE_AXIS,
      ...SEVERAL_AXES,
      // The mean of squares and the square of the mean agree in all digits that float32 has.
      {
        of: [{ shape: [3, 1000], interval: [1000, 1001] }],
        with: { axes: [1] },
        values: "edges",
        gradients: "edges",
        relative: 1e-4,
      },
    ],
    {
      far: [
        [1000, 1000.5, 1001],
        [-3000, -3000.25, -2999],
      ],
    },
  ),
  argmax: place(
    (x, axis) => x.argmax(axis),
    (row) => placeOf(row, Math.max),
  ),
  argmin: place(
    (x, axis) => x.argmin(axis),
    (row) => placeOf(row, Math.min),
  ),
  logSumExp: {
    meaning: (attributes, x) => logSumExp(x, numberOf(attributes, "axis"), Boolean(attributes.keepDims)),
    plain: byRows((row) => {
      const largest = Math.max(...row);
      if (!Number.isFinite(largest)) return largest;
      return largest + Math.log(total(row.map((x) => Math.exp(x - largest))));
    }),
    questions: [
      ...alongRows(
        { axis: 1 },
        {
          far: LARGE_ROWS,
        },
      ),
      { of: [[5]], with: { axis: 0 } },
      { of: [[3, 5]], with: { axis: 1, keepDims: true } },
      { of: [[2, 3, 4]], with: { axis: 1 }, second: true },
      { of: [[7, 1030]], with: { axis: 1 } },
      { of: [[1030, 7]], with: { axis: 0 } },
      { of: [[2, 1, 3]], with: { axis: 1 } },
      { of: [[2, 0, 3]], with: { axis: 0 } },
    ],
  },
};
