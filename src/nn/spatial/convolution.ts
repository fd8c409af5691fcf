/** Convolution layers over signals and images, and their transposes (torch.nn.Conv1d, Conv2d, ConvTranspose1d, …). */
import type { ConvOptions, ConvTransposeOptions } from "../../ops/spatial/conv.ts";
import { conv1d, conv2d, convTranspose1d, convTranspose2d, paddingOf } from "../../ops/spatial/conv.ts";
import type { PadMode } from "../../ops/spatial/padding.ts";
import { pad } from "../../ops/spatial/padding.ts";
import type { PerAxis } from "../../ops/spatial/sizes.ts";
import { perAxis } from "../../ops/spatial/sizes.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { LayerOptions } from "../initialize.ts";
import { fanInUniform, parameter, requireCount } from "../initialize.ts";
import { Module } from "../module.ts";
import { checkOptions } from "../../tensor/door/door.ts";

/** Settings of `Conv1d` and `Conv2d`. */
export interface ConvSettings extends LayerOptions {
  /** Default 1. */
  readonly stride?: PerAxis;
  /** Zeros on both sides; "valid" is 0, "same" keeps the sizes (stride 1 only). Default 0. */
  readonly padding?: PerAxis | "same" | "valid";
  /** What stands there instead of zeros, see `pad`; default "zeros". */
  readonly paddingMode?: "zeros" | Exclude<PadMode, "constant">;
  /** Default 1. */
  readonly dilation?: PerAxis;
  /** Default 1; `inChannels` makes the convolution depthwise. */
  readonly groups?: number;
  /** Default true. */
  readonly bias?: boolean;
}

/** Settings of `ConvTranspose1d` and `ConvTranspose2d`. */
export interface ConvTransposeSettings extends LayerOptions {
  /** Default 1. */
  readonly stride?: PerAxis;
  /** What the convolution that this is the transpose of pads with. Default 0. */
  readonly padding?: PerAxis;
  /** Added to the size at the end; default 0. */
  readonly outputPadding?: PerAxis;
  /** Default 1. */
  readonly dilation?: PerAxis;
  /** Default 1. */
  readonly groups?: number;
  /** Default true. */
  readonly bias?: boolean;
}

const CONV_SETTINGS = ["stride", "padding", "dilation", "groups", "bias", "dtype", "generator"];

function requireGroups(layer: string, inChannels: number, outChannels: number, groups: number): void {
  requireCount(layer, "inChannels", inChannels);
  requireCount(layer, "outChannels", outChannels);
  requireCount(layer, "groups", groups);
  if (inChannels % groups !== 0 || outChannels % groups !== 0) {
    throw new Error(`${layer}: ${inChannels} and ${outChannels} channels do not divide into ${groups} groups`);
  }
}

function requireSteps(layer: string, rank: number, { stride = 1, dilation = 1, padding = 0 }: ConvSettings): void {
  const steps = perAxis(layer, "stride", stride, rank, 1);
  perAxis(layer, "dilation", dilation, rank, 1);
  if (typeof padding !== "string") perAxis(layer, "padding", padding, rank, 0);
  else if (padding !== "same" && padding !== "valid") {
    throw new Error(`${layer}: padding is "${String(padding)}"; it must be "same", "valid" or whole numbers`);
  } else if (padding === "same" && steps.some((s) => s !== 1)) {
    throw new Error(`${layer}: padding "same" goes with stride 1 only`);
  }
}

/** What both ranks share; `weight` [out, in / groups, ...size], `bias` [out]. */
abstract class Conv extends Module {
  readonly weight: Variable;
  readonly bias?: Variable;
  protected abstract readonly convolve: typeof conv2d;
  readonly #options: ConvOptions;
  /** What x is padded with before the convolution, which has no padding of its own then. */
  readonly #around?: { readonly widths: readonly (readonly [number, number])[]; readonly mode: PadMode };

  protected constructor(rank: number, inChannels: number, outChannels: number, size: PerAxis, settings: ConvSettings) {
    super();
    const layer = `Conv${rank}d`;
    checkOptions(layer, settings, [...CONV_SETTINGS, "paddingMode"]);
    const { stride, padding = 0, paddingMode = "zeros", dilation, groups = 1 } = settings;
    const kernel = perAxis(layer, "size", size, rank, 1);
    requireGroups(layer, inChannels, outChannels, groups);
    requireSteps(layer, rank, settings);
    const fanIn = (inChannels / groups) * sizeOf(kernel);
    this.weight = parameter("weight", fanInUniform(fanIn, [outChannels, inChannels / groups, ...kernel], settings));
    if (settings.bias ?? true) this.bias = parameter("bias", fanInUniform(fanIn, [outChannels], settings));
    if (paddingMode === "zeros") this.#options = { stride, padding, dilation, groups };
    else {
      if (!["reflect", "replicate", "circular"].includes(paddingMode)) {
        throw new Error(
          `${layer}: paddingMode is ${JSON.stringify(paddingMode)}; it must be "zeros", "reflect", "replicate" or "circular"`,
        );
      }
      const steps = [stride, dilation].map((each, i) => perAxis(layer, ["stride", "dilation"][i], each ?? 1, rank, 1));
      const { low, high } = paddingOf(layer, padding, kernel, steps[1], steps[0]);
      this.#around = { widths: low.map((n, d) => [n, high[d]] as const), mode: paddingMode };
      this.#options = { stride, dilation, groups };
    }
  }

  /** x [N, in, ...size] → [N, out, ...size]; unbatched [in, ...size] → [out, ...size]. */
  forward(x: Tensor): Tensor {
    const around = this.#around;
    const given = around && x.rank > around.widths.length ? pad(x, around.widths, { mode: around.mode }) : x;
    return this.convolve(given, this.weight, { ...this.#options, bias: this.bias });
  }
}

/** Convolution along the last axis (torch.nn.Conv1d): x [N, in, L] or [in, L] → [N, out, L']. */
export class Conv1d extends Conv {
  protected readonly convolve = conv1d;
  /**
   * @param inChannels channels of x.
   * @param outChannels channels of the result.
   * @param size of the kernel, along its axis.
   */
  constructor(inChannels: number, outChannels: number, size: PerAxis, settings: ConvSettings = {}) {
    super(1, inChannels, outChannels, size, settings);
  }
}

/** Convolution of images (torch.nn.Conv2d): x [N, in, H, W] or [in, H, W] → [N, out, H', W']. */
export class Conv2d extends Conv {
  protected readonly convolve = conv2d;
  /**
   * @param inChannels channels of x.
   * @param outChannels channels of the result.
   * @param size of the kernel: one number for both axes, or one for each.
   */
  constructor(inChannels: number, outChannels: number, size: PerAxis, settings: ConvSettings = {}) {
    super(2, inChannels, outChannels, size, settings);
  }
}

/** What both ranks share; `weight` [in, out / groups, ...size], `bias` [out]. */
abstract class ConvTranspose extends Module {
  readonly weight: Variable;
  readonly bias?: Variable;
  protected abstract readonly convolve: typeof convTranspose2d;
  readonly #options: ConvTransposeOptions;

  protected constructor(
    rank: number,
    inChannels: number,
    outChannels: number,
    size: PerAxis,
    settings: ConvTransposeSettings,
  ) {
    super();
    const layer = `ConvTranspose${rank}d`;
    checkOptions(layer, settings, [...CONV_SETTINGS, "outputPadding"]);
    const { stride, padding, outputPadding, dilation, groups = 1 } = settings;
    const kernel = perAxis(layer, "size", size, rank, 1);
    requireGroups(layer, inChannels, outChannels, groups);
    requireSteps(layer, rank, settings);
    perAxis(layer, "outputPadding", outputPadding ?? 0, rank, 0);
    // PyTorch counts the second axis of the weight as what goes in.
    const fanIn = (outChannels / groups) * sizeOf(kernel);
    this.weight = parameter("weight", fanInUniform(fanIn, [inChannels, outChannels / groups, ...kernel], settings));
    if (settings.bias ?? true) this.bias = parameter("bias", fanInUniform(fanIn, [outChannels], settings));
    this.#options = { stride, padding, outputPadding, dilation, groups };
  }

  /** x [N, in, ...size] → [N, out, ...size]; unbatched [in, ...size] → [out, ...size]. */
  forward(x: Tensor): Tensor {
    return this.convolve(x, this.weight, { ...this.#options, bias: this.bias });
  }
}

/** Transposed convolution along the last axis (torch.nn.ConvTranspose1d): x [N, in, L] → [N, out, L']. */
export class ConvTranspose1d extends ConvTranspose {
  protected readonly convolve = convTranspose1d;
  /**
   * @param inChannels channels of x.
   * @param outChannels channels of the result.
   * @param size of the kernel, along its axis.
   */
  constructor(inChannels: number, outChannels: number, size: PerAxis, settings: ConvTransposeSettings = {}) {
    super(1, inChannels, outChannels, size, settings);
  }
}

/** Transposed convolution of images (torch.nn.ConvTranspose2d): x [N, in, H, W] → [N, out, H', W']. */
export class ConvTranspose2d extends ConvTranspose {
  protected readonly convolve = convTranspose2d;
  /**
   * @param inChannels channels of x.
   * @param outChannels channels of the result.
   * @param size of the kernel: one number for both axes, or one for each.
   */
  constructor(inChannels: number, outChannels: number, size: PerAxis, settings: ConvTransposeSettings = {}) {
    super(2, inChannels, outChannels, size, settings);
  }
}
