/** Steps of random graphs that are layers: convolutions, pooling, normalisation, running sums, order, attention. */
import * as ops from "../../src/ops/index.ts";
import type { DType, HostArray } from "../../src/tensor/dtype.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import type { Draw } from "./draw.ts";

interface Value {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly exact: HostArray;
}

/** What these steps use of the drawer of a graph. */
export interface LayerDrawer {
  readonly draw: Draw;
  readonly known: readonly Value[];
  float(condition?: (k: Value) => boolean): number | undefined;
  of(shape: Shape, dtype?: DType): number;
  leaf(shape: Shape, dtype?: DType, variable?: boolean, domain?: readonly [number, number]): number;
  add(name: string, inputs: readonly number[], make: (...inputs: Tensor[]) => Tensor): number | undefined;
}

export type LayerRule = (d: LayerDrawer) => number | undefined | void;

/** Floats nearer to each other than this may change places on a device. */
const MARGIN = 2e-3;

/** Whether no two elements are nearly equal. */
function distinct({ exact }: Value): boolean {
  const sorted = Float64Array.from(exact).sort();
  return sorted.every((v, i) => i === 0 || v - sorted[i - 1] > MARGIN);
}

const small = (most: number) => (k: Value) => k.exact.every((v) => Math.abs(v) <= most);

/** A shape of the same elements as [N, C, H, W]. */
function asImages(draw: Draw, shape: Shape): number[] {
  if (shape.length > 4) return asImages(draw, [shape.slice(0, -3).reduce((a, b) => a * b), ...shape.slice(-3)]);
  if (shape.length === 4) return [...shape];
  if (shape.length === 3) return draw.chance(0.5) ? [1, ...shape] : [shape[0], 1, shape[1], shape[2]];
  if (shape.length === 2) return draw.chance(0.5) ? [1, 1, ...shape] : [1, shape[0], 1, shape[1]];
  return [1, 1, 1, ...shape];
}

/** A kernel, stride, dilation and padding that fit in two axes. */
function windowsIn(draw: Draw, size: readonly number[]) {
  const padding = size.map(() => draw.int(0, 1));
  const kernel = size.map((n, d) => draw.int(1, Math.min(3, n + 2 * padding[d])));
  const dilation = size.map((n, d) => (draw.chance(0.3) && 2 * (kernel[d] - 1) < n + 2 * padding[d] ? 2 : 1));
  return { kernel, options: { padding, dilation, stride: size.map(() => draw.pick([1, 1, 2, 3])) } };
}

const images = (d: LayerDrawer, most = 3) =>
  d.float((k) => k.shape.length >= 1 && k.exact.length > 0 && small(most)(k));

function convolution(d: LayerDrawer, transposed: boolean): number | undefined {
  const x = images(d);
  if (x === undefined) return;
  const shape = asImages(d.draw, d.known[x].shape);
  const [, channels, ...size] = shape;
  if (channels > 8) return;
  const groups = d.draw.chance(0.3) ? channels : 1;
  const out = groups * d.draw.int(1, 2);
  const { kernel, options } = windowsIn(d.draw, size);
  const domain = [-0.5, 0.5] as const;
  if (transposed) {
    if (d.known[x].exact.length > 60) return;
    const padding = kernel.map((k, i) => Math.min(options.padding[i], Math.floor((k - 1) / 2)));
    const w = d.leaf([channels, out / groups, ...kernel], "f32", false, domain);
    return d.add(`convTranspose2d of ${shape} by ${kernel}, ${JSON.stringify(options)}`, [x, w], (t, v) =>
      ops.convTranspose2d(t.reshape(shape), v, { ...options, padding, groups }),
    );
  }
  const w = d.leaf([out, channels / groups, ...kernel], "f32", false, domain);
  return d.add(`conv2d of ${shape} by ${kernel}, groups ${groups}, ${JSON.stringify(options)}`, [x, w], (t, v) =>
    ops.conv2d(t.reshape(shape), v, { ...options, groups }),
  );
}

export const LAYER_RULES: readonly (readonly [weight: number, name: string, rule: LayerRule])[] = [
  [3, "convolution", (d) => convolution(d, false)],
  [1, "transposed convolution", (d) => convolution(d, true)],
  [
    2,
    "pooling",
    (d) => {
      const name = d.draw.pick(["avgPool2d", "maxPool2d", "adaptiveAvgPool2d", "interpolate"] as const);
      const x = d.float((k) => k.shape.length >= 2 && k.exact.length > 0 && (name !== "maxPool2d" || distinct(k)));
      if (x === undefined) return;
      const shape = asImages(d.draw, d.known[x].shape);
      const { kernel, options } = windowsIn(d.draw, shape.slice(2));
      const padding = kernel.map((k, i) => Math.min(options.padding[i], Math.floor(k / 2)));
      const plain = { padding, stride: options.stride, ceilMode: d.draw.chance(0.3) };
      const size = [d.draw.int(1, 4), d.draw.int(1, 4)];
      return d.add(`${name} of ${shape}: ${JSON.stringify({ kernel, ...plain, size })}`, [x], (t) => {
        const image = t.reshape(shape);
        if (name === "interpolate") return ops.interpolate(image, { size, mode: "bilinear" });
        return name === "adaptiveAvgPool2d" ? ops.adaptiveAvgPool2d(image, size) : ops[name](image, kernel, plain);
      });
    },
  ],
  [
    2,
    "normalisation",
    (d) => {
      const x = d.float((k) => k.shape.length >= 2 && k.exact.length > 0);
      if (x === undefined) return;
      const { shape, exact } = d.known[x];
      const epsilon = 0.3;
      switch (d.draw.int(0, 2)) {
        case 0:
          if (exact.length / shape[1] < 2) return;
          return d.add(
            "batchNormTraining",
            [x, d.leaf([shape[1]]), d.leaf([shape[1]])],
            (t, weight, bias) => ops.batchNormTraining(t, { weight, bias, epsilon }).y,
          );
        case 1:
          return d.add("groupNorm", [x], (t) => ops.groupNorm(t, 1, { epsilon }));
        default:
          return d.add("rmsNorm", [x], (t) => ops.rmsNorm(t, { epsilon }));
      }
    },
  ],
  [
    2,
    "running",
    (d) => {
      const x = d.float((k) => k.shape.length >= 1 && k.exact.length > 0);
      if (x === undefined) return;
      const axis = d.draw.int(0, d.known[x].shape.length - 1);
      if (d.known[x].shape[axis] > 40) return;
      if (d.draw.chance(0.7)) return d.add(`cumsum over ${axis}`, [x], (t) => ops.cumsum(t, axis));
      return d.add(`cumprod of 1 + tanh / 5 over ${axis}`, [x], (t) => ops.cumprod(t.tanh().mul(0.2).add(1), axis));
    },
  ],
  [
    1,
    "order",
    (d) => {
      const x = d.float((k) => k.shape.length >= 1 && k.exact.length > 0 && distinct(k));
      if (x === undefined) return;
      const axis = d.draw.int(0, d.known[x].shape.length - 1);
      const descending = d.draw.chance(0.5);
      return d.add(`sort over ${axis}${descending ? ", largest first" : ""}`, [x], (t) => {
        const { values, indices } = ops.sort(t, { axis, descending });
        return values.add(indices.cast("f32").mul(0.25));
      });
    },
  ],
  [
    1,
    "places",
    (d) => {
      const x = d.float((k) => k.shape.length >= 1 && k.exact.length > 0);
      if (x === undefined) return;
      const { shape } = d.known[x];
      const axis = d.draw.int(0, shape.length - 1);
      const by = d.draw.int(-3, 3);
      if (d.draw.chance(0.3)) return d.add(`roll by ${by} along ${axis}`, [x], (t) => ops.roll(t, by, axis));
      if (d.draw.chance(0.3) && shape.length >= 2) return d.add(`tril ${by}`, [x], (t) => ops.tril(t, by));
      const named = shape.map((n, i) => (i === axis ? d.draw.int(1, 4) : n));
      const index = d.add("index within", [d.leaf(named, "i32")], (t) => t.mod(shape[axis]));
      if (index === undefined) return;
      return d.add(`scatter along ${axis}`, [x, index, d.of(named)], (t, i, s) => ops.scatter(t, axis, i, s));
    },
  ],
  [
    1,
    "smooth activation",
    (d) => {
      const x = d.float();
      if (x !== undefined) return d.add("mish", [x], (t) => ops.mish(t));
    },
  ],
  [
    0.5,
    "masked attention",
    (d) => {
      const x = d.float((k) => k.shape.length === 2 && k.exact.length > 0 && k.shape[0] <= 9 && small(3)(k));
      if (x === undefined) return;
      const w = d.leaf([d.known[x].shape[1], 4], "f32", false, [-0.5, 0.5]);
      return d.add("causal attention with rotary positions", [x, w], (t, v) => {
        const q = t.matmul(v).tanh();
        return ops.scaledDotProductAttention(ops.rotaryEmbedding(q), q, q, { causal: true });
      });
    },
  ],
];
