/**
 * Every op that computes with floats beyond one element at a time, on small operands of ordinary values, into which
 * the tests of special values put NaN and infinities.
 */
import type { Tensor } from "../../src/tensor/index.ts";
import { concat, stack, tensor } from "../../src/tensor/index.ts";
import { attention, packedAttention } from "../../src/ops/attention.ts";
import { depthwiseConv1d, interpolateLinear, maxPool1d } from "../../src/ops/convolution.ts";
import { crossEntropy, infoNCE, meanSquaredError, ntXent } from "../../src/ops/losses/index.ts";
import { l2Normalize, layerNorm } from "../../src/ops/normalization.ts";
import { gruScan, lstmScan } from "../../src/ops/scan.ts";
import { segmentMax } from "../../src/ops/segment-max.ts";
import { logSoftmax, logSumExp, softmax } from "../../src/ops/softmax.ts";
import { batchNormTraining } from "../../src/ops/spatial/batch-norm.ts";
import { conv1d, conv2d } from "../../src/ops/spatial/conv.ts";
import { adaptiveAvgPool1d, avgPool1d, avgPool2d, maxPool2d } from "../../src/ops/spatial/pooling.ts";
import { topK } from "../../src/ops/top-k.ts";

/** An op and the shapes of its operands. */
export interface SpecialCase {
  readonly shapes: readonly (readonly number[])[];
  readonly f: (...operands: Tensor[]) => Tensor | readonly Tensor[];
  /** Whether gradients are taken; default true. */
  readonly differentiable?: boolean;
  /**
   * Whether the kernels' gradients are other formulas than the decomposition's: what is not finite in one may then be
   * another special in the other, and what a mask closes may be special too.
   */
  readonly algebra?: boolean;
}

const index = (values: number[], shape: number[]) => tensor(Int32Array.from(values), { shape });
const mask = (values: number[], shape: number[]) => tensor(Float32Array.from(values), { shape });

export const SPECIAL_CASES: Readonly<Record<string, SpecialCase>> = {
  "argmax, last axis": { shapes: [[3, 7]], f: (x) => x.argmax(1), differentiable: false },
  "argmin, last axis": { shapes: [[3, 7]], f: (x) => x.argmin(1), differentiable: false },
  "argmax, first axis": { shapes: [[5, 8]], f: (x) => x.argmax(0), differentiable: false },
  "argmin, first axis": { shapes: [[5, 8]], f: (x) => x.argmin(0), differentiable: false },
  "argmax, long": { shapes: [[700]], f: (x) => x.argmax(0), differentiable: false },
  sum: { shapes: [[3, 7]], f: (x) => [x.sum(0), x.sum(1)] },
  mean: { shapes: [[3, 8]], f: (x) => [x.mean(0), x.mean(1)] },
  variance: { shapes: [[3, 8]], f: (x) => [x.variance(0), x.variance(1)] },
  prod: { shapes: [[3, 4]], f: (x) => [x.prod(0), x.prod(1)] },
  "max, rows": { shapes: [[3, 7]], f: (x) => x.max(1) },
  "max, columns": { shapes: [[5, 8]], f: (x) => x.max(0) },
  "min, rows": { shapes: [[3, 8]], f: (x) => x.min(1) },
  "min, columns": { shapes: [[5, 8]], f: (x) => x.min(0) },
  softmax: { shapes: [[3, 7]], f: (x) => softmax(x) },
  "softmax, first axis": { shapes: [[5, 8]], f: (x) => softmax(x, 0) },
  logSoftmax: { shapes: [[3, 8]], f: (x) => logSoftmax(x) },
  "logSoftmax, first axis": { shapes: [[5, 8]], f: (x) => logSoftmax(x, 0) },
  logSumExp: { shapes: [[3, 7]], f: (x) => logSumExp(x) },
  layerNorm: { shapes: [[3, 8], [8], [8]], f: (x, weight, bias) => layerNorm(x, { weight, bias }) },
  l2Normalize: { shapes: [[3, 7]], f: (x) => l2Normalize(x) },
  batchNorm: { shapes: [[4, 3, 5]], f: (x) => batchNormTraining(x, {}).y },
  crossEntropy: { shapes: [[4, 5]], f: (x) => crossEntropy(x, index([0, 3, -100, 2], [4])) },
  "crossEntropy, smoothed": {
    shapes: [[4, 5]],
    f: (x) => crossEntropy(x, index([0, 3, 1, 2], [4]), { labelSmoothing: 0.1, reduction: "none" }),
  },
  meanSquaredError: {
    shapes: [
      [3, 5],
      [3, 5],
    ],
    f: (x, y) => meanSquaredError(x, y),
  },
  matmul: {
    shapes: [
      [5, 7],
      [7, 6],
    ],
    f: (a, b) => a.matmul(b),
  },
  "matmul of tiles": {
    shapes: [
      [32, 36],
      [36, 40],
    ],
    f: (a, b) => a.matmul(b),
  },
  "matmul of rows": {
    shapes: [
      [1, 70],
      [70, 9],
    ],
    f: (a, b) => a.matmul(b),
  },
  "matmul in batches": {
    shapes: [
      [2, 4, 8],
      [2, 8, 4],
    ],
    f: (a, b) => a.matmul(b),
  },
  "matmul with an epilogue": { shapes: [[8, 12], [12, 16], [16]], f: (a, b, c) => a.matmul(b).add(c).relu() },
  conv1d: { shapes: [[2, 4, 9], [6, 4, 3], [6]], f: (x, w, bias) => conv1d(x, w, { bias, padding: 1 }) },
  depthwiseConv1d: {
    shapes: [
      [2, 9, 4],
      [4, 1, 3],
    ],
    f: (x, w) => depthwiseConv1d(x, w, { padding: 1 }),
  },
  conv2d: {
    shapes: [
      [1, 2, 5, 6],
      [3, 2, 3, 3],
    ],
    f: (x, w) => conv2d(x, w, { padding: 1 }),
  },
  maxPool1d: { shapes: [[2, 3, 8]], f: (x) => maxPool1d(x, 2) },
  maxPool2d: { shapes: [[1, 2, 4, 6]], f: (x) => maxPool2d(x, 2) },
  avgPool1d: { shapes: [[2, 3, 8]], f: (x) => avgPool1d(x, 3) },
  avgPool2d: { shapes: [[1, 2, 4, 6]], f: (x) => avgPool2d(x, 2) },
  adaptiveAvgPool1d: { shapes: [[2, 3, 8]], f: (x) => adaptiveAvgPool1d(x, 3) },
  interpolateLinear: { shapes: [[2, 6]], f: (x) => interpolateLinear(x, 9) },
  gather: { shapes: [[4, 5]], f: (x) => x.gather(1, index([0, 4, 2, 2, 1, 0, 3, 3], [4, 2])) },
  take: { shapes: [[6, 4]], f: (x) => x.take(index([5, 0, 0, 3], [4]), 0) },
  scatterAdd: {
    shapes: [
      [4, 5],
      [4, 2],
    ],
    f: (x, s) => x.scatterAdd(1, index([0, 4, 2, 2, 1, 0, 3, 3], [4, 2]), s),
  },
  concat: {
    shapes: [
      [2, 3],
      [2, 4],
    ],
    f: (x, y) => concat([x, y], 1),
  },
  stack: {
    shapes: [
      [2, 3],
      [2, 3],
    ],
    f: (x, y) => stack([x, y], 1),
  },
  where: {
    shapes: [
      [4, 4],
      [4, 4],
    ],
    f: (x, y) => index([0, 1, 1, 0], [4]).cast("bool").where(x, y),
  },
  segmentMax: { shapes: [[2, 7, 4]], f: (x) => segmentMax(x, [3, 4]) },
  topK: { shapes: [[3, 9]], f: (x) => Object.values(topK(x, 4)) },
  "topK of a long row": { shapes: [[2, 300]], f: (x) => Object.values(topK(x, 3)) },
  attention: {
    algebra: true,
    shapes: [
      [1, 5, 2, 4],
      [1, 7, 2, 4],
      [1, 7, 2, 4],
    ],
    f: (q, k, v) => attention(q, k, v),
  },
  "attention with a mask": {
    algebra: true,
    shapes: [
      [2, 5, 1, 8],
      [2, 6, 1, 8],
      [2, 6, 1, 8],
    ],
    f: (q, k, v) => attention(q, k, v, { mask: mask([1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1], [2, 6]) }),
  },
  "attention in segments": {
    algebra: true,
    shapes: [[1, 9, 24]],
    f: (x) => packedAttention(x, 2, { segments: [4, 5] }),
  },
  gruScan: {
    algebra: true,
    shapes: [
      [4, 3, 1, 24],
      [1, 24, 8],
      [1, 24],
      [1, 3, 8],
    ],
    f: (gates, weight, bias, h0) => Object.values(gruScan({ gates, weight, bias, h0 })),
  },
  "gruScan both ways": {
    algebra: true,
    shapes: [
      [4, 2, 2, 12],
      [2, 12, 4],
      [2, 12],
    ],
    f: (gates, weight, bias) => gruScan({ gates, weight, bias, mask: mask([1, 1, 1, 1, 1, 0, 1, 0], [4, 2]) }).y,
  },
  lstmScan: {
    algebra: true,
    shapes: [
      [4, 3, 1, 32],
      [1, 32, 8],
      [1, 32],
      [1, 3, 8],
      [1, 3, 8],
    ],
    f: (gates, weight, bias, h0, c0) => Object.values(lstmScan({ gates, weight, bias, h0, c0 })),
  },
  infoNCE: {
    algebra: true,
    shapes: [
      [5, 8],
      [5, 8],
      [8, 40],
    ],
    f: (q, k, queue) => infoNCE(q, k, queue.detach(), { temperature: 0.2, reduction: "none" }),
  },
  "infoNCE of several positives": {
    algebra: true,
    shapes: [
      [3, 6],
      [3, 4, 6],
      [6, 10],
    ],
    f: (q, k, queue) => infoNCE(q, k, queue, { temperature: 0.2 }),
  },
  ntXent: {
    shapes: [
      [4, 6],
      [4, 6],
    ],
    f: (a, b) => ntXent(a, b, { temperature: 0.5 }),
  },
};
