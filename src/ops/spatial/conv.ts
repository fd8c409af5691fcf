/** Convolutions and their transposes, as torch.nn.functional has them. */
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkOptions, requireFloat } from "../../tensor/door/door.ts";
import type { ConvolveAttrs } from "./convolve.ts";
import { CONVOLVE, CONVOLVE_INPUT, apply } from "./convolve.ts";
import type { PerAxis } from "./sizes.ts";
import { perAxis, spanOf, windowCount } from "./sizes.ts";
import { narrowed } from "../autocast.ts";

/** Settings of `conv1d` and `conv2d`. */
export interface ConvOptions {
  /** [O]. */
  readonly bias?: Tensor;
  /** Default 1. */
  readonly stride?: PerAxis;
  /** Zeros on both sides; "valid" is 0, "same" keeps the sizes of x (stride 1 only). Default 0. */
  readonly padding?: PerAxis | "same" | "valid";
  /** Default 1. */
  readonly dilation?: PerAxis;
  /** Default 1; the number of channels makes the convolution depthwise. */
  readonly groups?: number;
}

/** Places before and after each axis. "same" puts the odd one after, as PyTorch does. */
export function paddingOf(
  op: string,
  padding: PerAxis | "same" | "valid",
  kernel: readonly number[],
  dilation: readonly number[],
  stride: readonly number[],
): { low: number[]; high: number[] } {
  if (padding === "same") {
    if (stride.some((s) => s !== 1)) throw new Error(`${op}: padding "same" goes with stride 1 only`);
    const total = kernel.map((k, d) => spanOf(k, dilation[d]) - 1);
    return { low: total.map((t) => Math.floor(t / 2)), high: total.map((t) => t - Math.floor(t / 2)) };
  }
  const both = perAxis(op, "padding", padding === "valid" ? 0 : padding, kernel.length, 0);
  return { low: both, high: both };
}

function checkBias(op: string, bias: Tensor | undefined, out: number): void {
  if (bias && (bias.rank !== 1 || bias.shape[0] !== out)) {
    throw new Error(`${op}: bias has shape ${formatShape(bias.shape)}, not [${out}]`);
  }
}

function checkOperands(op: string, x: Tensor, weight: Tensor, rank: number): void {
  requireFloat(op, x);
  requireFloat(op, weight);
  if (x.dtype !== weight.dtype) {
    throw new Error(`${op}: x is ${x.dtype} and weight ${weight.dtype}; cast one with .cast("${x.dtype}")`);
  }
  if ((x.rank === rank + 2 || x.rank === rank + 1) && weight.rank === rank + 2) return;
  const axes = ["L", "H, W"][rank - 1];
  throw new Error(
    `${op}: x ${formatShape(x.shape)} must be [N, C, ${axes}] or [C, ${axes}], and weight ${formatShape(weight.shape)} must have ${rank + 2} axes`,
  );
}

const biased = (y: Tensor, bias: Tensor | undefined, rank: number): Tensor =>
  bias ? y.add(bias.reshape([1, bias.size, ...new Array<number>(rank).fill(1)])) : y;

/**
 * Cross-correlation (torch.nn.functional.conv1d): x [N, C, L] or [C, L], weight [O, C / groups, K], bias [O] → [N, O, L'].
 *
 * @throws Error as `conv2d` does.
 */
export function conv1d(x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolve("conv1d", x, weight, options, 1);
}

/**
 * Cross-correlation (torch.nn.functional.conv2d): x [N, C, H, W] or [C, H, W], weight [O, C / groups, kH, kW] →
 * [N, O, H', W'], H' = ⌊(H + 2·padding − dilation·(kH − 1) − 1) / stride⌋ + 1.
 *
 * @throws Error where shapes or dtypes do not fit, or the kernel is larger than the padded x.
 */
export function conv2d(x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  return convolve("conv2d", x, weight, options, 2);
}

function convolve(op: string, x: Tensor, weight: Tensor, options: ConvOptions, rank: number): Tensor {
  checkOptions(op, options, ["bias", "stride", "padding", "dilation", "groups"]);
  x = narrowed(x);
  weight = narrowed(weight);
  checkOperands(op, x, weight, rank);
  if (x.rank === rank + 1) return convolve(op, x.unsqueeze(0), weight, options, rank).squeeze(0);
  const { padding = 0, groups = 1 } = options;
  const bias = narrowed(options.bias);
  const stride = perAxis(op, "stride", options.stride ?? 1, rank, 1);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, rank, 1);
  perAxis(op, "groups", groups, 1, 1);
  const [out, perGroup, ...kernel] = weight.shape;
  const [, channels, ...size] = x.shape;
  if (perGroup * groups !== channels || out % groups !== 0) {
    throw new Error(
      `${op}: weight ${formatShape(weight.shape)} must be [O, C / groups, …] for the ${channels} channels of x ` +
        `${formatShape(x.shape)} in ${groups} groups, O a multiple of them`,
    );
  }
  checkBias(op, bias, out);
  const { low, high } = paddingOf(op, padding, kernel, dilation, stride);
  const count = size.map((s, d) => {
    const [whole, span] = [s + low[d] + high[d], spanOf(kernel[d], dilation[d])];
    if (span > whole || kernel[d] === 0) {
      throw new Error(
        `${op}: the kernel spans ${span} of spatial axis ${d}, which has ${whole} elements with its padding; ` +
          `x is ${formatShape(x.shape)}, weight ${formatShape(weight.shape)}`,
      );
    }
    return windowCount(whole, span, stride[d]);
  });
  const attrs: ConvolveAttrs = { stride, dilation, low, high, groups, size, kernel, count };
  return biased(apply(CONVOLVE, x, weight, attrs), bias, rank);
}

/** Settings of `convTranspose1d` and `convTranspose2d`. */
export interface ConvTransposeOptions {
  /** [O]. */
  readonly bias?: Tensor;
  /** Default 1. */
  readonly stride?: PerAxis;
  /** What the convolution that this is the transpose of pads with: it is cut off here. Default 0. */
  readonly padding?: PerAxis;
  /** Added to the size at the end; below the stride or the dilation. Default 0. */
  readonly outputPadding?: PerAxis;
  readonly groups?: number;
  /** Default 1. */
  readonly dilation?: PerAxis;
}

function convTranspose(op: string, x: Tensor, weight: Tensor, options: ConvTransposeOptions, rank: number): Tensor {
  checkOptions(op, options, ["bias", "stride", "padding", "outputPadding", "dilation", "groups"]);
  x = narrowed(x);
  weight = narrowed(weight);
  checkOperands(op, x, weight, rank);
  if (x.rank === rank + 1) return convTranspose(op, x.unsqueeze(0), weight, options, rank).squeeze(0);
  const { groups = 1 } = options;
  const bias = narrowed(options.bias);
  const stride = perAxis(op, "stride", options.stride ?? 1, rank, 1);
  const dilation = perAxis(op, "dilation", options.dilation ?? 1, rank, 1);
  const padding = perAxis(op, "padding", options.padding ?? 0, rank, 0);
  const extra = perAxis(op, "outputPadding", options.outputPadding ?? 0, rank, 0);
  perAxis(op, "groups", groups, 1, 1);
  const [channels, perGroup, ...kernel] = weight.shape;
  const count = x.shape.slice(2);
  if (channels !== x.shape[1] || channels % groups !== 0) {
    throw new Error(
      `${op}: weight ${formatShape(weight.shape)} must be [C, O / groups, …] for the ${x.shape[1]} channels of x ` +
        `${formatShape(x.shape)}, C a multiple of the ${groups} groups`,
    );
  }
  checkBias(op, bias, perGroup * groups);
  const size = count.map((n, d) => {
    if (extra[d] > 0 && extra[d] >= Math.max(stride[d], dilation[d])) {
      throw new Error(
        `${op}: outputPadding ${extra[d]} must be below the stride ${stride[d]} or the dilation ${dilation[d]}`,
      );
    }
    const s = (n - 1) * stride[d] - 2 * padding[d] + spanOf(kernel[d], dilation[d]) + extra[d];
    if (s < 1 || n < 1)
      throw new Error(`${op}: the result of x ${formatShape(x.shape)} has ${s} elements along axis ${d + 2}`);
    return s;
  });
  const attrs: ConvolveAttrs = { stride, dilation, low: padding, high: padding, groups, size, kernel, count };
  return biased(apply(CONVOLVE_INPUT, x, weight, attrs), bias, rank);
}

/**
 * Transposed convolution (torch.nn.functional.conv_transpose1d): x [N, C, L] or [C, L], weight [C, O / groups, K] →
 * [N, O, L'], L' = (L − 1)·stride − 2·padding + dilation·(K − 1) + outputPadding + 1.
 */
export function convTranspose1d(x: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  return convTranspose("convTranspose1d", x, weight, options, 1);
}

/** As `convTranspose1d` for images (torch.nn.functional.conv_transpose2d): x [N, C, H, W], weight [C, O / groups, kH, kW]. */
export function convTranspose2d(x: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  return convTranspose("convTranspose2d", x, weight, options, 2);
}
