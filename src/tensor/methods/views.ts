/** What the methods that only look at a tensor otherwise do: their arguments checked and counted from the end, then one node. */
import * as build from "../build.ts";
import { describeValue, requireCount } from "../door/door.ts";
import type { Node } from "../node.ts";
import { formatShape, normalizeAxes, normalizeAxis, sizeOf } from "../shape.ts";
import type { Axes, Range } from "./arguments.ts";
import { Tensor } from "../tensor.ts";

/** A tensor for `node`, or `x` itself where nothing changed. */
export function wrap(x: Tensor, node: Node): Tensor {
  return node === x.node && x.constructor === Tensor ? x : new Tensor(node);
}

export function permute(x: Tensor, order: readonly number[]): Tensor {
  requireAxisList("permute", order);
  return wrap(
    x,
    build.permute(
      x.node,
      order.map((a) => normalizeAxis("permute", a, x.rank)),
    ),
  );
}

function requireAxisList(op: string, axes: unknown): asserts axes is readonly number[] {
  if (Array.isArray(axes)) return;
  throw new TypeError(`${op}: the axes must be an array, not ${describeValue(axes)}; write ${op}([0, 1])`);
}

export function squeeze(x: Tensor, axis: number | undefined): Tensor {
  if (axis === undefined) return x.reshape(x.shape.filter((n) => n !== 1));
  const at = normalizeAxis("squeeze", axis, x.rank);
  if (x.shape[at] !== 1)
    throw new Error(`squeeze: axis ${axis} of ${formatShape(x.shape)} has size ${x.shape[at]}, not 1`);
  return x.reshape(x.shape.filter((_, i) => i !== at));
}

export function slice(x: Tensor, ranges: readonly Range[]): Tensor {
  if (ranges.length > x.rank) throw new Error(`slice: ${ranges.length} ranges for ${formatShape(x.shape)}`);
  const start: number[] = [];
  const count: number[] = [];
  const step: number[] = [];
  const dropped: number[] = [];
  x.shape.forEach((size, axis) => {
    const range = ranges[axis] ?? null;
    if (typeof range === "number") {
      const at = range < 0 ? range + size : range;
      if (!Number.isInteger(range) || at < 0 || at >= size) {
        throw new Error(`slice: position ${range} is outside axis ${axis} of ${formatShape(x.shape)}`);
      }
      start.push(at);
      count.push(1);
      step.push(1);
      dropped.push(axis);
    } else {
      if (range !== null && !Array.isArray(range)) {
        throw new TypeError(
          `slice: axis ${axis} must be a position, [start, stop], [start, stop, step] or null, not ${describeValue(range)}`,
        );
      }
      const [s, c, d] = pythonSlice(range ?? [null, null], size);
      start.push(s);
      count.push(c);
      step.push(d);
    }
  });
  const taken = new Tensor(build.slice(x.node, start, count, step));
  return dropped.length ? taken.reshape(taken.shape.filter((_, i) => !dropped.includes(i))) : taken;
}

/** A part of one axis, the others whole. */
export function sliceAxis(x: Tensor, axis: number, range: Range): Tensor {
  return slice(
    x,
    x.shape.map((_, i) => (i === axis ? range : null)),
  );
}

export function flip(x: Tensor, axes: Axes | undefined): Tensor {
  const list = normalizeAxes("flip", axes, x.rank);
  return slice(
    x,
    x.shape.map((_, i): Range => (list.includes(i) ? [null, null, -1] : null)),
  );
}

export function transpose(x: Tensor, a: number, b: number): Tensor {
  const [i, j] = [normalizeAxis("transpose", a, x.rank), normalizeAxis("transpose", b, x.rank)];
  const order = x.shape.map((_, k) => (k === i ? j : k === j ? i : k));
  return permute(x, order);
}

export function flatten(x: Tensor, from: number): Tensor {
  const axis = x.rank === 0 ? 0 : normalizeAxis("flatten", from, x.rank);
  return x.reshape([...x.shape.slice(0, axis), sizeOf(x.shape.slice(axis))]);
}

export function unsqueeze(x: Tensor, axis: number): Tensor {
  const at = normalizeAxis("unsqueeze", axis, x.rank + 1);
  return x.reshape([...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

/** Start, count and step of a Python slice on an axis of `size`. */
function pythonSlice(range: readonly (number | null)[], size: number): [number, number, number] {
  const step = range[2] ?? 1;
  if (!Number.isInteger(step) || step === 0) throw new Error(`slice: step ${step} must be a non-zero integer`);
  const bound = (value: number | null | undefined, fallback: number) => {
    if (value === null || value === undefined) return fallback;
    if (!Number.isInteger(value)) throw new Error(`slice: bound ${value} must be an integer`);
    const at = value < 0 ? value + size : value;
    return step > 0 ? Math.min(Math.max(at, 0), size) : Math.min(Math.max(at, -1), size - 1);
  };
  const start = bound(range[0], step > 0 ? 0 : size - 1);
  const stop = bound(range[1], step > 0 ? size : -1);
  const count = Math.max(0, Math.ceil((stop - start) / step));
  return count === 0 ? [0, 0, step] : [start, count, step];
}

export function pad(x: Tensor, widths: readonly (readonly [number, number])[]): Tensor {
  const pairs = Array.isArray(widths) && widths.every((w) => Array.isArray(w) && w.length === 2);
  if (!pairs || widths.length !== x.rank || widths.flat().some((w) => !Number.isInteger(w) || w < 0)) {
    throw new Error(
      `pad: needs ${x.rank} pairs of integers ≥ 0 for ${formatShape(x.shape)}, got ${JSON.stringify(widths)}`,
    );
  }
  const shape = x.shape.map((n, i) => n + widths[i][0] + widths[i][1]);
  return wrap(
    x,
    build.pad(
      x.node,
      widths.map((w) => w[0]),
      shape,
      x.shape.map(() => 1),
    ),
  );
}

export function window(x: Tensor, axis: number, size: number, stride: number, dilation: number): Tensor {
  requireCount("window", "size", size, -Infinity);
  requireCount("window", "stride", stride, -Infinity);
  requireCount("window", "dilation", dilation, -Infinity);
  return wrap(x, build.window(x.node, normalizeAxis("window", axis, x.rank), size, stride, dilation));
}
