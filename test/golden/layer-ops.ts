/** How each op of torch_layers_f64.safetensors is called here: operands in order, then the options of the case. */
import * as ops from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";

// Options are read from JSON: the ops check them.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type LayerOp = (inputs: readonly Tensor[], options: any) => Tensor;

const pool =
  (f: (x: Tensor, size: number, options: object) => Tensor): LayerOp =>
  ([x], { size, ...options }) =>
    f(x, size, options);

const adaptive =
  (f: (x: Tensor, size: ops.AdaptiveSize) => Tensor): LayerOp =>
  ([x], { size }) =>
    f(x, size);

export const LAYER_OPS: Readonly<Record<string, LayerOp>> = {
  conv1d: ([x, weight, bias], options) => ops.conv1d(x, weight, { ...options, bias }),
  convTranspose1d: ([x, weight, bias], options) => ops.convTranspose1d(x, weight, { ...options, bias }),
  convTranspose2d: ([x, weight, bias], options) => ops.convTranspose2d(x, weight, { ...options, bias }),
  unfold: ([x], { kernelSize, ...options }) => ops.unfold(x, kernelSize, options),
  fold: ([x], { outputSize, kernelSize, ...options }) => ops.fold(x, outputSize, kernelSize, options),
  interpolate: ([x], options) => ops.interpolate(x, options),
  groupNorm: ([x, weight, bias], { groups, ...options }) => ops.groupNorm(x, groups, { ...options, weight, bias }),
  instanceNorm: ([x, weight, bias]) => ops.instanceNorm(x, { weight, bias }),
  rmsNorm: ([x, weight], options) => ops.rmsNorm(x, { ...options, weight }),
  conv2d: ([x, weight, bias], options) => ops.conv2d(x, weight, { ...options, bias }),
  maxPool1d: pool(ops.maxPool1d),
  maxPool2d: pool(ops.maxPool2d),
  avgPool1d: pool(ops.avgPool1d),
  avgPool2d: pool(ops.avgPool2d),
  adaptiveAvgPool1d: adaptive(ops.adaptiveAvgPool1d),
  adaptiveAvgPool2d: adaptive(ops.adaptiveAvgPool2d),
  adaptiveMaxPool1d: adaptive(ops.adaptiveMaxPool1d),
  adaptiveMaxPool2d: adaptive(ops.adaptiveMaxPool2d),
  batchNormTraining: ([x, weight, bias], options) => ops.batchNormTraining(x, { weight, bias, ...options }).y,
  batchNorm: ([x, mean, variance, weight, bias], options) =>
    ops.batchNorm(x, mean, variance, { weight, bias, ...options }),
};
