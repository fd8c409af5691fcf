/**
 * Pooling over one or two spatial axes: maxima and means of windows, and of windows that adapt to a wanted size.
 *
 * Axes are pooled one after the other, the last first. Of equal elements the first in row-major order takes the
 * gradient, and a NaN wins, as in PyTorch.
 */
import { tensor } from "../../tensor/create.ts";
import type { DType } from "../../tensor/dtype.ts";
import { sliceAxis } from "../../tensor/methods/views.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkOptions, requireFloat } from "../../tensor/door/door.ts";
import { LOWEST } from "../../specs/lowest.ts";
import type { PerAxis } from "./sizes.ts";
import { perAxis, spanOf } from "./sizes.ts";

/** Settings of `maxPool1d` and `maxPool2d`. */
export interface MaxPoolOptions {
  /** Default: the size of the window. */
  readonly stride?: PerAxis;
  /**
   * Places on both sides that no maximum is taken of; at most half the window. Default 0. A window of such places alone,
   * which dilation can make, gives the lowest finite number (PyTorch: −∞).
   */
  readonly padding?: PerAxis;
  /** Default 1. */
  readonly dilation?: PerAxis;
  /** Keep a last window that begins inside and ends outside; default false. */
  readonly ceilMode?: boolean;
}

/** Settings of `avgPool1d` and `avgPool2d`. */
export interface AvgPoolOptions {
  /** Default: the size of the window. */
  readonly stride?: PerAxis;
  /** Zeros on both sides; at most half the window. Default 0. */
  readonly padding?: PerAxis;
  readonly ceilMode?: boolean;
  /** Whether the zeros of the padding count in the mean; default true. */
  readonly countIncludePad?: boolean;
  /** What sums are divided by instead of the number of elements. */
  readonly divisorOverride?: number;
}

/** How one axis is pooled. */
interface AxisWindows {
  readonly axis: number;
  readonly size: number;
  readonly stride: number;
  readonly dilation: number;
  readonly padding: number;
  readonly count: number;
}

function windowsOf(op: string, x: Tensor, size: PerAxis, options: MaxPoolOptions, rank: number): AxisWindows[] {
  requireFloat(op, x);
  if (x.rank < rank) {
    throw new Error(`${op}: ${formatShape(x.shape)} must have at least ${rank} axes, the last ${rank} of them spatial`);
  }
  const sizes = perAxis(op, "the window's size", size, rank, 1);
  const strides = perAxis(op, "stride", options.stride ?? sizes, rank, 1);
  const paddings = perAxis(op, "padding", options.padding ?? 0, rank, 0);
  const dilations = perAxis(op, "dilation", options.dilation ?? 1, rank, 1);
  return sizes.map((s, d) => {
    const axis = x.rank - rank + d;
    const [stride, padding, dilation] = [strides[d], paddings[d], dilations[d]];
    if (2 * padding > s) throw new Error(`${op}: padding ${padding} is more than half the window's ${s}`);
    const rest = x.shape[axis] + 2 * padding - spanOf(s, dilation);
    let count = (options.ceilMode ? Math.ceil(rest / stride) : Math.floor(rest / stride)) + 1;
    // A window must begin inside x or its padding on the left.
    if (options.ceilMode && (count - 1) * stride >= x.shape[axis] + padding) count--;
    if (rest < 0 && !(options.ceilMode && count > 0)) {
      throw new Error(`${op}: windows of ${spanOf(s, dilation)} do not fit in axis ${axis} of ${formatShape(x.shape)}`);
    }
    return { axis, size: s, stride, dilation, padding, count };
  });
}

/** x with `fill` around one axis, so that every window lies inside. */
function padded(x: Tensor, { axis, size, stride, dilation, padding, count }: AxisWindows, fill: number): Tensor {
  const reach = (count - 1) * stride + spanOf(size, dilation);
  const after = Math.max(0, reach - padding - x.shape[axis]);
  if (padding === 0 && after === 0) return x;
  const widths = x.shape.map((_, i) => (i === axis ? ([padding, after] as const) : ([0, 0] as const)));
  const wide = x.pad(widths);
  if (fill === 0) return wide;
  const length = x.shape[axis];
  const inside = tensor(
    Array.from({ length: wide.shape[axis] }, (_, i) => i >= padding && i < padding + length),
  ).reshape(wide.shape.map((n, i) => (i === axis ? n : 1)));
  return inside.expand(wide.shape).where(wide, fill);
}

/** Place `k` of every window along one axis. */
function placeOf(x: Tensor, { axis, stride, dilation, count }: AxisWindows, k: number): Tensor {
  const start = k * dilation;
  return sliceAxis(x, axis, [start, start + (count - 1) * stride + 1, stride]);
}

/** The larger, the first of equals; a NaN wins. */
export const larger = (a: Tensor, b: Tensor): Tensor => b.gt(a).or(b.isNaN()).where(b, a);

/** Below every value of a dtype that is not infinite. */
const lowestOf = (dtype: DType): number => (dtype === "f16" ? -65504 : LOWEST);

/** Maxima of windows of the last `rank` axes. */
export function maxPool(op: string, x: Tensor, size: PerAxis, options: MaxPoolOptions, rank: number): Tensor {
  checkOptions(op, options, ["stride", "padding", "dilation", "ceilMode"]);
  return windowsOf(op, x, size, options, rank).reduceRight((y, windows) => {
    const wide = padded(y, windows, lowestOf(x.dtype));
    const places = Array.from({ length: windows.size }, (_, k) => placeOf(wide, windows, k));
    return places.reduce(larger);
  }, x);
}

/** The largest of each window of the last two axes (torch.nn.functional.max_pool2d): x [..., H, W] → [..., H', W']. */
export function maxPool2d(x: Tensor, size: PerAxis, options: MaxPoolOptions = {}): Tensor {
  return maxPool("maxPool2d", x, size, options, 2);
}

/** Of each window of one axis, how many elements lie in x, or in x and its padding. */
function counts(length: number, { size, stride, padding, count }: AxisWindows, withPadding: boolean): number[] {
  return Array.from({ length: count }, (_, i) => {
    const start = i * stride - padding;
    const end = Math.min(start + size, length + padding);
    return withPadding ? end - start : Math.min(end, length) - Math.max(start, 0);
  });
}

function avgPool(op: string, x: Tensor, size: PerAxis, options: AvgPoolOptions, rank: number): Tensor {
  checkOptions(op, options, [
    ...["stride", "padding", "ceilMode", "countIncludePad"],
    ...(rank === 2 ? ["divisorOverride"] : []),
  ]);
  const { countIncludePad = true, divisorOverride } = options;
  const list = windowsOf(op, x, size, options, rank);
  if (divisorOverride !== undefined && !(Number.isInteger(divisorOverride) && divisorOverride !== 0)) {
    throw new Error(`${op}: divisorOverride is ${divisorOverride}; it must be a whole number other than 0`);
  }
  const sums = list.reduceRight((y, windows) => {
    const wide = padded(y, windows, 0);
    return Array.from({ length: windows.size }, (_, k) => placeOf(wide, windows, k)).reduce((a, b) => a.add(b));
  }, x);
  if (divisorOverride !== undefined) return sums.div(divisorOverride);
  return list.reduce((y, windows) => {
    const each = counts(x.shape[windows.axis], windows, countIncludePad);
    if (each.every((n) => n === each[0])) return y.mul(1 / each[0]);
    const shares = tensor(
      each.map((n) => 1 / n),
      { dtype: x.dtype },
    );
    return y.mul(shares.reshape(y.shape.map((n, i) => (i === windows.axis ? n : 1))));
  }, sums);
}

/**
 * The mean of each window of the last axis (torch.nn.functional.avg_pool1d): x [..., L] → [..., L']. The options are
 * those of `AvgPoolOptions` without `divisorOverride`.
 */
export function avgPool1d(x: Tensor, size: PerAxis, options: Omit<AvgPoolOptions, "divisorOverride"> = {}): Tensor {
  return avgPool("avgPool1d", x, size, options, 1);
}

/** The mean of each window of the last two axes (torch.nn.functional.avg_pool2d): x [..., H, W] → [..., H', W']. */
export function avgPool2d(x: Tensor, size: PerAxis, options: AvgPoolOptions = {}): Tensor {
  return avgPool("avgPool2d", x, size, options, 2);
}

/** Size of the result along one axis; null keeps that of x. */
export type AdaptiveSize = number | null | readonly (number | null)[];

/** The axes to pool and the sizes wanted, the last axis first. */
function adaptiveAxes(op: string, x: Tensor, size: AdaptiveSize, rank: number): { axis: number; wanted: number }[] {
  requireFloat(op, x);
  const list = Array.isArray(size)
    ? (size as readonly (number | null)[])
    : new Array<number | null>(rank).fill(size as number | null);
  const fits = list.length === rank && list.every((n) => n === null || (Number.isInteger(n) && n >= 1));
  if (!fits || x.rank < rank || x.shape.slice(-rank).includes(0)) {
    throw new Error(
      `${op}: the size is ${JSON.stringify(size)} for ${formatShape(x.shape)}; it must be a whole number of at least 1 or ` +
        `null, or ${rank} of them, one for each of the last axes, none of them empty`,
    );
  }
  return list
    .map((n, d) => {
      const axis = x.rank - rank + d;
      return { axis, wanted: n ?? x.shape[axis] };
    })
    .reverse();
}

/** First and end of each adaptive window. */
function adaptiveBounds(length: number, wanted: number): [number, number][] {
  return Array.from({ length: wanted }, (_, i) => [
    Math.floor((i * length) / wanted),
    Math.ceil(((i + 1) * length) / wanted),
  ]);
}

function adaptiveMaxPool(op: string, x: Tensor, size: AdaptiveSize, rank: number): Tensor {
  return adaptiveAxes(op, x, size, rank).reduce((y, { axis, wanted }) => {
    const bounds = adaptiveBounds(y.shape[axis], wanted);
    const longest = Math.max(...bounds.map(([from, to]) => to - from));
    // A shorter window repeats its last element, which no maximum minds.
    const places = Array.from({ length: longest }, (_, k) => bounds.map(([from, to]) => Math.min(from + k, to - 1)));
    const regular = y.shape[axis] % wanted === 0;
    const stride = y.shape[axis] / wanted;
    return places
      .map((at, k) => (regular ? sliceAxis(y, axis, [k, null, stride]) : y.take(tensor(Int32Array.from(at)), axis)))
      .reduce(larger);
  }, x);
}

function adaptiveAvgPool(op: string, x: Tensor, size: AdaptiveSize, rank: number): Tensor {
  return adaptiveAxes(op, x, size, rank).reduce((y, { axis, wanted }) => {
    const length = y.shape[axis];
    if (length % wanted === 0) {
      const shape = y.shape.flatMap((n, i) => (i === axis ? [wanted, n / wanted] : [n]));
      return y.reshape(shape).mean(axis + 1);
    }
    const shares = new Float64Array(length * wanted);
    adaptiveBounds(length, wanted).forEach(([from, to], i) => {
      for (let at = from; at < to; at++) shares[at * wanted + i] = 1 / (to - from);
    });
    const matrix = tensor(shares, { shape: [length, wanted], dtype: y.dtype });
    return axis === y.rank - 1 ? y.matmul(matrix) : y.transpose(axis, -1).matmul(matrix).transpose(axis, -1);
  }, x);
}

/** Maxima of `size` windows that share the last axis evenly (torch.nn.functional.adaptive_max_pool1d): x [..., L]. */
export function adaptiveMaxPool1d(x: Tensor, size: AdaptiveSize): Tensor {
  return adaptiveMaxPool("adaptiveMaxPool1d", x, size, 1);
}
/** As `adaptiveMaxPool1d` over the last two axes (torch.nn.functional.adaptive_max_pool2d): x [..., H, W]. */
export function adaptiveMaxPool2d(x: Tensor, size: AdaptiveSize): Tensor {
  return adaptiveMaxPool("adaptiveMaxPool2d", x, size, 2);
}
/** Means of `size` windows that share the last axis evenly (torch.nn.functional.adaptive_avg_pool1d): x [..., L]. */
export function adaptiveAvgPool1d(x: Tensor, size: AdaptiveSize): Tensor {
  return adaptiveAvgPool("adaptiveAvgPool1d", x, size, 1);
}
/** As `adaptiveAvgPool1d` over the last two axes (torch.nn.functional.adaptive_avg_pool2d): x [..., H, W]. */
export function adaptiveAvgPool2d(x: Tensor, size: AdaptiveSize): Tensor {
  return adaptiveAvgPool("adaptiveAvgPool2d", x, size, 2);
}
