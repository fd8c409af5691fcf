/**
 * Convolution of signals, its transpose, and batch normalisation. What a convolution is, is written out here once more in
 * JavaScript's numbers, so that no engine shares it.
 */
import { batchNorm, batchNormTraining, conv1d, convTranspose1d, convTranspose2d } from "../../../ops/index.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { sizeOf } from "../../../tensor/shape.ts";
import type { EngineAttributes, PlainArray } from "../protocol.ts";
import { plain } from "../protocol.ts";
import type { ArrayRow, ArrayRows, GivenOperand, Interval, Question } from "./array-row.ts";
import { listOf, numberOf } from "./array-row.ts";

/** Stride, padding, dilation and groups as every convolution is told them. */
function settingsOf(attributes: EngineAttributes) {
  const groups = attributes.groups === undefined ? 1 : numberOf(attributes, "groups");
  const [stride, padding, dilation] = ["stride", "padding", "dilation"].map((name) => listOf(attributes, name));
  return { stride, padding, dilation, groups };
}

/** All positions of a shape, each as a list of indices. */
function* places(shape: readonly number[]): Generator<number[]> {
  for (let at = 0; at < sizeOf(shape); at++) {
    let rest = at;
    yield [...shape]
      .reverse()
      .map((size) => {
        const index = rest % size;
        rest = (rest - index) / size;
        return index;
      })
      .reverse();
  }
}

const flat = (index: readonly number[], shape: readonly number[]): number =>
  index.reduce((at, i, axis) => at * shape[axis] + i, 0);

/**
 * Calls `each` with the flat positions of every product of x, weight and result that a convolution adds up: of
 * x [N, C, …] with weight [O, C / groups, …], result [N, O, …].
 */
function products(
  [x, weight, y]: readonly (readonly number[])[],
  attributes: EngineAttributes,
  each: (x: number, weight: number, y: number) => void,
): void {
  const { stride, padding, dilation, groups } = settingsOf(attributes);
  for (const [o, c, ...k] of places(weight))
    for (const [n, ...at] of places([y[0], ...y.slice(2)])) {
      const from = at.map((i, d) => i * stride[d] + k[d] * dilation[d] - padding[d]);
      if (from.some((i, d) => i < 0 || i >= x[2 + d])) continue;
      const channel = Math.floor((o * groups) / weight[0]) * weight[1] + c;
      each(flat([n, channel, ...from], x), flat([o, c, ...k], weight), flat([n, o, ...at], y));
    }
}

/** Shape along the places of a convolution's result. */
const reached = (x: readonly number[], weight: readonly number[], attributes: EngineAttributes): number[] => {
  const { stride, padding, dilation } = settingsOf(attributes);
  return x
    .slice(2)
    .map((n, d) => Math.floor((n + 2 * padding[d] - dilation[d] * (weight[2 + d] - 1) - 1) / stride[d]) + 1);
};

/** A convolution in JavaScript's numbers; special numbers are left to the oracle, for padding has no product. */
export const convolved: ArrayRow["plain"] = (attributes, x, weight) => {
  if (Array.from(x.data).some((value) => !Number.isFinite(value))) return undefined;
  const shape = [x.shape[0], weight.shape[0], ...reached(x.shape, weight.shape, attributes)];
  const data = new Array<number>(sizeOf(shape)).fill(0);
  products([x.shape, weight.shape, shape], attributes, (a, b, at) => {
    data[at] += x.data[a] * weight.data[b];
  });
  return plain(data, shape);
};

/** The transpose: what `convolved` sends to a place comes back from it. */
const spread: ArrayRow["plain"] = (attributes, y, weight) => {
  const { stride, padding, dilation, groups } = settingsOf(attributes);
  const extra = attributes.outputPadding === undefined ? stride.map(() => 0) : listOf(attributes, "outputPadding");
  const size = y.shape
    .slice(2)
    .map((n, d) => (n - 1) * stride[d] - 2 * padding[d] + dilation[d] * (weight.shape[2 + d] - 1) + extra[d] + 1);
  const shape = [y.shape[0], weight.shape[1] * groups, ...size];
  const data = new Array<number>(sizeOf(shape)).fill(0);
  products([shape, weight.shape, y.shape], attributes, (at, b, a) => {
    data[at] += y.data[a] * weight.data[b];
  });
  return plain(data, shape);
};

const one = (x: readonly number[], weight: readonly number[], more: object = {}, second = false): Question => ({
  ...{ of: [x, weight], with: { stride: [1], padding: [0], dilation: [1], ...more }, second },
});
const two = (x: readonly number[], weight: readonly number[], more: object = {}, second = false): Question => ({
  ...{ of: [x, weight], with: { stride: [1, 1], padding: [0, 0], dilation: [1, 1], ...more }, second },
});

const LINES: readonly Question[] = [
  { ...one([2, 3, 19], [4, 3, 5]), values: "values" },
  one([1, 1, 5], [1, 1, 3], {}, true),
  one([2, 2, 9], [3, 2, 4], { stride: [2] }, true),
  one([2, 2, 9], [3, 2, 3], { padding: [2] }),
  one([1, 2, 11], [3, 2, 3], { dilation: [3], padding: [1] }),
  one([1, 2, 12], [3, 2, 4], { stride: [3], padding: [1], dilation: [2] }),
  one([2, 5, 7], [3, 5, 1]),
  one([1, 2, 4], [2, 2, 4]),
  one([1, 17, 130], [9, 17, 3], { padding: [1] }),
  one([0, 2, 5], [3, 2, 3]),
];
const LINES_OF_GROUPS: readonly Question[] = [
  one([2, 4, 7], [6, 2, 3], { groups: 2 }, true),
  one([1, 3, 8], [3, 1, 3], { groups: 3, padding: [1], stride: [2] }),
];
const SPREAD_LINES: readonly Question[] = [
  { ...one([2, 3, 9], [3, 4, 3]), values: "values" },
  one([1, 1, 4], [1, 1, 3], {}, true),
  one([2, 2, 5], [2, 3, 4], { stride: [2] }, true),
  one([1, 2, 5], [2, 3, 3], { stride: [3], padding: [1] }),
  one([1, 2, 5], [2, 3, 3], { dilation: [2], padding: [1] }),
  one([2, 5, 6], [5, 2, 1]),
];
const SPREAD_IMAGES: readonly Question[] = [
  { ...two([2, 3, 5, 4], [3, 4, 3, 3]), values: "values" },
  two([1, 1, 3, 3], [1, 1, 2, 2], {}, true),
  two([2, 2, 4, 3], [2, 3, 3, 2], { stride: [2, 2] }, true),
  two([1, 2, 4, 4], [2, 3, 3, 3], { padding: [1, 1] }),
  two([1, 2, 4, 3], [2, 3, 3, 3], { stride: [2, 3], padding: [1, 0] }),
  two([2, 3, 4, 4], [3, 2, 1, 1]),
  two([1, 17, 6, 6], [17, 9, 3, 3], { padding: [1, 1] }),
];
const SPREAD_MORE: readonly Question[] = [
  two([1, 2, 3, 4], [2, 3, 2, 3], { dilation: [2, 2] }, true),
  two([1, 4, 3, 3], [4, 2, 3, 3], { groups: 2, stride: [2, 2] }),
  two([1, 2, 3, 3], [2, 3, 3, 3], { stride: [2, 2], padding: [1, 1], outputPadding: [1, 0] }),
];

/** An operation of this engine that is told stride, padding, dilation and groups. */
const told =
  (f: (x: Tensor, weight: Tensor, options: ReturnType<typeof settingsOf>) => Tensor): ArrayRow["meaning"] =>
  (attributes, x, weight) =>
    f(x, weight, {
      ...settingsOf(attributes),
      ...(attributes.outputPadding === undefined ? {} : { outputPadding: listOf(attributes, "outputPadding") }),
    });

/** Numbers of each channel of [N, C, …]: all of them, in the order of batch and places. */
function channels({ shape, data }: PlainArray): number[][] {
  const found = Array.from({ length: shape[1] }, (): number[] => []);
  for (const index of places(shape)) found[index[1]].push(data[flat(index, shape)]);
  return found;
}

const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;

/** (x − mean) / √(variance + 1e-5) · weight + bias by the channel. */
function scaled(
  x: PlainArray,
  of: (channel: number) => { mean: number; variance: number },
  weight?: PlainArray,
  bias?: PlainArray,
): PlainArray {
  const each = Array.from({ length: x.shape[1] }, (_, c) => of(c));
  const data = Array.from(places(x.shape), (index) => {
    const { mean: centre, variance } = each[index[1]];
    const unit = (x.data[flat(index, x.shape)] - centre) / Math.sqrt(variance + 1e-5);
    return unit * (weight?.data[index[1]] ?? 1) + (bias?.data[index[1]] ?? 0);
  });
  return plain(data, x.shape);
}

/** Statistics that are kept are no operands of a gradient in other libraries. */
const held = (size: number, interval: Interval = [-3, 3]): GivenOperand => ({ shape: [size], interval, held: true });

/** Shapes of x, the channel second. */
const NORMALISED: readonly (readonly number[])[] = [
  [7, 3],
  [2, 3, 5],
  [3, 2, 4, 5],
  [5, 9, 33],
  [2, 1, 3],
];

/** Axes of [N, C, …] with the channel last, and the way back. */
const last = (rank: number): number[] => [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
const second = (rank: number): number[] => [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];
/** Axes of a weight [O, C, …] as […, C, O], and the way back. */
const inside = (rank: number): number[] => [...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1, 0];
const outside = (rank: number): number[] => [rank - 1, rank - 2, ...Array.from({ length: rank - 2 }, (_, i) => i)];

/** The same with channels last; vectors are as they were. */
function channelsLast({ meaning, questions }: ArrayRow): ArrayRow {
  const moved = (operand: Question["of"][number], n: number): Question["of"][number] => {
    const shape = "shape" in operand ? operand.shape : operand;
    if (shape.length < 2) return operand;
    const order = n === 0 ? last(shape.length) : inside(shape.length);
    const turned = order.map((axis) => shape[axis]);
    return "shape" in operand ? { ...operand, shape: turned } : turned;
  };
  return {
    composed: true,
    meaning: (attributes, x, ...rest) => {
      const given = rest.map((one) => (one.rank < 2 ? one : one.permute(outside(one.rank))));
      const y = meaning(attributes, x.permute(second(x.rank)), ...given);
      return y.permute(last(y.rank));
    },
    questions: questions.map((question) => ({ ...question, of: question.of.map(moved) })),
  };
}

const BATCH_NORM: ArrayRow = {
  meaning: (_, x, centre, variance, weight, bias) => batchNorm(x, centre, variance, { weight, bias }),
  plain: (_, x, centre, variance, weight, bias) =>
    scaled(x, (c) => ({ mean: centre.data[c], variance: variance.data[c] }), weight, bias),
  questions: NORMALISED.map((shape, n) => {
    const each = [shape[1]];
    return {
      ...{ of: [shape, held(shape[1]), held(shape[1], [0.5, 3]), each, each], second: n < 2 },
      ...(n === 0 && { values: "values" as const }),
    };
  }),
};

const CONV_1D: ArrayRow = { meaning: told(conv1d), plain: convolved, questions: LINES };
const SPREAD_2D: ArrayRow = { meaning: told(convTranspose2d), plain: spread, questions: SPREAD_IMAGES };

/** By name. */
export const SIGNAL_ROWS: ArrayRows = {
  conv1d: CONV_1D,
  conv1dChannelsLast: channelsLast(CONV_1D),
  conv1dOfGroups: { meaning: told(conv1d), plain: convolved, questions: LINES_OF_GROUPS },
  convTranspose1d: { meaning: told(convTranspose1d), plain: spread, questions: SPREAD_LINES },
  convTranspose2d: SPREAD_2D,
  convTranspose2dChannelsLast: channelsLast(SPREAD_2D),
  convTranspose2dOfGroups: { meaning: told(convTranspose2d), plain: spread, questions: SPREAD_MORE },
  batchNorm: BATCH_NORM,
  batchNormChannelsLast: channelsLast(BATCH_NORM),
  batchNormTraining: {
    meaning: (_, x, weight, bias) => batchNormTraining(x, { weight, bias }).y,
    plain: (_, x, weight, bias) => {
      const each = channels(x).map((list) => ({
        mean: mean(list),
        variance: mean(list.map((v) => (v - mean(list)) ** 2)),
      }));
      return scaled(x, (c) => each[c], weight, bias);
    },
    questions: [
      ...NORMALISED.map(
        (shape, n): Question => ({
          ...{ of: [shape, [shape[1]], [shape[1]]], second: n < 2 },
          ...(n === 0 && { values: "values" as const }),
        }),
      ),
      // Near 1000 the mean itself is only known to 6e-5, which the small deviation magnifies.
      {
        ...{ of: [{ shape: [30, 2, 7], interval: [1000, 1001] }, [2], [2]], values: "edges", gradients: "edges" },
        ...{ relative: 1e-3, absolute: 1e-3 },
      },
    ],
  },
};
