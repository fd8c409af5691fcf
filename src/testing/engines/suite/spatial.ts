/** Convolution and pooling of images: stride, padding, dilation, groups; channels before the places or after. */
import { avgPool2d, conv2d, maxPool2d } from "../../../ops/index.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { EngineAttributes } from "../protocol.ts";
import { shared } from "./along.ts";
import type { ArrayRow, ArrayRows, GivenOperand, Question } from "./array-row.ts";
import { listOf, numberOf } from "./array-row.ts";
import { convolved } from "./signals.ts";

const pair = (attributes: EngineAttributes, name: string): [number, number] | undefined =>
  attributes[name] === undefined ? undefined : (listOf(attributes, name) as [number, number]);

function convolution(attributes: EngineAttributes, x: Tensor, weight: Tensor): Tensor {
  return conv2d(x, weight, {
    stride: pair(attributes, "stride"),
    padding: pair(attributes, "padding"),
    dilation: pair(attributes, "dilation"),
    groups: attributes.groups === undefined ? 1 : numberOf(attributes, "groups"),
  });
}

const PLAIN = { stride: [1, 1], padding: [0, 0], dilation: [1, 1] };

/** An image of zeros with one special element. */
const spotted = (x: number): GivenOperand => ({
  ...{ shape: [1, 1, 4, 4], data: Array.from({ length: 16 }, (_, i) => (i === 5 ? x : 0)) },
});

const conv = (x: readonly number[], weight: readonly number[], more: object = {}, second = false): Question => ({
  ...{ of: [x, weight], with: { ...PLAIN, ...more }, second },
});

const CONVOLUTIONS: readonly Question[] = [
  { ...conv([2, 3, 9, 8], [4, 3, 3, 3]), values: "values" },
  conv([1, 1, 5, 5], [1, 1, 3, 3], {}, true),
  conv([2, 3, 7, 6], [4, 3, 3, 2], {}, true),
  conv([2, 2, 7, 6], [3, 2, 3, 3], { stride: [2, 2] }, true),
  conv([2, 2, 7, 6], [3, 2, 3, 3], { padding: [1, 1] }),
  conv([1, 2, 7, 9], [3, 2, 2, 3], { stride: [2, 3] }),
  conv([1, 2, 8, 7], [3, 2, 3, 3], { stride: [2, 2], padding: [1, 1] }),
  conv([1, 2, 9, 9], [3, 2, 3, 3], { dilation: [2, 2] }),
  conv([1, 2, 8, 9], [2, 2, 2, 3], { dilation: [3, 2], padding: [2, 2] }),
  conv([2, 5, 4, 4], [3, 5, 1, 1]),
  conv([1, 2, 3, 3], [2, 2, 3, 3]),
  conv([1, 1, 2, 2], [1, 1, 3, 3], { padding: [1, 1] }),
  conv([1, 17, 9, 9], [33, 17, 3, 3], { padding: [1, 1] }),
  conv([0, 2, 5, 5], [3, 2, 3, 3]),
  ...[NaN, Infinity].map(
    (x): Question => ({
      ...conv([], [], {}),
      of: [spotted(x), { shape: [1, 1, 2, 2], data: [0, 1, 0, 2] }],
      ...{ values: "specials", gradients: null, name: `${x} and zeros` },
    }),
  ),
];

const GROUPED: readonly Question[] = [
  conv([2, 4, 5, 6], [6, 2, 3, 3], { groups: 2 }, true),
  conv([1, 3, 6, 5], [3, 1, 3, 3], { groups: 3, padding: [1, 1] }),
  conv([1, 3, 6, 7], [6, 1, 3, 2], { groups: 3, stride: [2, 1] }),
  conv([1, 4, 7, 7], [4, 2, 3, 3], { groups: 2, dilation: [2, 2], padding: [2, 2] }),
];

/** Windows of the size that they step. */
const pool = (x: readonly number[], size: number[], stride = size, padding?: number[], second = false): Question => ({
  ...{ of: [x], with: { size, stride, ...(padding && { padding }) }, second },
});

const POOLS: readonly Question[] = [
  { ...pool([2, 3, 8, 8], [2, 2]), values: "values" },
  pool([1, 1, 4, 4], [2, 2], [2, 2], undefined, true),
  pool([2, 3, 5, 7], [3, 2], [2, 2]),
  pool([2, 3, 5, 7], [2, 3], [1, 1], undefined, true),
  pool([1, 2, 7, 7], [2, 2], [3, 3]),
  pool([1, 2, 3, 4], [3, 4], [1, 1]),
  pool([1, 2, 3, 4], [1, 1], [1, 1]),
  pool([1, 1, 33, 65], [2, 2]),
  pool([0, 2, 4, 4], [2, 2]),
  ...[NaN, Infinity, -Infinity].map(
    (x): Question => ({
      ...{ of: [spotted(x)], with: { size: [2, 2], stride: [1, 1] } },
      ...{ values: "specials", gradients: null, name: `${x} and zeros` },
    }),
  ),
];

const PADDED: readonly Question[] = [
  pool([1, 2, 5, 5], [3, 3], [2, 2], [1, 1], true),
  pool([2, 1, 4, 6], [2, 3], [2, 1], [1, 1]),
  pool([1, 1, 4, 4], [2, 2], [2, 2], [1, 1]),
];

const TIE: Question = {
  ...{ of: [{ shape: [1, 1, 2, 2], data: [3, 1, 3, 2] }], with: { size: [2, 2], stride: [2, 2] } },
  ...{ values: null, gradients: "edges", plainSum: true, name: "at a tie" },
  otherwise: (found) => shared([3, 1, 3, 2], found[0]),
};

/** Padding counts as nothing: no maximum is taken of it. */
const BELOW_ZERO: Question = {
  ...pool([1, 1, 3, 3], [2, 2], [1, 1], [1, 1]),
  ...{ of: [{ shape: [1, 1, 3, 3], interval: [-3, -1] }], name: "below zero" },
};

const maxima = (attributes: EngineAttributes, x: Tensor): Tensor =>
  maxPool2d(x, pair(attributes, "size")!, { stride: pair(attributes, "stride"), padding: pair(attributes, "padding") });
const means = (attributes: EngineAttributes, x: Tensor): Tensor =>
  avgPool2d(x, pair(attributes, "size")!, { stride: pair(attributes, "stride"), padding: pair(attributes, "padding") });

/** [N, C, H, W] as [N, H, W, C], and an [O, C, H, W] as [H, W, C, O]. */
const IMAGES = [0, 2, 3, 1];
const WEIGHTS = [2, 3, 1, 0];

/** The order in which an operand of [N, C, H, W] is given with channels last. */
function moved(operand: Question["of"][number], order: readonly number[]): Question["of"][number] {
  if (!("shape" in operand)) return order.map((axis) => operand[axis]);
  // Operands with numbers of their own have one channel: only sizes of 1 change their places.
  return { ...operand, shape: order.map((axis) => operand.shape[axis]) };
}

/** The same with channels last: images are [N, H, W, C], weights [H, W, C, O]. */
function channelsLast(meaning: ArrayRow["meaning"], questions: readonly Question[]): ArrayRow {
  return {
    composed: true,
    meaning(attributes, x, weight) {
      const image = x.permute([0, 3, 1, 2]);
      return (
        weight === undefined ? meaning(attributes, image) : meaning(attributes, image, weight.permute([3, 2, 0, 1]))
      ).permute(IMAGES);
    },
    questions: questions.map((question) => ({
      ...question,
      of: question.of.map((operand, n) => moved(operand, n === 0 ? IMAGES : WEIGHTS)),
    })),
  };
}

/** By name. */
export const SPATIAL_ROWS: ArrayRows = {
  conv2d: { meaning: convolution, plain: convolved, questions: CONVOLUTIONS },
  conv2dOfGroups: { meaning: convolution, plain: convolved, questions: GROUPED },
  conv2dChannelsLast: channelsLast(convolution, CONVOLUTIONS),
  maxPool2d: { meaning: maxima, questions: [...POOLS, TIE] },
  maxPool2dPadded: { meaning: maxima, questions: [...PADDED, BELOW_ZERO] },
  maxPool2dChannelsLast: channelsLast(maxima, [...POOLS, TIE]),
  avgPool2d: { meaning: means, questions: POOLS },
  avgPool2dPadded: { meaning: means, questions: PADDED },
  avgPool2dChannelsLast: channelsLast(means, POOLS),
};
