/** Depthwise convolution with the channels last, pooling along any axis, and linear interpolation. */
import { gradients } from "../autograd/grad.ts";
import * as build from "../tensor/build.ts";
import { arange } from "../tensor/create.ts";
import type { FusedOp } from "../tensor/fused.ts";
import { sliceAxis } from "../tensor/methods/views.ts";
import { formatShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { MaxPoolOptions } from "./spatial/pooling.ts";
import { larger, maxPool } from "./spatial/pooling.ts";
import { checkOptions, requireTensor } from "../tensor/door/door.ts";
import { narrowed } from "./autocast.ts";

/** Settings of `depthwiseConv1d`. */
export interface DepthwiseOptions {
  readonly bias?: Tensor;
  readonly stride?: number;
  readonly padding?: number;
  /** The sequence axis of x; default 1. */
  readonly axis?: number;
}

interface DepthwiseAttrs {
  readonly stride: number;
  readonly padding: number;
  readonly axis: number;
}

function padAxis(x: Tensor, { axis, padding }: DepthwiseAttrs): Tensor {
  return padding > 0 ? x.pad(x.shape.map((_, i) => (i === axis ? [padding, padding] : [0, 0]))) : x;
}

/** In: x [..., C], weight [C, K]. Out: [..., C], the axis at its length after the convolution. */
const DEPTHWISE: FusedOp<DepthwiseAttrs> = {
  name: "depthwiseConv1d",
  outputs([x, weight], { stride, padding, axis }) {
    const length = Math.floor((x.shape[axis] + 2 * padding - weight.shape[1]) / stride) + 1;
    return [{ shape: x.shape.map((n, i) => (i === axis ? length : n)), dtype: x.dtype }];
  },
  // A sum of shifted products rather than of windows: it is element-wise, and so is its gradient with respect to x,
  // and both run within the kernels around them.
  decompose([x, weight], attrs) {
    const padded = padAxis(x, attrs);
    const length = Math.floor((padded.shape[attrs.axis] - weight.shape[1]) / attrs.stride) + 1;
    const terms = Array.from({ length: weight.shape[1] }, (_, k) =>
      everyNth(padded, attrs.axis, k, length, attrs.stride).mul(weight.slice(null, k)),
    );
    return [terms.reduce((sum, term) => sum.add(term))];
  },
  vjp([x, weight], _, [dy], attrs) {
    if (!dy) return [];
    const dx = depthwiseInputGradient(x, weight, dy, attrs);
    const windows = padAxis(x, attrs).window(attrs.axis, weight.shape[1], attrs.stride);
    // Summed as [K, C]: neighbouring sums are then of neighbouring channels, which lie side by side in memory.
    const turned = windows.permute([dy.rank, ...dy.shape.keys()]);
    return [
      dx,
      turned
        .mul(dy.unsqueeze(0))
        .sum(dy.shape.slice(0, -1).map((_, i) => i + 1))
        .transpose(),
    ];
  },
};

function depthwiseInputGradient(x: Tensor, weight: Tensor, dy: Tensor, attrs: DepthwiseAttrs): Tensor {
  const padding = weight.shape[1] - 1 - attrs.padding;
  if (attrs.stride === 1 && padding >= 0) return DEPTHWISE.decompose([dy, weight.flip(1)], { ...attrs, padding })[0];
  const given = new Tensor(build.makeNode({ kind: "alias" }, [x.node], x.shape, x.dtype));
  return gradients(DEPTHWISE.decompose([given, weight], attrs), [dy], [given])[0];
}

/** `count` elements of an axis from `start` on, `step` apart. */
function everyNth(x: Tensor, axis: number, start: number, count: number, step: number): Tensor {
  return sliceAxis(x, axis, [start, start + (count - 1) * step + 1, step]);
}

/**
 * Depthwise cross-correlation with the channels last: x [..., C] along `axis`, weight [C, 1, K] (torch.nn.Conv1d with
 * groups = C), bias [C]. The axis keeps its place, so that what normalises the channels next reads neighbours.
 */
export function depthwiseConv1d(x: Tensor, weight: Tensor, options: DepthwiseOptions = {}): Tensor {
  requireTensor("depthwiseConv1d", "x", x);
  checkOptions("depthwiseConv1d", options, ["bias", "stride", "padding", "axis"]);
  const { stride = 1, padding = 0, axis = 1 } = options;
  const bias = narrowed(options.bias);
  x = narrowed(x);
  weight = narrowed(weight);
  const [channels, , size] = weight.shape;
  const fits =
    weight.rank === 3 && channels === x.shape[x.rank - 1] && weight.shape[1] === 1 && axis >= 0 && axis < x.rank - 1;
  if (!fits || !(stride >= 1) || x.shape[axis] + 2 * padding < size) {
    throw new Error(
      `depthwiseConv1d: weight ${formatShape(weight.shape)} must be [C, 1, K], C the last axis of x ${formatShape(x.shape)}, ` +
        `and axis ${axis} another one, of at least K − 2·${padding} elements; the stride ${stride} at least 1`,
    );
  }
  const [y] = build.fused(DEPTHWISE, [x.node, weight.reshape([channels, size]).node], { stride, padding, axis });
  return bias ? new Tensor(y).add(bias) : new Tensor(y);
}

/**
 * Largest of each window of the last axis of x; the first of equals takes the gradient
 * (torch.nn.functional.max_pool1d). The third argument is the stride (default `size`) or all of the options.
 */
export function maxPool1d(x: Tensor, size: number, options: number | MaxPoolOptions = size): Tensor {
  requireTensor("maxPool1d", "x", x);
  if (typeof options !== "number") return maxPool("maxPool1d", x, size, options, 1);
  return maxPoolAxis(x, x.rank - 1, size, options);
}

/** `maxPool1d` along any axis; an incomplete last window is dropped. */
export function maxPoolAxis(x: Tensor, axis: number, size: number, stride = size): Tensor {
  if (!Number.isInteger(size) || size < 1 || x.shape[axis] < size) {
    throw new Error(`maxPool1d: windows of ${size} do not fit in axis ${axis} of ${formatShape(x.shape)}`);
  }
  const count = Math.floor((x.shape[axis] - size) / stride) + 1;
  let largest = everyNth(x, axis, 0, count, stride);
  for (let k = 1; k < size; k++) {
    const next = everyNth(x, axis, k, count, stride);
    largest = larger(largest, next);
  }
  return largest;
}

/**
 * Linear interpolation of the last axis of x to `size` points (torch interpolate, mode "linear", align_corners=False).
 */
export function interpolateLinear(x: Tensor, size: number): Tensor {
  requireTensor("interpolateLinear", "x", x);
  const length = x.shape[x.rank - 1];
  if (!Number.isInteger(size) || size < 1 || x.rank === 0 || length === 0) {
    throw new Error(`interpolateLinear: cannot make ${size} points of the last axis of ${formatShape(x.shape)}`);
  }
  const source = arange(size)
    .cast(x.dtype)
    .add(0.5)
    .mul(length / size)
    .sub(0.5)
    .maximum(0);
  const left = source.floor();
  const fraction = source.sub(left);
  const low = left.cast("i32").minimum(length - 1);
  const high = low.add(1).minimum(length - 1);
  return x.take(low, -1).mul(fraction.neg().add(1)).add(x.take(high, -1).mul(fraction));
}
