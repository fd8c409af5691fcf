/** Convolution layers over images (torch.nn.Conv2d). */
import type { Conv2dOptions, PerAxis } from "../../ops/spatial/index.ts";
import { conv2d } from "../../ops/spatial/index.ts";
import { perAxis } from "../../ops/spatial/sizes.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { LayerOptions } from "../initialize.ts";
import { fanInUniform, parameter, requireCount } from "../initialize.ts";
import { Module } from "../module.ts";

export interface Conv2dSettings extends LayerOptions {
  /** Default 1. */
  readonly stride?: PerAxis;
  /** Zeros on both sides; "valid" is 0, "same" keeps the sizes (stride 1 only). Default 0. */
  readonly padding?: PerAxis | "same" | "valid";
  /** Default 1. */
  readonly dilation?: PerAxis;
  /** Default 1; `inChannels` makes the convolution depthwise. */
  readonly groups?: number;
  /** Default true. */
  readonly bias?: boolean;
}

/** Throws unless the channels divide into the groups. */
export function requireGroups(layer: string, inChannels: number, outChannels: number, groups: number): void {
  requireCount(layer, "inChannels", inChannels);
  requireCount(layer, "outChannels", outChannels);
  requireCount(layer, "groups", groups);
  if (inChannels % groups !== 0 || outChannels % groups !== 0) {
    throw new Error(`${layer}: ${inChannels} and ${outChannels} channels do not divide into ${groups} groups`);
  }
}

/** Convolution of images (torch.nn.Conv2d). `weight` [out, in / groups, kH, kW], `bias` [out]. */
export class Conv2d extends Module {
  readonly weight: Variable;
  readonly bias?: Variable;
  readonly #options: Conv2dOptions;

  constructor(inChannels: number, outChannels: number, kernelSize: PerAxis, settings: Conv2dSettings = {}) {
    super();
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = settings;
    const kernel = perAxis("Conv2d", "kernelSize", kernelSize, 2, 1);
    requireGroups("Conv2d", inChannels, outChannels, groups);
    const steps = perAxis("Conv2d", "stride", stride, 2, 1);
    perAxis("Conv2d", "dilation", dilation, 2, 1);
    if (typeof padding !== "string") perAxis("Conv2d", "padding", padding, 2, 0);
    else if (padding !== "same" && padding !== "valid") {
      throw new Error(`Conv2d: padding is "${String(padding)}"; it must be "same", "valid" or whole numbers`);
    } else if (padding === "same" && steps.some((s) => s !== 1)) {
      throw new Error(`Conv2d: padding "same" goes with stride 1 only`);
    }
    const fanIn = (inChannels / groups) * kernel[0] * kernel[1];
    this.weight = parameter("weight", fanInUniform(fanIn, [outChannels, inChannels / groups, ...kernel], settings));
    if (settings.bias ?? true) this.bias = parameter("bias", fanInUniform(fanIn, [outChannels], settings));
    this.#options = { stride, padding, dilation, groups };
  }

  /** x [N, in, H, W] or [in, H, W] → the same with `out` channels. */
  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, { ...this.#options, bias: this.bias });
  }
}
