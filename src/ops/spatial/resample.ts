/** Images and signals of another size: nearest and linear resampling (torch.nn.functional.interpolate). */
import { tensor } from "../../tensor/create.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkOptions, requireFloat } from "../../tensor/door/door.ts";

/** Settings of `interpolate`. */
export interface InterpolateOptions {
  /** Sizes of the spatial axes; this or `scaleFactor`. */
  readonly size?: number | readonly number[];
  /** Sizes as multiples of x's, rounded down. */
  readonly scaleFactor?: number | readonly number[];
  /** "linear" goes with [N, C, L], "bilinear" with [N, C, H, W]. Default "nearest". */
  readonly mode?: "nearest" | "linear" | "bilinear";
  /** The centres of the outermost elements stay where they are (linear modes); default false: their outer edges do. */
  readonly alignCorners?: boolean;
}

/** Lengths up to which interpolation along an axis is a product with a small matrix. */
const MATRIX = 64;

/** Elements of x from one result to the next. `float`: in float32, as PyTorch counts for the nearest. */
interface AxisPlan {
  readonly axis: number;
  readonly size: number;
  readonly step: number;
}

function plansOf(x: Tensor, options: InterpolateOptions): AxisPlan[] {
  const { size, scaleFactor, alignCorners = false } = options;
  const rank = x.rank - 2;
  if ((size === undefined) === (scaleFactor === undefined)) {
    throw new Error("interpolate: give either size or scaleFactor");
  }
  const given = size ?? scaleFactor!;
  const list = typeof given === "number" ? new Array<number>(rank).fill(given) : given;
  return Array.from({ length: rank }, (_, d) => {
    const length = x.shape[2 + d];
    const wanted = size === undefined ? Math.floor(length * list[d]) : list[d];
    if (list.length !== rank || !Number.isInteger(wanted) || wanted < 1 || length < 1) {
      throw new Error(
        `interpolate: ${size === undefined ? "scaleFactor" : "size"} is ${JSON.stringify(given)} for ${formatShape(x.shape)}; ` +
          `it must make whole sizes of at least 1, one for each of the ${rank} spatial axes`,
      );
    }
    if (alignCorners) return { axis: 2 + d, size: wanted, step: wanted > 1 ? (length - 1) / (wanted - 1) : 0 };
    return { axis: 2 + d, size: wanted, step: size === undefined ? 1 / list[d] : length / wanted };
  });
}

function nearest(x: Tensor, { axis, size, step }: AxisPlan): Tensor {
  const length = x.shape[axis];
  if (size === length && step === 1) return x;
  const times = size / length;
  if (Number.isInteger(times) && step === 1 / times) {
    // Every element repeated: a view.
    const shape = x.shape.flatMap((n, i) => (i === axis ? [n, 1] : [n]));
    const wide = x.shape.flatMap((n, i) => (i === axis ? [n, times] : [n]));
    return x
      .reshape(shape)
      .expand(wide)
      .reshape(x.shape.map((n, i) => (i === axis ? size : n)));
  }
  // PyTorch counts in float32.
  const source = Int32Array.from({ length: size }, (_, i) =>
    Math.min(Math.floor(Math.fround(i * Math.fround(step))), length - 1),
  );
  return x.take(tensor(source), axis);
}

function linear(x: Tensor, { axis, size, step }: AxisPlan, alignCorners: boolean): Tensor {
  const length = x.shape[axis];
  const places = Array.from({ length: size }, (_, i) => {
    const at = alignCorners ? i * step : Math.max(0, (i + 0.5) * step - 0.5);
    const low = Math.min(Math.floor(at), length - 1);
    return { low, high: Math.min(low + 1, length - 1), share: at - low };
  });
  if (length <= MATRIX) {
    const matrix = new Float64Array(length * size);
    places.forEach(({ low, high, share }, i) => {
      matrix[low * size + i] += 1 - share;
      matrix[high * size + i] += share;
    });
    const weights = tensor(matrix, { shape: [length, size], dtype: x.dtype });
    return axis === x.rank - 1 ? x.matmul(weights) : x.transpose(axis, -1).matmul(weights).transpose(axis, -1);
  }
  const along = x.shape.map((_, i) => (i === axis ? size : 1));
  const share = tensor(
    places.map((p) => p.share),
    { dtype: x.dtype },
  ).reshape(along);
  const [low, high] = (["low", "high"] as const).map((end) =>
    x.take(tensor(Int32Array.from(places, (p) => p[end])), axis),
  );
  return low.add(high.sub(low).mul(share));
}

/**
 * x [N, C, L] or [N, C, H, W] resampled to another size (torch.nn.functional.interpolate). A scale factor also gives the
 * distance between samples, as PyTorch takes it.
 *
 * @throws Error where the mode does not go with the number of axes, or the size is no size.
 */
export function interpolate(x: Tensor, options: InterpolateOptions): Tensor {
  requireFloat("interpolate", x);
  checkOptions("interpolate", options, ["size", "scaleFactor", "mode", "alignCorners"]);
  const { mode = "nearest", alignCorners = false } = options;
  if (x.rank !== 3 && x.rank !== 4) {
    throw new Error(`interpolate: x ${formatShape(x.shape)} must be [N, C, L] or [N, C, H, W]`);
  }
  const fits = mode === "nearest" ? !alignCorners : mode === (x.rank === 3 ? "linear" : "bilinear");
  if (!fits) {
    throw new Error(
      `interpolate: mode "${mode}"${alignCorners ? " with alignCorners" : ""} does not go with x ${formatShape(x.shape)}; ` +
        `"nearest" (without alignCorners) goes with any, "linear" with [N, C, L], "bilinear" with [N, C, H, W]`,
    );
  }
  return plansOf(x, options).reduce(
    (y, plan) => (mode === "nearest" ? nearest(y, plan) : linear(y, plan, alignCorners)),
    x,
  );
}
