/** Layers that are one op: layer normalisation, dropout, pooling; and their chain. */
import { maxPool1d } from "../ops/convolution.ts";
import type { MaxPoolOptions } from "../ops/spatial/index.ts";
import { layerNorm } from "../ops/normalization.ts";
import { ones, zeros } from "../tensor/create.ts";
import type { Generator } from "../tensor/random.ts";
import { rng } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import type { LayerOptions } from "./initialize.ts";
import { parameter, requireCount, requireGenerator, requireProbability } from "./initialize.ts";
import type { TensorModule } from "./module.ts";
import { Module } from "./module.ts";
import { checkOptions, describeValue, requireTensor } from "../tensor/door/door.ts";

/** Settings of a `LayerNorm` layer. */
export interface LayerNormSettings extends LayerOptions {
  /** Added to the variance; default 1e-5. */
  readonly epsilon?: number;
  /** Scale and shift by element; default true. */
  readonly elementwiseAffine?: boolean;
  /** The shift; default true. */
  readonly bias?: boolean;
}

/**
 * Normalises the last axis, of `size`, or the last axes, of these sizes (torch.nn.LayerNorm). `weight` and `bias` have
 * that shape, and are first 1 and 0.
 */
export class LayerNorm extends Module {
  readonly weight?: Variable;
  readonly bias?: Variable;
  readonly #epsilon: number;
  readonly #shape: readonly number[];

  constructor(size: number | readonly number[], settings: LayerNormSettings = {}) {
    super();
    checkOptions("LayerNorm", settings, ["dtype", "generator", "epsilon", "elementwiseAffine", "bias"]);
    const { dtype = "f32", epsilon = 1e-5, elementwiseAffine = true, bias = true } = settings;
    this.#shape = typeof size === "number" ? [size] : [...size];
    if (this.#shape.length === 0) throw new Error("LayerNorm: size is []; it must name at least one axis");
    for (const n of this.#shape) requireCount("LayerNorm", "size", n);
    if (elementwiseAffine) this.weight = parameter("weight", ones(this.#shape, dtype));
    if (elementwiseAffine && bias) this.bias = parameter("bias", zeros(this.#shape, dtype));
    this.#epsilon = epsilon;
  }

  /** x [..., ...size] → the same shape. */
  forward(x: Tensor): Tensor {
    const { weight, bias } = this;
    return layerNorm(x, { weight, bias, epsilon: this.#epsilon, shape: this.#shape });
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
    requireGenerator("Dropout", generator);
  }

  /** x of any shape → the same shape; x itself outside training. */
  forward(x: Tensor): Tensor {
    return this.training ? dropout(x, this.p, this.generator) : x;
  }
}

/**
 * x of any shape with each element 0 at probability `p`, else divided by 1 − p, training or not
 * (torch.nn.functional.dropout).
 */
export function dropout(x: Tensor, p: number, generator: Generator = rng()): Tensor {
  requireTensor("dropout", "x", x);
  requireProbability("dropout", p);
  return p === 0 ? x : x.mul(generator.dropoutMask(x.shape, p, x.dtype));
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

/**
 * The `steps` one after the other (torch.nn.Sequential). Names are positions, and functions take one too, as PyTorch's
 * do.
 */
export class Sequential extends Module {
  readonly #steps: readonly SequentialStep[];

  constructor(...steps: SequentialStep[]) {
    super();
    steps.forEach((step, i) => {
      if (typeof step === "function" || step instanceof Module) return;
      throw new TypeError(
        `Sequential: step ${i} is ${describeValue(step)}; it must be a module or a function of a tensor`,
      );
    });
    this.#steps = steps;
  }

  protected override members() {
    return this.#steps.map((step, i) => [String(i), step] as const);
  }

  /** x → what the steps make of it, one after the other. */
  forward(x: Tensor): Tensor {
    requireTensor("Sequential", "x", x);
    return this.#steps.reduce((y, step) => (step instanceof Module ? step.forward(y) : step(y)), x);
  }
}
