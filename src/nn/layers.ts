/** Layers that are one op: normalisation, dropout, convolution, pooling; and their chain. */
import type { Conv1dOptions } from "../ops/convolution.ts";
import { conv1d, maxPool1d } from "../ops/convolution.ts";
import type { MaxPoolOptions } from "../ops/spatial/index.ts";
import { layerNorm } from "../ops/normalization.ts";
import { ones, zeros } from "../tensor/create.ts";
import type { Generator } from "../tensor/random.ts";
import { rng } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import type { LayerOptions } from "./initialize.ts";
import { fanInUniform, parameter, requireCount, requireProbability } from "./initialize.ts";
import type { TensorModule } from "./module.ts";
import { Module } from "./module.ts";

/** Settings of a `LayerNorm` layer. */
export interface LayerNormSettings extends LayerOptions {
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number;
}

/** Normalises the last axis, of `size` (torch.nn.LayerNorm). `weight` and `bias` [size], first 1 and 0. */
export class LayerNorm extends Module {
  readonly weight: Variable;
  readonly bias: Variable;
  readonly #epsilon: number;

  constructor(size: number, { dtype = "f32", epsilon = 1e-5 }: LayerNormSettings = {}) {
    super();
    requireCount("LayerNorm", "size", size);
    this.weight = parameter("weight", ones([size], dtype));
    this.bias = parameter("bias", zeros([size], dtype));
    this.#epsilon = epsilon;
  }

  /** x [..., size] → the same shape. */
  forward(x: Tensor): Tensor {
    return layerNorm(x, { weight: this.weight, bias: this.bias, epsilon: this.#epsilon });
  }
}

/**
 * In training, zeroes each element with probability p and scales the others by 1/(1 − p) (torch.nn.Dropout; Srivastava
 * et al. 2014); otherwise changes nothing. A compiled step draws anew at every run.
 */
export class Dropout extends Module {
  /** @param generator default: the shared one at the time of the call. */
  constructor(
    readonly p = 0.5,
    readonly generator?: Generator,
  ) {
    super();
    requireProbability("Dropout", p);
  }

  forward(x: Tensor): Tensor {
    return this.training ? dropout(x, this.p, this.generator) : x;
  }
}

/** Dropout whether or not anything is training (torch.nn.functional.dropout). */
export function dropout(x: Tensor, p: number, generator: Generator = rng()): Tensor {
  requireProbability("dropout", p);
  return p === 0 ? x : x.mul(generator.dropoutMask(x.shape, p, x.dtype));
}

/** Settings of a `Conv1d` layer. */
export interface Conv1dSettings extends LayerOptions {
  /** Default 1. */
  readonly stride?: number;
  /** Zeros on both sides; default 0. */
  readonly padding?: number;
  /** Default 1. */
  readonly dilation?: number;
  /** Default 1; `inChannels` makes the convolution depthwise. */
  readonly groups?: number;
  /** Default true. */
  readonly bias?: boolean;
}

/** Convolution along the last axis (torch.nn.Conv1d). `weight` [out, in / groups, size], `bias` [out]. */
export class Conv1d extends Module {
  readonly weight: Variable;
  readonly bias?: Variable;
  readonly #options: Conv1dOptions;

  constructor(inChannels: number, outChannels: number, size: number, options: Conv1dSettings = {}) {
    super();
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
    requireCount("Conv1d", "inChannels", inChannels);
    requireCount("Conv1d", "outChannels", outChannels);
    requireCount("Conv1d", "size", size);
    requireCount("Conv1d", "stride", stride);
    requireCount("Conv1d", "padding", padding, 0);
    requireCount("Conv1d", "dilation", dilation);
    requireCount("Conv1d", "groups", groups);
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new Error(`Conv1d: ${inChannels} and ${outChannels} channels do not divide into ${groups} groups`);
    }
    const fanIn = (inChannels / groups) * size;
    this.weight = parameter("weight", fanInUniform(fanIn, [outChannels, inChannels / groups, size], options));
    if (options.bias ?? true) this.bias = parameter("bias", fanInUniform(fanIn, [outChannels], options));
    this.#options = { stride, padding, dilation, groups };
  }

  /** x [N, in, L] → [N, out, L']. */
  forward(x: Tensor): Tensor {
    return conv1d(x, this.weight, { ...this.#options, bias: this.bias });
  }
}

/** Largest of each window of the last axis (torch.nn.MaxPool1d). */
export class MaxPool1d extends Module {
  /** @param options the stride, by default `size`, or all of the options */
  constructor(
    readonly size: number,
    readonly options: number | MaxPoolOptions = size,
  ) {
    super();
    requireCount("MaxPool1d", "size", size);
    if (typeof options === "number") requireCount("MaxPool1d", "stride", options);
  }

  /** x [..., L] → [..., L']. */
  forward(x: Tensor): Tensor {
    return maxPool1d(x, this.size, this.options);
  }
}

/** A step of a chain: a module, or a function that has no parameters, such as `(x) => x.relu()`. */
export type SequentialStep = TensorModule | ((x: Tensor) => Tensor);

/** One after the other (torch.nn.Sequential). Names are positions, and functions take one too, as PyTorch's do. */
export class Sequential extends Module {
  readonly #steps: readonly SequentialStep[];

  constructor(...steps: SequentialStep[]) {
    super();
    this.#steps = steps;
  }

  protected override members() {
    return this.#steps.map((step, i) => [String(i), step] as const);
  }

  forward(x: Tensor): Tensor {
    return this.#steps.reduce((y, step) => (step instanceof Module ? step.forward(y) : step(y)), x);
  }
}
