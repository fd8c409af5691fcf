/** How each op of torch_layers_f64.safetensors is called here: operands in order, then the options of the case. */
import type { HostTensor } from "../../src/io/index.ts";
import * as nn from "../../src/nn/index.ts";
import * as ops from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";

// Options are read from JSON: the ops check them.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type LayerOp = (inputs: readonly Tensor[], options: any, state: ReadonlyMap<string, HostTensor>) => Tensor;

/** A layer with the state of the case. */
function loaded<M extends nn.Module>(layer: M, state: ReadonlyMap<string, HostTensor>): M {
  layer.loadStateDict(state);
  return layer;
}

const pool =
  (f: (x: Tensor, size: number, options: object) => Tensor): LayerOp =>
  ([x], { size, ...options }) =>
    f(x, size, options);

const adaptive =
  (f: (x: Tensor, size: ops.AdaptiveSize) => Tensor): LayerOp =>
  ([x], { size }) =>
    f(x, size);

export const LAYER_OPS: Readonly<Record<string, LayerOp>> = {
  sdpa: ([q, k, v, attentionMask], options) => ops.scaledDotProductAttention(q, k, v, { ...options, attentionMask }),
  rotaryEmbedding: ([x, positions], options) => ops.rotaryEmbedding(x, { ...options, positions }),
  decoderLayer: ([target, memory], { causal, ...options }, state) =>
    loaded(
      new nn.TransformerDecoderLayer(6, 2, {
        feedForward: 8,
        dropout: 0,
        batchFirst: true,
        dtype: target.dtype,
        ...options,
      }),
      state,
    ).forward(target, memory, { causal }),
  encoderLayer: ([x], { causal }, state) =>
    loaded(
      new nn.TransformerEncoderLayer(6, 2, { feedForward: 8, dropout: 0, batchFirst: true, dtype: x.dtype }),
      state,
    ).forward(x, { causal }),
  multiHeadAttention: ([x, attentionMask, keys, key], _, state) =>
    loaded(new nn.MultiHeadAttention(6, 2, { batchFirst: true, dtype: x.dtype }), state).forward(x, {
      attentionMask,
      key,
      mask: keys?.cast(x.dtype),
    }),
  cumsum: ([x], { axis }) => ops.cumsum(x, axis),
  cumprod: ([x], { axis }) => ops.cumprod(x, axis),
  sort: ([x], options) => ops.sort(x, options).values,
  argsort: ([x], options) => ops.argsort(x, options),
  split: ([x], { size, axis }) => ops.split(x, size, axis).at(-1)!,
  chunk: ([x], { count, axis }) => ops.chunk(x, count, axis).at(-1)!,
  tril: ([x], { diagonal }) => ops.tril(x, diagonal),
  triu: ([x], { diagonal }) => ops.triu(x, diagonal),
  linspace: ([x], { start, end, steps }) => ops.linspace(start, end, steps, x.dtype).add(x.mul(0)),
  roll: ([x], { shift, axes }) => ops.roll(x, shift, axes ?? undefined),
  scatter: ([x, index, source], { axis }) => ops.scatter(x, axis, index, source),
  norm: ([x], { p, axes, keepDims }) =>
    ops.norm(x, { p: Number(p.replace("inf", "Infinity")), axes: axes ?? undefined, keepDims }),
  leakyRelu: ([x], { slope }) => ops.leakyRelu(x, slope),
  elu: ([x], { alpha }) => ops.elu(x, alpha),
  silu: ([x]) => ops.silu(x),
  mish: ([x]) => ops.mish(x),
  hardSigmoid: ([x]) => ops.hardSigmoid(x),
  hardSwish: ([x]) => ops.hardSwish(x),
  glu: ([x], { axis }) => ops.glu(x, axis),
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
