/** Operations that move elements: none is changed on the way, so the sign of zero counts and special numbers stay. */
import { concat, stack } from "../../../tensor/methods/join.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { EngineAttributes } from "../protocol.ts";
import { plain } from "../protocol.ts";
import type { ArrayRow, ArrayRows, GivenOperand, Question } from "./array-row.ts";
import { listOf, numberOf } from "./array-row.ts";

const MOVED = [NaN, Infinity, -Infinity, -0, 0, 1, -2, 3.4028234663852886e38, 1e-30, -0.5, NaN, -0];

/** Of the first question's shapes, with special numbers. */
function specials({ of, ...question }: Question): Question {
  const filled = of.map((operand, n): GivenOperand => {
    const { shape, data, ...rest } = "shape" in operand ? operand : { shape: operand };
    const size = shape.reduce((a, b) => a * b, 1);
    return { shape, data: data ?? Array.from({ length: size }, (_, i) => MOVED[(i + n) % MOVED.length]), ...rest };
  });
  const told = { values: "specials", gradients: null, signed: true, second: false, name: "special numbers" } as const;
  return { ...question, ...told, of: filled };
}

/** A row whose first question is asked with special numbers as well. */
function moving(meaning: ArrayRow["meaning"], questions: readonly Question[]): ArrayRow {
  return { meaning, questions: [...questions, specials(questions[0])] };
}

/** [begin, end, step] of each axis. */
function ranges(attributes: EngineAttributes): [number, number, number][] {
  const [begin, end] = [listOf(attributes, "begin"), listOf(attributes, "end")];
  const step = attributes.step === undefined ? begin.map(() => 1) : listOf(attributes, "step");
  return begin.map((from, axis) => [from, end[axis], step[axis]]);
}

const sliced = (attributes: EngineAttributes, x: Tensor): Tensor => x.slice(...ranges(attributes));

/** Whole numbers as an index. */
const index = (shape: readonly number[], ...data: number[]): GivenOperand => ({ shape, data, dtype: "i32" });
const flags = (shape: readonly number[], ...data: number[]): GivenOperand => ({ shape, data, dtype: "bool" });
/** Many indices, most of them repeated. */
const many = (size: number, below: number): GivenOperand =>
  index([size], ...Array.from({ length: size }, (_, i) => (i * i * 7 + i) % below));

/** Sums by index in JavaScript's numbers, one addend after the other. */
const added: ArrayRow["plain"] = (attributes, x, at, source) => {
  const axis = numberOf(attributes, "axis");
  const inner = x.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const data = Array.from(x.data);
  Array.from(source.data).forEach((value, i) => {
    const outer = Math.floor(i / (inner * source.shape[axis]));
    data[(outer * x.shape[axis] + at.data[i]) * inner + (i % inner)] += value;
  });
  return plain(data, x.shape);
};

/** By name. */
export const SHAPE_ROWS: ArrayRows = {
  reshape: moving(
    (attributes, x) => x.reshape(listOf(attributes, "shape")),
    [
      { of: [[3, 4]], with: { shape: [2, 6] }, second: true },
      { of: [[2, 3, 4]], with: { shape: [24] } },
      { of: [[24]], with: { shape: [2, 3, 4] } },
      { of: [[1, 5, 1]], with: { shape: [5] } },
      { of: [[1]], with: { shape: [] } },
      { of: [[]], with: { shape: [1, 1] } },
      { of: [[2, 0, 3]], with: { shape: [0, 7] } },
      { of: [[7, 103]], with: { shape: [103, 7] } },
    ],
  ),
  permute: moving(
    (attributes, x) => x.permute(listOf(attributes, "order")),
    [
      { of: [[3, 4]], with: { order: [1, 0] }, second: true },
      { of: [[2, 3, 4]], with: { order: [2, 0, 1] }, second: true },
      { of: [[2, 3, 4]], with: { order: [0, 2, 1] } },
      { of: [[2, 3, 4, 5]], with: { order: [3, 1, 0, 2] } },
      { of: [[2, 1, 3, 1, 2]], with: { order: [4, 3, 2, 1, 0] } },
      { of: [[65, 33]], with: { order: [1, 0] } },
      { of: [[2, 0, 3]], with: { order: [2, 1, 0] } },
      { of: [[5]], with: { order: [0] } },
    ],
  ),
  slice: moving(sliced, [
    { of: [[3, 4]], with: { begin: [1, 0], end: [3, 3] }, second: true },
    { of: [[7]], with: { begin: [2], end: [5] } },
    { of: [[2, 3, 4]], with: { begin: [0, 1, 2], end: [2, 2, 4] } },
    { of: [[2, 3, 4]], with: { begin: [1, 0, 0], end: [2, 3, 4] } },
    { of: [[1030]], with: { begin: [3], end: [1030] } },
    { of: [[3, 4]], with: { begin: [1, 2], end: [1, 4] } },
    { of: [[2, 0, 3]], with: { begin: [0, 0, 1], end: [2, 0, 3] } },
  ]),
  sliceBySteps: moving(sliced, [
    { of: [[4, 5]], with: { begin: [0, 1], end: [4, 5], step: [2, 3] }, second: true },
    { of: [[7]], with: { begin: [0], end: [7], step: [3] } },
    { of: [[7]], with: { begin: [1], end: [6], step: [2] } },
    { of: [[2, 3, 9]], with: { begin: [0, 0, 0], end: [2, 3, 9], step: [1, 2, 4] } },
    { of: [[3]], with: { begin: [1], end: [3], step: [5] } },
  ]),
  sliceBackwards: moving(sliced, [
    { of: [[4, 5]], with: { begin: [3, 4], end: [0, 1], step: [-1, -2] }, second: true },
    { of: [[7]], with: { begin: [5], end: [0], step: [-2] } },
    { of: [[2, 3, 9]], with: { begin: [0, 0, 8], end: [2, 3, 2], step: [1, 2, -3] } },
  ]),
  concat: moving(
    (attributes, ...list) => concat(list, numberOf(attributes, "axis")),
    [
      {
        of: [
          [2, 3],
          [2, 4],
        ],
        with: { axis: 1 },
        second: true,
      },
      { of: [[2], [3]], with: { axis: 0 } },
      {
        of: [
          [2, 3],
          [1, 3],
          [4, 3],
        ],
        with: { axis: 0 },
      },
      {
        of: [
          [2, 3, 4],
          [2, 1, 4],
        ],
        with: { axis: 1 },
      },
      {
        of: [
          [2, 3],
          [2, 3],
        ],
        with: { axis: -1 },
      },
      { of: [[5]], with: { axis: 0 } },
      {
        of: [
          [0, 3],
          [2, 3],
        ],
        with: { axis: 0 },
      },
      {
        of: [
          [2, 0],
          [2, 0],
        ],
        with: { axis: 1 },
      },
    ],
  ),
  stack: moving(
    (attributes, ...list) => stack(list, numberOf(attributes, "axis")),
    [
      {
        of: [
          [2, 3],
          [2, 3],
        ],
        with: { axis: 1 },
        second: true,
      },
      { of: [[4], [4], [4]], with: { axis: 0 } },
      {
        of: [
          [2, 3],
          [2, 3],
        ],
        with: { axis: 2 },
      },
      { of: [[], []], with: { axis: 0 } },
      { of: [[0], [0]], with: { axis: 0 } },
    ],
  ),
  pad: moving(
    (attributes, x) => x.pad(attributes.widths as [number, number][]),
    [
      {
        of: [[2, 3]],
        with: {
          widths: [
            [1, 2],
            [0, 1],
          ],
        },
        second: true,
      },
      { of: [[4]], with: { widths: [[3, 0]] } },
      {
        of: [[2, 3, 4]],
        with: {
          widths: [
            [0, 0],
            [1, 0],
            [0, 2],
          ],
        },
      },
      {
        of: [[1, 2, 3, 2]],
        with: {
          widths: [
            [0, 0],
            [0, 0],
            [1, 1],
            [2, 2],
          ],
        },
      },
      {
        of: [[0, 2]],
        with: {
          widths: [
            [1, 1],
            [0, 0],
          ],
        },
      },
    ],
  ),
  expand: moving(
    (attributes, x) => x.expand(listOf(attributes, "shape")),
    [
      { of: [[3, 1]], with: { shape: [3, 4] }, second: true },
      { of: [[]], with: { shape: [2, 3] } },
      { of: [[4]], with: { shape: [2, 3, 4] } },
      { of: [[2, 1, 3]], with: { shape: [2, 5, 3] } },
      { of: [[1, 1]], with: { shape: [103, 7] } },
      { of: [[3, 4]], with: { shape: [3, 4] } },
      { of: [[1, 3]], with: { shape: [0, 3] } },
    ],
  ),
  flip: moving(
    (attributes, x) => x.flip(listOf(attributes, "axes")),
    [
      { of: [[3, 4]], with: { axes: [0] }, second: true },
      { of: [[5]], with: { axes: [0] } },
      { of: [[2, 3, 4]], with: { axes: [0, 2] } },
      { of: [[2, 3, 4]], with: { axes: [-1] } },
      { of: [[2, 0, 3]], with: { axes: [2] } },
    ],
  ),
  take: moving(
    (attributes, x, at) => x.take(at, numberOf(attributes, "axis")),
    [
      { of: [[4, 3], index([5], 2, 0, 2, 3, 2)], with: { axis: 0 }, second: true },
      { of: [[7], index([3], 6, 0, 6)], with: { axis: 0 } },
      { of: [[2, 5, 3], index([4], 4, 4, 4, 1)], with: { axis: 1 } },
      { of: [[3, 4], index([2], 3, 0)], with: { axis: -1 } },
      { of: [[11, 5], many(1030, 11)], with: { axis: 0 } },
      { of: [[4, 3], index([0])], with: { axis: 0 } },
      { of: [[3, 0], index([2], 1, 1)], with: { axis: 0 } },
    ],
  ),
  gather: moving(
    (attributes, x, at) => x.gather(numberOf(attributes, "axis"), at),
    [
      { of: [[4, 3], index([2, 3], 2, 0, 3, 2, 0, 1)], with: { axis: 0 }, second: true },
      { of: [[7], index([4], 6, 0, 6, 6)], with: { axis: 0 } },
      { of: [[2, 5], index([2, 3], 4, 4, 0, 1, 2, 1)], with: { axis: 1 } },
      { of: [[2, 3, 2], index([2, 1, 2], 0, 2, 1, 1)], with: { axis: 1 } },
      { of: [[3, 4], index([3, 0])], with: { axis: 1 } },
    ],
  ),
  scatterAdd: {
    meaning: (attributes, x, at, source) => x.scatterAdd(numberOf(attributes, "axis"), at, source),
    plain: added,
    questions: [
      { of: [[4, 3], index([2, 3], 2, 0, 3, 2, 0, 1), [2, 3]], with: { axis: 0 }, second: true },
      { of: [[7], index([5], 6, 0, 6, 6, 0), [5]], with: { axis: 0 } },
      { of: [[2, 5], index([2, 3], 4, 4, 0, 1, 1, 1), [2, 3]], with: { axis: 1 }, second: true },
      {
        of: [[2, 3, 2], index([2, 4, 2], 0, 2, 1, 1, 0, 0, 2, 2, 1, 1, 1, 1, 0, 2, 2, 0), [2, 4, 2]],
        with: { axis: 1 },
      },
      { of: [[11], many(1030, 11), [1030]], with: { axis: 0 } },
      { of: [[3, 4], index([3, 0]), [3, 0]], with: { axis: 1 } },
    ],
  },
  where: moving(
    (_, condition, x, y) => condition.where(x, y),
    [
      { of: [flags([2, 3], 1, 0, 0, 1, 1, 0), [2, 3], [2, 3]], second: true },
      { of: [flags([4], 1, 0, 1, 1), [4], [4]] },
      { of: [flags([], 1), [3], [3]] },
      { of: [flags([3], 1, 0, 1), [2, 3], [2, 1]] },
      { of: [flags([2, 1], 0, 1), [3], []] },
      { of: [flags([0]), [0], [0]] },
    ],
  ),
};
