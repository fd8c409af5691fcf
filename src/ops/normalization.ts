/** Layer normalisation (Ba, Kiros, Hinton 2016, arXiv 1607.06450) and L2 normalisation. */
import type { FusedOp } from "../tensor/fused.ts";
import * as build from "../tensor/build.ts";
import { formatShape, normalizeAxis, sameShape } from "../tensor/shape.ts";
import { Tensor, requireFloat } from "../tensor/tensor.ts";

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
  /** Scale and shift, each the shape of the last axis. */
  readonly weight?: Tensor;
  readonly bias?: Tensor;
  /** Added to the variance; default 1e-5 (PyTorch's). */
  readonly epsilon?: number;
}

/** Layer normalisation over the last axis (torch.nn.functional.layer_norm with one normalised axis). */
export function layerNorm(x: Tensor, options: LayerNormOptions = {}): Tensor {
  requireFloat("layerNorm", x);
  if (x.rank === 0 || x.shape[x.rank - 1] === 0)
    throw new Error(`layerNorm: ${formatShape(x.shape)} has no last axis to normalise`);
  for (const [name, t] of [
    ["weight", options.weight],
    ["bias", options.bias],
  ] as const) {
    if (t && !sameShape(t.shape, x.shape.slice(-1))) {
      throw new Error(
        `layerNorm: ${name} has shape ${formatShape(t.shape)}, the last axis of x is ${x.shape[x.rank - 1]}`,
      );
    }
  }
  let y = new Tensor(build.fused(STANDARDIZE, [x.node], { epsilon: options.epsilon ?? 1e-5 })[0]);
  if (options.weight) y = y.mul(options.weight);
  return options.bias ? y.add(options.bias) : y;
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

/** x / max(‖x‖₂, ε) along `axis` (torch.nn.functional.normalize, p = 2). */
export function l2Normalize(x: Tensor, axis = -1, epsilon = 1e-12): Tensor {
  requireFloat("l2Normalize", x);
  const at = normalizeAxis("l2Normalize", axis, x.rank);
  return new Tensor(build.fused(NORMALIZE, [x.node], { axis: at, epsilon })[0]);
}
