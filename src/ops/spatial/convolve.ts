/**
 * Convolution over any number of spatial axes, and its two adjoints.
 *
 * The map (x, w, y) ↦ Σ y · conv(x, w) is linear in each of the three, so one op gives the cotangent of another:
 * `CONVOLVE` makes y of x and w, `CONVOLVE_INPUT` x of y and w (a transposed convolution), `CONVOLVE_WEIGHT` w of x and
 * y. Each is a product of matrices one of which is a view of windows; derivatives of any order stay among the three.
 */
import type { FusedOp } from "../../tensor/fused.ts";
import * as build from "../../tensor/build.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { spanOf } from "./sizes.ts";

/** Sizes along the spatial axes. */
export interface ConvolveAttrs {
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  /** Zeros before and after each axis of x. */
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly groups: number;
  /** Of x, of the weight, and of y. */
  readonly size: readonly number[];
  readonly kernel: readonly number[];
  readonly count: readonly number[];
}

/** Places of a depthwise kernel up to which the sum over them is written out. */
const WRITTEN_OUT = 32;

/** Zeros around the spatial axes; where a width is negative, elements are cut off. */
function padSpatial(x: Tensor, low: readonly number[], high: readonly number[]): Tensor {
  const cut = x.slice(
    null,
    null,
    ...low.map((l, d) => {
      const n = x.shape[2 + d];
      return [Math.max(0, -l), n - Math.max(0, -high[d])] as const;
    }),
  );
  return cut.pad([[0, 0], [0, 0], ...low.map((l, d) => [Math.max(0, l), Math.max(0, high[d])] as const)]);
}

/** The elements of x that place `at` of the kernel meets: [N, C, ...count]. */
function metBy(padded: Tensor, at: readonly number[], { stride, dilation, count }: ConvolveAttrs): Tensor {
  return padded.slice(
    null,
    null,
    ...at.map((k, d) => {
      const start = k * dilation[d];
      return [start, start + (count[d] - 1) * stride[d] + 1, stride[d]] as const;
    }),
  );
}

/** Every place of a kernel, the last axis fastest. */
function placesOf(kernel: readonly number[]): number[][] {
  return kernel.reduce<number[][]>(
    (list, size) => list.flatMap((at) => Array.from({ length: size }, (_, k) => [...at, k])),
    [[]],
  );
}

/**
 * Windows of x: [N, C, ...count, ...kernel]. The padding is made once, in memory of its own: where windows then lie is a
 * sum of a place and a place in the window, which products read without a test of every element.
 */
function windowsOf(x: Tensor, { stride, dilation, low, high, kernel, count }: ConvolveAttrs): Tensor {
  const padded = padSpatial(x, low, high);
  const grown = padded.shape.some((n, i) => n > x.shape[i]);
  let windows = grown && sizeOf(kernel) > 1 ? padded.contiguous() : padded;
  kernel.forEach((size, d) => (windows = windows.window(2 + d, size, stride[d], dilation[d])));
  return windows.slice(null, null, ...count.map((n) => [0, n] as const));
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** Windows of x as columns: [N, C, ...kernel, ...count] (torch.nn.functional.unfold before its reshape). */
export function columnsOf(x: Tensor, attrs: ConvolveAttrs): Tensor {
  const rank = attrs.kernel.length;
  return windowsOf(x, attrs).permute([0, 1, ...range(2 + rank, 2 + 2 * rank), ...range(2, 2 + rank)]);
}

/** The adjoint of `columnsOf`: columns [N, C, ...kernel, ...count] summed where windows overlap → [N, C, ...size]. */
export function sumColumns(columns: Tensor, { stride, dilation, low, high, size, kernel }: ConvolveAttrs): Tensor {
  const rank = kernel.length;
  let spread = columns.permute([0, 1, ...range(2 + rank, 2 + 2 * rank), ...range(2, 2 + rank)]);
  // Axis by axis of the kernel, each moved to the end, where `unwindow` reads it.
  size.forEach((s, d) => {
    const last = spread.rank - 1;
    const first = 2 + rank;
    const moved = spread.permute([...range(0, first), ...range(first + 1, last + 1), first]);
    spread = new Tensor(build.unwindow(moved.node, 2 + d, s + low[d] + high[d], stride[d], dilation[d]));
  });
  const summed = spread.sum(range(2 + rank, 2 + 2 * rank));
  return summed.slice(null, null, ...size.map((s, d) => [low[d], low[d] + s] as const));
}

/** Whether each channel has a kernel of its own and gives one channel. */
function isDepthwise(channels: number, out: number, groups: number): boolean {
  return groups === channels && groups === out;
}

/** In: x [N, C, ...size], w [O, C / groups, ...kernel]. Out: y [N, O, ...count]. */
export const CONVOLVE: FusedOp<ConvolveAttrs> = {
  name: "convolve",
  outputs: ([x, w], { count }) => [{ shape: [x.shape[0], w.shape[0], ...count], dtype: x.dtype }],
  decompose([x, w], attrs) {
    const { groups, kernel, count } = attrs;
    const [n, channels] = x.shape;
    const out = w.shape[0];
    const places = sizeOf(kernel);
    if (isDepthwise(channels, out, groups) && places <= WRITTEN_OUT) {
      const padded = padSpatial(x, attrs.low, attrs.high);
      const factors = w.reshape([1, channels, places]);
      const terms = placesOf(kernel).map((at, k) =>
        metBy(padded, at, attrs).mul(factors.slice(null, null, k).reshape([1, channels, ...count.map(() => 1)])),
      );
      return [terms.reduce((sum, term) => sum.add(term))];
    }
    const perGroup = channels / groups;
    const columns = columnsOf(x, attrs).reshape([n, groups, perGroup * places, sizeOf(count)]);
    const rows = w.reshape([1, groups, out / groups, perGroup * places]);
    return [rows.matmul(columns).reshape([n, out, ...count])];
  },
  vjp([x, w], _, [dy], attrs) {
    return dy ? [apply(CONVOLVE_INPUT, dy, w, attrs), apply(CONVOLVE_WEIGHT, x, dy, attrs)] : [];
  },
};

/** In: y [N, O, ...count], w [O, C / groups, ...kernel]. Out: x [N, C, ...size]. */
export const CONVOLVE_INPUT: FusedOp<ConvolveAttrs> = {
  name: "convolveInput",
  outputs: ([y, w], { groups, size }) => [{ shape: [y.shape[0], w.shape[1] * groups, ...size], dtype: y.dtype }],
  decompose([y, w], attrs) {
    const { stride, dilation, low, groups, size, kernel, count } = attrs;
    const [out, perGroup] = w.shape;
    const n = y.shape[0];
    const rank = kernel.length;
    if (stride.every((s) => s === 1)) {
      // A convolution with the kernel turned round, of what the padding of x leaves of y.
      const turned = w
        .reshape([groups, out / groups, perGroup, ...kernel])
        .permute([0, 2, 1, ...range(3, 3 + rank)])
        .reshape([groups * perGroup, out / groups, ...kernel])
        .flip(range(2, 2 + rank));
      const before = kernel.map((k, d) => spanOf(k, dilation[d]) - 1 - low[d]);
      const after = size.map((s, d) => s + spanOf(kernel[d], dilation[d]) - 1 - count[d] - before[d]);
      return CONVOLVE.decompose([y, turned], { ...attrs, low: before, high: after, size: count, count: size });
    }
    // What every element of y gives to every place of its window, then summed where the windows overlap.
    const places = sizeOf(kernel);
    const columns = w
      .reshape([1, groups, out / groups, perGroup * places])
      .transpose()
      .matmul(y.reshape([n, groups, out / groups, sizeOf(count)]))
      .reshape([n, groups * perGroup, ...kernel, ...count]);
    return [sumColumns(columns, attrs)];
  },
  vjp([y, w], _, [dx], attrs) {
    return dx ? [apply(CONVOLVE, dx, w, attrs), apply(CONVOLVE_WEIGHT, dx, y, attrs)] : [];
  },
};

/** In: x [N, C, ...size], y [N, O, ...count]. Out: w [O, C / groups, ...kernel]. */
const CONVOLVE_WEIGHT: FusedOp<ConvolveAttrs> = {
  name: "convolveWeight",
  outputs: ([x, y], { groups, kernel }) => [{ shape: [y.shape[1], x.shape[1] / groups, ...kernel], dtype: x.dtype }],
  decompose([x, y], attrs) {
    const { groups, kernel, count } = attrs;
    const [n, channels] = x.shape;
    const out = y.shape[1];
    const rank = kernel.length;
    const windows = windowsOf(x, attrs);
    if (isDepthwise(channels, out, groups)) {
      const met = windows.permute([1, ...range(2 + rank, 2 + 2 * rank), 0, ...range(2, 2 + rank)]);
      const given = y.permute([1, 0, ...range(2, 2 + rank)]).reshape([out, ...kernel.map(() => 1), n, ...count]);
      return [
        met
          .mul(given)
          .sum(range(1 + rank, 2 + 2 * rank))
          .reshape([out, 1, ...kernel]),
      ];
    }
    const perGroup = channels / groups;
    const elements = n * sizeOf(count);
    const columns = windows
      .reshape([n, groups, perGroup, ...count, ...kernel])
      .permute([1, 0, ...range(3, 3 + rank), 2, ...range(3 + rank, 3 + 2 * rank)])
      .reshape([groups, elements, perGroup * sizeOf(kernel)]);
    const rows = y
      .reshape([n, groups, out / groups, sizeOf(count)])
      .permute([1, 2, 0, 3])
      .reshape([groups, out / groups, elements]);
    return [rows.matmul(columns).reshape([out, perGroup, ...kernel])];
  },
  vjp([x, y], _, [dw], attrs) {
    return dw ? [apply(CONVOLVE_INPUT, y, dw, attrs), apply(CONVOLVE, x, dw, attrs)] : [];
  },
};

/** One of the three ops on its two operands. */
export function apply(op: FusedOp<ConvolveAttrs>, a: Tensor, b: Tensor, attrs: ConvolveAttrs): Tensor {
  return new Tensor(build.fused(op, [a.node, b.node], attrs)[0]);
}
