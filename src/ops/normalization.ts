/**
 * Layer normalisation (Ba, Kiros, Hinton 2016, arXiv 1607.06450), its kin over groups and channels, and L2
 * normalisation.
 */
import type { FusedOp } from "../tensor/fused.ts";
import * as build from "../tensor/build.ts";
import { formatShape, normalizeAxis, sameShape, sizeOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { checkOptions, requireFloat } from "../tensor/door/door.ts";
import { Tensor } from "../tensor/tensor.ts";
import { widened } from "./autocast.ts";

interface EpsilonAttrs {
  readonly epsilon: number;
}

/** Normalises the last axis to mean 0 and variance 1; second result: 1/√(variance + ε), kept for the gradient. */
const STANDARDIZE: FusedOp<EpsilonAttrs> = {
  name: "layerNorm",
  outputs: ([x]) => [x, { shape: [...x.shape.slice(0, -1), 1], dtype: x.dtype }],
  decompose([x], { epsilon }) {
    const centred = x.sub(x.mean(-1, true));
    const scale = centred.square().mean(-1, true).add(epsilon).rsqrt();
    return [centred.mul(scale), scale];
  },
  vjp(_, [y, scale], [dy, dscale]) {
    const parts: Tensor[] = [];
    if (dy) parts.push(scale.mul(dy.sub(dy.mean(-1, true)).sub(y.mul(dy.mul(y).mean(-1, true)))));
    // d scale / dx = −scale² · y / n; it matters in second derivatives only.
    if (dscale)
      parts.push(
        dscale
          .mul(scale.square())
          .mul(y)
          .mul(-1 / y.shape[y.rank - 1]),
      );
    return [parts.length === 2 ? parts[0].add(parts[1]) : parts[0]];
  },
};

/** Settings of `layerNorm`. */
export interface LayerNormOptions {
  /** Scale and shift, each the shape of the axes that are normalised. */
  readonly weight?: Tensor;
  readonly bias?: Tensor;
  /** Added to the variance; default 1e-5 (PyTorch's). */
  readonly epsilon?: number;
  /** Sizes of the last axes, normalised together (PyTorch's `normalized_shape`); default the last one alone. */
  readonly shape?: Shape;
}

/** Layer normalisation of x over its last axis, or the last axes together (torch.nn.functional.layer_norm). */
export function layerNorm(x: Tensor, options: LayerNormOptions = {}): Tensor {
  requireFloat("layerNorm", x);
  x = widened(x);
  checkOptions("layerNorm", options, ["weight", "bias", "epsilon", "shape"]);
  const { weight, bias, epsilon = 1e-5, shape = x.shape.slice(-1) } = options;
  const axes = x.shape.slice(x.rank - shape.length);
  if (shape.length === 0 || shape.length > x.rank || sizeOf(axes) === 0)
    throw new Error(
      `layerNorm: ${formatShape(x.shape)} has no last ${shape.length > 1 ? "axes" : "axis"} to normalise`,
    );
  if (!sameShape(axes, shape)) {
    throw new Error(`layerNorm: the last axes of x ${formatShape(x.shape)} are not ${formatShape(shape)}`);
  }
  for (const [name, t] of [
    ["weight", weight],
    ["bias", bias],
  ] as const) {
    if (t && !sameShape(t.shape, axes)) {
      const last =
        axes.length === 1 ? `the last axis of x is ${axes[0]}` : `the last axes of x are ${formatShape(axes)}`;
      throw new Error(`layerNorm: ${name} has shape ${formatShape(t.shape)}, ${last}`);
    }
  }
  const rows = axes.length === 1 ? x : x.reshape([...x.shape.slice(0, x.rank - axes.length), sizeOf(axes)]);
  const standard = new Tensor(build.fused(STANDARDIZE, [rows.node], { epsilon })[0]);
  let y = axes.length === 1 ? standard : standard.reshape(x.shape);
  if (weight) y = y.mul(weight);
  return bias ? y.add(bias) : y;
}

/** Scale and shift of channels, axis 1 of x. */
function perChannel(op: string, x: Tensor, y: Tensor, weight?: Tensor, bias?: Tensor): Tensor {
  const channels = x.shape[1];
  const along = (name: string, v: Tensor): Tensor => {
    if (v.rank !== 1 || v.size !== channels) {
      throw new Error(
        `${op}: ${name} has shape ${formatShape(v.shape)}, x ${formatShape(x.shape)} has ${channels} channels`,
      );
    }
    return v.reshape([1, channels, ...x.shape.slice(2).map(() => 1)]);
  };
  const scaled = weight ? y.mul(along("weight", weight)) : y;
  return bias ? scaled.add(along("bias", bias)) : scaled;
}

/** Scale and shift of group and instance normalisation are [C]. */
export type GroupNormOptions = Omit<LayerNormOptions, "shape">;

/**
 * Normalises each sample of x [N, C, ...] within `groups` groups of channels, over all places (torch group_norm; Wu, He
 * 2018, arXiv 1803.08494); then scale and shift by channel.
 */
export function groupNorm(x: Tensor, groups: number, options: GroupNormOptions = {}): Tensor {
  requireFloat("groupNorm", x);
  x = widened(x);
  checkOptions("groupNorm", options, ["weight", "bias", "epsilon"]);
  const [n, channels] = x.shape;
  const row = sizeOf(x.shape.slice(1)) / groups;
  if (x.rank < 2 || !Number.isInteger(groups) || groups < 1 || channels % groups !== 0 || row === 0) {
    throw new Error(
      `groupNorm: x ${formatShape(x.shape)} must be [N, C, ...] with elements in each sample, C a multiple of the ` +
        `${groups} groups`,
    );
  }
  const rows = x.reshape([n, groups, row]);
  const y = layerNorm(rows, { epsilon: options.epsilon }).reshape(x.shape);
  return perChannel("groupNorm", x, y, options.weight, options.bias);
}

/**
 * Normalises each channel of each sample of x [N, C, ...] over its places (torch instance_norm with use_input_stats;
 * Ulyanov et al. 2016, arXiv 1607.08022).
 *
 * @throws Error where a channel has one place only: its variance says nothing.
 */
export function instanceNorm(x: Tensor, options: GroupNormOptions = {}): Tensor {
  requireFloat("instanceNorm", x);
  x = widened(x);
  checkOptions("instanceNorm", options, ["weight", "bias", "epsilon"]);
  if (x.rank < 3 || x.shape[1] === 0 || sizeOf(x.shape.slice(2)) < 2) {
    throw new Error(`instanceNorm: x ${formatShape(x.shape)} must be [N, C, ...] with more than one place a channel`);
  }
  const { weight, bias, epsilon } = options;
  return perChannel("instanceNorm", x, groupNorm(x, x.shape[1], { epsilon }), weight, bias);
}

/** Settings of `rmsNorm`. */
export interface RmsNormOptions {
  /** Scale, the shape of the last axis. */
  readonly weight?: Tensor;
  /** Added to the mean square; default the dtype's machine epsilon, as torch.nn.RMSNorm has it. */
  readonly epsilon?: number;
}

/** x / √(mean of x² over the last axis + ε) (torch.nn.functional.rms_norm; Zhang, Sennrich 2019, arXiv 1910.07467). */
export function rmsNorm(x: Tensor, options: RmsNormOptions = {}): Tensor {
  requireFloat("rmsNorm", x);
  x = widened(x);
  checkOptions("rmsNorm", options, ["weight", "epsilon"]);
  const { weight, epsilon = { f16: 2 ** -10, f32: 2 ** -23, f64: 2 ** -52 }[x.dtype as "f16" | "f32" | "f64"] } =
    options;
  if (x.rank === 0 || x.shape[x.rank - 1] === 0)
    throw new Error(`rmsNorm: ${formatShape(x.shape)} has no last axis to normalise`);
  if (weight && !sameShape(weight.shape, x.shape.slice(-1))) {
    throw new Error(
      `rmsNorm: weight has shape ${formatShape(weight.shape)}, the last axis of x is ${x.shape[x.rank - 1]}`,
    );
  }
  const y = x.mul(x.square().mean(-1, true).add(epsilon).rsqrt());
  return weight ? y.mul(weight) : y;
}

interface NormalizeAttrs extends EpsilonAttrs {
  readonly axis: number;
}

/** Second result: 1 / max(‖x‖, ε). */
const NORMALIZE: FusedOp<NormalizeAttrs> = {
  name: "l2Normalize",
  outputs: ([x], { axis }) => [x, { shape: x.shape.map((n, i) => (i === axis ? 1 : n)), dtype: x.dtype }],
  decompose([x], { axis, epsilon }) {
    // The root is taken above ε², so that its derivative stays finite at 0.
    const scale = x
      .square()
      .sum(axis, true)
      .maximum(epsilon * epsilon)
      .rsqrt();
    return [x.mul(scale), scale];
  },
  vjp(_, [y, scale], [dy, dscale], { axis, epsilon }) {
    // Where the norm was below ε, the scale is a constant.
    const free = scale.lt(1 / epsilon);
    const parts: Tensor[] = [];
    if (dy) parts.push(scale.mul(dy.sub(y.mul(dy.mul(y).sum(axis, true)).mask(free.expand(y.shape)))));
    if (dscale) parts.push(dscale.mul(scale.square()).neg().mask(free).mul(y));
    return [parts.length === 2 ? parts[0].add(parts[1]) : parts[0]];
  },
};

/** x / max(‖x‖₂, `epsilon`) along `axis` (torch.nn.functional.normalize, p = 2). Any shape, which stays. */
export function l2Normalize(x: Tensor, axis = -1, epsilon = 1e-12): Tensor {
  requireFloat("l2Normalize", x);
  x = widened(x);
  const at = normalizeAxis("l2Normalize", axis, x.rank);
  return new Tensor(build.fused(NORMALIZE, [x.node], { axis: at, epsilon })[0]);
}
