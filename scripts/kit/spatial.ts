/** Signals and images: convolutions, pooling, resampling, padding, batch normalisation, held to windows and sums. */
import {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveMaxPool2d,
  avgPool1d,
  avgPool2d,
  batchNorm,
  batchNormTraining,
  conv1d,
  conv2d,
  convTranspose1d,
  convTranspose2d,
  depthwiseConv1d,
  einsum,
  fold,
  grad,
  maxPool1d,
  maxPool2d,
  ones,
  stack,
  tensor,
  unfold,
  zeros,
  arange,
} from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import type { KitCases } from "./case.ts";

const narrow = (...shape: (number | string)[]) => ({ shape, domain: [-1, 1] }) as const;
const plain = (...shape: (number | string)[]) => ({ shape, views: false }) as const;

interface Windows {
  readonly stride?: readonly number[];
  readonly padding?: readonly (readonly [number, number])[];
  readonly dilation?: readonly number[];
  readonly groups?: number;
}

const NONE: readonly [number, number] = [0, 0];

/** [N, C, H, W] with [O, C / groups, h, w], by windows of the padded image. */
function correlated(
  x: Tensor,
  w: Tensor,
  { stride = [1, 1], padding = [NONE, NONE], dilation = [1, 1], groups = 1 }: Windows,
): Tensor {
  const [n, c] = x.shape;
  const [o, , h, v] = w.shape;
  const wide = x.pad([NONE, NONE, ...padding]);
  const windows = wide.window(2, h, stride[0], dilation[0]).window(3, v, stride[1], dilation[1]);
  const [rows, columns] = windows.shape.slice(2, 4);
  const a = windows.reshape([n, groups, c / groups, rows, columns, h, v]);
  const b = w.reshape([groups, o / groups, c / groups, h, v]);
  return einsum("ngcrsij,gocij->ngors", a, b).reshape([n, o, rows, columns]);
}

const both = (p: number): readonly [number, number] => [p, p];
const flat = (x: Tensor): Tensor => x.unsqueeze(2);
const along = (b: Tensor, rank: number): Tensor => b.reshape([1, b.size, ...Array(rank).fill(1)]);

/** What a transposed convolution is: the gradient of the convolution with the same weights, for an image of `size`. */
function spread(x: Tensor, w: Tensor, size: readonly number[], options: Windows): Tensor {
  const image = zeros([x.shape[0], w.shape[1] * (options.groups ?? 1), ...size]);
  return grad((t: Tensor) => correlated(t, w, options).mul(x).sum())(image);
}

const CONVOLUTIONS: KitCases = {
  conv2d: {
    f: (x, w, b) => conv2d(x, w, { bias: b, padding: [1, 0], stride: [2, 1] }),
    inputs: [narrow("n", "c", 5, 4), narrow("o", "c", 3, 2), narrow("o")],
    meaning: (x, w, b) => correlated(x, w, { padding: [both(1), NONE], stride: [2, 1] }).add(along(b, 2)),
    large: 7,
  },
  "conv2d with dilation and groups": {
    f: (x, w) => conv2d(x, w, { padding: 2, dilation: [2, 1], groups: 2 }).square(),
    inputs: [narrow("n", 4, 5, 3), narrow(6, 2, 2, 3)],
    meaning: (x, w) => correlated(x, w, { padding: [both(2), both(2)], dilation: [2, 1], groups: 2 }).square(),
    large: 5,
  },
  "conv2d of the same size": {
    f: (x, w) => conv2d(x, w, { padding: "same", dilation: [1, 2] }),
    inputs: [narrow("n", 2, 4, 5), narrow("o", 2, 2, 2)],
    // The odd element of the padding is behind.
    meaning: (x, w) =>
      correlated(x, w, {
        padding: [
          [0, 1],
          [1, 1],
        ],
        dilation: [1, 2],
      }),
    large: 6,
  },
  "conv2d of the same size with an even window": {
    f: (x, w) => conv2d(x, w, { padding: "same" }),
    inputs: [narrow("n", 2, 4, 5), narrow("o", 2, 4, 2)],
    meaning: (x, w) =>
      correlated(x, w, {
        padding: [
          [1, 2],
          [0, 1],
        ],
      }),
    large: 6,
  },
  "conv2d of many channels": {
    f: (x, w) => conv2d(x, w, { padding: 1 }),
    inputs: [narrow(2, 17, 9, 7), narrow(33, 17, 3, 3)],
    meaning: (x, w) => correlated(x, w, { padding: [both(1), both(1)] }),
    large: 0,
    order: 0,
  },
  "conv2d of every channel by itself": {
    f: (x, w) => [
      conv2d(x, w, { groups: 5, stride: 2, padding: 1 }),
      conv2d(x, w, { groups: 5, dilation: [2, 1], padding: [2, 0] }),
    ],
    inputs: [narrow("n", 5, 6, 5), narrow(5, 1, 3, 3)],
    meaning: (x, w) => [
      correlated(x, w, { groups: 5, stride: [2, 2], padding: [both(1), both(1)] }),
      correlated(x, w, { groups: 5, dilation: [2, 1], padding: [both(2), NONE] }),
    ],
    large: 5,
  },
  conv1d: {
    f: (x, w, b) => [conv1d(x, w, { bias: b, stride: 2, padding: 1 }), conv1d(x, w, { dilation: 2, groups: 1 })],
    inputs: [narrow("n", "c", 8), narrow("o", "c", 3), narrow("o")],
    meaning: (x, w, b) => {
      const of = (options: Windows) => correlated(flat(x), flat(w), options).squeeze(2);
      return [of({ stride: [1, 2], padding: [NONE, both(1)] }).add(along(b, 1)), of({ dilation: [1, 2] })];
    },
    large: 9,
  },
  depthwiseConv1d: {
    f: (x, w, b) => [
      depthwiseConv1d(x, w, { bias: b, padding: 1, axis: 1 }),
      depthwiseConv1d(x, w, { stride: 2, axis: 1 }),
    ],
    inputs: [narrow("n", 7, "c"), narrow("c", 1, 3), narrow("c")],
    meaning: (x, w, b) => {
      const of = (options: Windows) =>
        correlated(flat(x.transpose()), flat(w), { ...options, groups: w.shape[0] })
          .squeeze(2)
          .transpose();
      return [of({ padding: [NONE, both(1)] }).add(b), of({ stride: [1, 2] })];
    },
    large: 9,
  },
  convTranspose2d: {
    f: (x, w, b) => convTranspose2d(x, w, { bias: b, stride: [2, 1], padding: [1, 0], outputPadding: [1, 0] }),
    inputs: [narrow("n", "c", 3, 2), narrow("c", "o", 3, 2), narrow("o")],
    meaning: (x, w, b) => spread(x, w, [6, 3], { stride: [2, 1], padding: [both(1), NONE] }).add(along(b, 2)),
    large: 7,
  },
  "convTranspose2d with dilation and groups": {
    f: (x, w) => convTranspose2d(x, w, { dilation: [2, 1], groups: 2, stride: 2 }).square(),
    inputs: [narrow("n", 4, 3, 3), narrow(4, 3, 2, 3)],
    meaning: (x, w) => spread(x, w, [7, 7], { dilation: [2, 1], groups: 2, stride: [2, 2] }).square(),
    large: 5,
  },
  convTranspose1d: {
    f: (x, w) => convTranspose1d(x, w, { stride: 3, padding: 1 }),
    inputs: [narrow("n", "c", 4), narrow("c", "o", 3)],
    meaning: (x, w) => spread(flat(x), flat(w), [1, 10], { stride: [1, 3], padding: [NONE, both(1)] }).squeeze(2),
    large: 8,
  },
  "columns of windows and back": {
    f: (x, y) => [
      unfold(x, [2, 3], { stride: [2, 1], padding: [1, 0] }),
      fold(y, [4, 5], [2, 3], { stride: [2, 1], padding: [1, 0] }),
    ],
    inputs: [narrow("n", "c", 4, 5), narrow("n", 12, 9)],
    meaning: (x, y) => {
      const columns = (image: Tensor): Tensor => {
        const [n, c] = image.shape;
        const windows = image
          .pad([NONE, NONE, both(1), NONE])
          .window(2, 2, 2)
          .window(3, 3, 1);
        return windows.permute([0, 1, 4, 5, 2, 3]).reshape([n, c * 6, 9]);
      };
      const image = zeros([y.shape[0], 2, 4, 5]);
      return [columns(x), grad((t: Tensor) => columns(t).mul(y).sum())(image)];
    },
    large: 6,
  },
};

const WINDOWS = (x: Tensor, size: number[], stride: number[], low: number[], high: number[]): Tensor =>
  x
    .pad([...x.shape.slice(2).map(() => NONE), [low[0], high[0]] as const, [low[1], high[1]] as const])
    .window(2, size[0], stride[0])
    .window(3, size[1], stride[1]);

/** Mean of every cell of a grid over the last axis. */
const cells = (x: Tensor, wanted: number, reduce: (cell: Tensor) => Tensor): Tensor => {
  const length = x.shape.at(-1)!;
  const all = x.shape.slice(0, -1).map(() => null);
  return stack(
    Array.from({ length: wanted }, (_, i) =>
      reduce(x.slice(...all, [Math.floor((i * length) / wanted), Math.ceil(((i + 1) * length) / wanted)])),
    ),
    x.rank - 1,
  );
};

const ABOVE = 100;

const POOLS: KitCases = {
  maxPool2d: {
    f: (x) => [
      maxPool2d(x, 2),
      maxPool2d(x, [3, 2], { stride: [1, 2], padding: [1, 1] }),
      maxPool2d(x, 2, { ceilMode: true }),
    ],
    inputs: [plain("n", "c", 5, 7)],
    meaning: (x) => {
      const of = (size: number[], stride: number[], low: number[], high: number[]) =>
        WINDOWS(x.add(ABOVE), size, stride, low, high).max([-1, -2]).sub(ABOVE);
      return [
        of([2, 2], [2, 2], [0, 0], [0, 0]),
        of([3, 2], [1, 2], [1, 1], [1, 1]),
        of([2, 2], [2, 2], [0, 0], [1, 1]),
      ];
    },
    order: 0,
    large: 6,
    // Equal elements: the first has the gradient of one, and a share of the other.
    gradientTolerance: 10,
  },
  "maxPool2d of distinct elements": {
    f: (x) => {
      const apart = x.add(arange(20).mul(7).mod(20).mul(3).cast("f32").reshape([4, 5]));
      return [maxPool2d(apart, 2, { stride: 1, padding: 1 }), maxPool1d(apart.flatten(2), 3, 2)];
    },
    inputs: [narrow("n", "c", 4, 5)],
    meaning: (x) => {
      const apart = x.add(arange(20).mul(7).mod(20).mul(3).cast("f32").reshape([4, 5]));
      return [
        WINDOWS(apart.add(ABOVE), [2, 2], [1, 1], [1, 1], [1, 1]).max([-1, -2]).sub(ABOVE),
        apart.flatten(2).window(2, 3, 2).max(-1),
      ];
    },
    large: 5,
  },
  "largest of windows with special numbers": {
    f: (x) => [maxPool2d(x, 2), maxPool1d(x, 2)],
    inputs: [{ shape: ["n", 2, 4, 4], specials: true }],
    meaning: (x) => [WINDOWS(x, [2, 2], [2, 2], [0, 0], [0, 0]).max([-1, -2]), x.window(3, 2, 2).max(-1)],
    gradients: false,
    large: 0,
  },
  "the first of equal elements of a window has the gradient": {
    f: (x) => [maxPool2d(x, 2), maxPool1d(x.reshape([4]), 4)],
    inputs: [tensor([3, 1, 3, 2], { shape: [1, 1, 2, 2] })],
    meaning: (x) => [x.slice(null, null, [0, 1], [0, 1]), x.reshape([4]).slice([0, 1])],
    order: 0,
  },
  avgPool2d: {
    f: (x) => [
      avgPool2d(x, [2, 3]),
      avgPool2d(x, 3, { stride: 2, padding: 1 }),
      avgPool2d(x, 3, { stride: 2, padding: 1, countIncludePad: false }),
      avgPool2d(x, 2, { divisorOverride: 3 }),
    ],
    inputs: [narrow("n", "c", 5, 7)],
    meaning: (x) => {
      const sums = (t: Tensor, size: number[], stride: number[], p: number): Tensor =>
        WINDOWS(t, size, stride, [p, p], [p, p]).sum([-1, -2]);
      const inside = ones([1, 1, 5, 7]);
      return [
        sums(x, [2, 3], [2, 3], 0).div(6),
        sums(x, [3, 3], [2, 2], 1).div(9),
        sums(x, [3, 3], [2, 2], 1).div(sums(inside, [3, 3], [2, 2], 1)),
        sums(x, [2, 2], [2, 2], 0).div(3),
      ];
    },
    large: 6,
  },
  "mean of windows that end outside": {
    f: (x) => [
      avgPool1d(x, 3, { stride: 2, padding: 1, ceilMode: true }),
      avgPool1d(x, 4, { stride: 3, ceilMode: true }),
      avgPool1d(x, 3, { stride: 3, padding: 1, ceilMode: true }),
    ],
    inputs: [narrow("n", 2, 8)],
    meaning: (x) => {
      // Zeros of the padding count, what lies beyond it does not.
      const of = (size: number, stride: number, padding: number, count: number): Tensor => {
        const wide = x.pad([NONE, NONE, both(padding)]);
        const length = wide.shape[2];
        return stack(
          Array.from({ length: count }, (_, i) =>
            wide.slice(null, null, [i * stride, Math.min(i * stride + size, length)]).mean(2),
          ),
          2,
        );
      };
      return [of(3, 2, 1, 5), of(4, 3, 0, 3), of(3, 3, 1, 3)];
    },
    large: 6,
  },
  "pools to a size": {
    f: (x) => [
      adaptiveAvgPool1d(x, 3),
      adaptiveAvgPool1d(x, 5),
      adaptiveAvgPool2d(x, [2, 3]),
      adaptiveMaxPool2d(x, [3, 4]),
    ],
    inputs: [plain("n", 4, 7)],
    meaning: (x) => {
      const mean = (t: Tensor, n: number): Tensor => cells(t, n, (c) => c.mean(-1));
      const max = (t: Tensor, n: number): Tensor => cells(t, n, (c) => c.max(-1));
      return [
        mean(x, 3),
        mean(x, 5),
        mean(mean(x, 3).transpose(), 2).transpose(),
        max(max(x, 4).transpose(), 3).transpose(),
      ];
    },
    order: 0,
    large: 6,
    gradientTolerance: 10,
  },
  "means of a grid": {
    f: (x) => [adaptiveAvgPool1d(x, 3), adaptiveAvgPool1d(x, 5), adaptiveAvgPool2d(x, [2, 3])],
    inputs: [narrow("n", 4, 7)],
  },
};

const NORMS: KitCases = {
  batchNormTraining: {
    f: (x, w, b) => {
      const apart = x.add(arange(5).square().mul(0.5));
      return [batchNormTraining(apart, { weight: w, bias: b, epsilon: 1e-3 }).y, batchNormTraining(apart).y];
    },
    inputs: [narrow("n", "c", 5), narrow("c"), narrow("c")],
    meaning: (x, w, b) => {
      const apart = x.add(arange(5).square().mul(0.5));
      const mean = apart.mean([0, 2], true);
      const variance = apart.sub(mean).square().mean([0, 2], true);
      const of = (epsilon: number): Tensor => apart.sub(mean).div(variance.add(epsilon).sqrt());
      return [of(1e-3).mul(along(w, 1)).add(along(b, 1)), of(1e-5)];
    },
    large: 9,
    gradientTolerance: 2e-4,
  },
  "statistics of a batch": {
    f: (x) => {
      const { mean, variance } = batchNormTraining(x).statistics;
      return [mean, variance];
    },
    inputs: [narrow("n", "c", 5)],
    meaning: (x) => [x.mean([0, 2]), x.transpose(0, 1).flatten(1).variance(1, false, 1)],
    large: 9,
    gradients: false,
  },
  batchNorm: {
    f: (x, m, v, w) => batchNorm(x, m, v, { weight: w }),
    inputs: [narrow("n", "c", 3), narrow("c"), { shape: ["c"], domain: [0.5, 3] }, narrow("c")],
    meaning: (x, m, v, w) =>
      x
        .sub(along(m, 1))
        .div(along(v.add(1e-5).sqrt(), 1))
        .mul(along(w, 1)),
    large: 9,
  },
};

/** By name. */
export const SPATIAL: KitCases = { ...CONVOLUTIONS, ...POOLS, ...NORMS };
