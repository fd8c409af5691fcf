/**
 * The unified downsampling module (UDM): depthwise convolution over the sequence, layer norm, ReLU, and a maximum over
 * neighbouring tokens. Applied i times it gives the tokens of level i.
 */
import { depthwiseConv1d, maxPoolAxis } from "../../ops/convolution.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { LayerNorm } from "../../nn/layers.ts";
import { Conv1d } from "../../nn/spatial/convolution.ts";
import { Module } from "../../nn/module.ts";
import type { HiCoConfig } from "./config.ts";

/** Holds the convolution under the name that checkpoints have. */
export class DepthwiseConvolution extends Module {
  readonly dw_conv: Conv1d;

  constructor({ hidden, kernel, stride, padding, dtype, generator }: HiCoConfig) {
    super();
    this.dw_conv = new Conv1d(hidden, hidden, kernel, { groups: hidden, stride, padding, dtype, generator });
  }
}

/** Between two levels: a depthwise convolution, a layer normalisation, ReLU and a maximum over `factor` tokens. */
export class Downsample extends Module {
  readonly conv: DepthwiseConvolution;
  readonly norm: LayerNorm;
  readonly #config: HiCoConfig;

  constructor(config: HiCoConfig) {
    super();
    this.conv = new DepthwiseConvolution(config);
    this.norm = new LayerNorm(config.hidden, { dtype: config.dtype });
    this.#config = config;
  }

  /** Tokens along `axis` (0 or 1) of x [., ., d], channels last throughout → the same with fewer tokens. */
  forward(x: Tensor, axis: number): Tensor {
    const { stride, padding, factor } = this.#config;
    const { weight, bias } = this.conv.dw_conv;
    const y = depthwiseConv1d(x, weight, { bias, stride, padding, axis });
    return maxPoolAxis(this.norm.forward(y).relu(), axis, factor);
  }

  /** Tokens left of `length`. */
  lengthAfter(length: number): number {
    const { kernel, stride, padding, factor } = this.#config;
    return Math.floor((Math.floor((length + 2 * padding - kernel) / stride) + 1) / factor);
  }
}
