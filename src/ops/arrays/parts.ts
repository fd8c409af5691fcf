/** Parts, triangles, shifts and places of arrays (torch.split, chunk, tril, triu, roll, linspace, scatter, norm). */
import { inBounds } from "../../tensor/bounds.ts";
import { arange, full } from "../../tensor/create.ts";
import type { DType, HostArray } from "../../tensor/dtype.ts";
import { isFloat } from "../../tensor/dtype.ts";
import { formatShape, normalizeAxes, normalizeAxis } from "../../tensor/shape.ts";
import type { Axes } from "../../tensor/methods/arguments.ts";
import { concat } from "../../tensor/methods/join.ts";
import { sliceAxis } from "../../tensor/methods/views.ts";
import { checkOptions, requireFloat, requireTensor } from "../../tensor/door/door.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { widened } from "../autocast.ts";

/** Parts of x along an axis, of `size` elements each (the last may have fewer) or of the sizes listed (torch.split). */
export function split(x: Tensor, size: number | readonly number[], axis = 0): Tensor[] {
  requireTensor("split", "x", x);
  const at = normalizeAxis("split", axis, x.rank);
  const length = x.shape[at];
  if (typeof size === "number" && !(Number.isInteger(size) && size >= 1)) {
    throw new Error(`split: the size is ${size}; it must be a whole number of at least 1`);
  }
  if (typeof size !== "number" && !Array.isArray(size)) {
    throw new Error(`split: the size is ${String(size)}; it must be a number or a list of them`);
  }
  const sizes =
    typeof size === "number"
      ? Array.from({ length: Math.max(1, Math.ceil(length / size)) }, (_, i) => Math.min(size, length - i * size))
      : size;
  if (sizes.some((n) => !Number.isInteger(n) || n < 0) || sizes.reduce((a, b) => a + b, 0) !== length) {
    throw new Error(
      `split: sizes ${formatShape(sizes)} must add up to the ${length} of axis ${axis} of ${formatShape(x.shape)}`,
    );
  }
  let from = 0;
  return sizes.map((n) => sliceAxis(x, at, [from, (from += n)]));
}

/** At most `count` parts of x of equal size along `axis`, the last may have less (torch.chunk). */
export function chunk(x: Tensor, count: number, axis = 0): Tensor[] {
  requireTensor("chunk", "x", x);
  if (!Number.isInteger(count) || count < 1) throw new Error(`chunk: ${count} parts; it must be at least 1`);
  const length = x.shape[normalizeAxis("chunk", axis, x.rank)];
  return split(x, Math.max(1, Math.ceil(length / count)), axis);
}

function triangle(op: string, x: Tensor, keep: (row: Tensor, column: Tensor) => Tensor): Tensor {
  requireTensor(op, "x", x);
  if (x.rank < 2) throw new Error(`${op}: ${formatShape(x.shape)} has no rows and columns; it needs at least 2 axes`);
  const [rows, columns] = x.shape.slice(-2);
  return x.mask(keep(arange(rows).unsqueeze(1), arange(columns).unsqueeze(0)).expand(x.shape));
}

/** The last two axes of x up to diagonal number `diagonal`, 0 above (torch.tril). */
export function tril(x: Tensor, diagonal = 0): Tensor {
  return triangle("tril", x, (row, column) => column.le(row.add(diagonal)));
}

/** The last two axes of x from diagonal number `diagonal` on, 0 below (torch.triu). */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return triangle("triu", x, (row, column) => column.ge(row.add(diagonal)));
}

/** `steps` numbers from `start` to `end`, both included, evenly apart: shape [steps] (torch.linspace). */
export function linspace(start: number, end: number, steps: number, dtype: DType = "f32"): Tensor {
  if (!isFloat(dtype)) throw new Error(`linspace: dtype ${dtype} is not a floating one`);
  if (!Number.isInteger(steps) || steps < 0 || !Number.isFinite(start) || !Number.isFinite(end)) {
    throw new Error(`linspace: ${steps} steps from ${start} to ${end}; steps must be a whole number, the ends finite`);
  }
  if (steps <= 1) return full([steps], start, dtype);
  const step = (end - start) / (steps - 1);
  const place = arange(steps);
  // Counted from the nearer end, as PyTorch does: both ends are exact.
  const forward = place.cast(dtype).mul(step).add(start);
  const backward = place
    .neg()
    .add(steps - 1)
    .cast(dtype)
    .mul(-step)
    .add(end);
  return place.lt(Math.floor(steps / 2)).where(forward, backward);
}

/**
 * The elements of x moved `shift` places along axes, those that leave at the end coming in at the start (torch.roll).
 */
export function roll(x: Tensor, shift: number | readonly number[], axes?: Axes): Tensor {
  requireTensor("roll", "x", x);
  const shifts = typeof shift === "number" ? [shift] : shift;
  if (axes === undefined) {
    if (shifts.length !== 1) throw new Error("roll: several shifts need as many axes");
    return roll(x.flatten(), shifts, 0).reshape(x.shape);
  }
  const list = typeof axes === "number" ? [axes] : axes;
  if (list.length !== shifts.length || shifts.some((n) => !Number.isInteger(n))) {
    throw new Error(
      `roll: shifts ${formatShape(shifts)} must be whole numbers, one for each of the axes ${formatShape(list)}`,
    );
  }
  return list.reduce<Tensor>((y, axis, i) => {
    const at = normalizeAxis("roll", axis, x.rank);
    const n = y.shape[at];
    const by = n === 0 ? 0 : ((shifts[i] % n) + n) % n;
    return by === 0 ? y : concat([sliceAxis(y, at, [n - by, n]), sliceAxis(y, at, [0, n - by])], at);
  }, x);
}

/**
 * x with elements of `source` written at `index` along `axis` (torch.scatter): `out[index[i][j]][j] = source[i][j]` for
 * axis 0. Where a place is named twice the last one counts, on every device. A number stands for a source of it.
 */
export function scatter(x: Tensor, axis: number, index: Tensor, source: Tensor | number): Tensor {
  requireTensor("scatter", "x", x);
  requireTensor("scatter", "the index", index);
  if (typeof source !== "number") requireTensor("scatter", "the source", source);
  const at = normalizeAxis("scatter", axis, x.rank);
  const given = typeof source === "number" ? full(index.shape, source, x.dtype) : source;
  const fits =
    index.rank === x.rank &&
    index.shape.every((n, i) => n === given.shape[i] && (i === at || n === x.shape[i])) &&
    given.rank === index.rank;
  if (!fits || given.dtype !== x.dtype || (index.dtype !== "i32" && index.dtype !== "u32")) {
    throw new Error(
      `scatter: index ${index.label()} must be i32 or u32 and have the shape of x ${x.label()} except along axis ${axis}, ` +
        `the source ${given.label()} the index's shape and x's dtype`,
    );
  }
  if (index.size === 0) return x;
  const checked = new Tensor(inBounds(index.node, { op: "scatter", what: "index", size: x.shape[at] }));
  const last = (t: Tensor) => (at === x.rank - 1 ? t : t.transpose(at, -1));
  const [places, named] = [last(x), last(checked)];
  const [size, count] = [x.shape[at], index.shape[at]];
  const square = [...places.shape.slice(0, -1), size, count];
  const here = named.unsqueeze(-2).expand(square).eq(arange(size).cast(index.dtype).unsqueeze(1).expand(square));
  // The number of the last source that names the place, −1 for none.
  const writer = here.where(arange(count).expand(square), -1).max(-1);
  const written = last(given).gather(x.rank - 1, writer.maximum(0));
  return last(writer.ge(0).where(written, places));
}

/** Settings of `norm`. */
export interface NormOptions {
  /** Order: 2 (default), 1, 0 (elements that are not 0), ±Infinity, or any other. */
  readonly p?: number;
  /** Default all. */
  readonly axes?: Axes;
  readonly keepDims?: boolean;
}

/** (Σ |x|ᵖ)^(1/p) over axes (torch.linalg.vector_norm). The derivative at a norm of 0 is 0. */
export function norm(x: Tensor, options: NormOptions = {}): Tensor {
  requireFloat("norm", x);
  x = widened(x);
  checkOptions("norm", options, ["p", "axes", "keepDims"]);
  const { p = 2, keepDims = false } = options;
  const axes = normalizeAxes("norm", options.axes, x.rank);
  if (p === Infinity) return x.abs().max(axes, keepDims);
  if (p === -Infinity) return x.abs().min(axes, keepDims);
  if (p === 0) return x.ne(0).cast(x.dtype).sum(axes, keepDims);
  if (p === 1) return x.abs().sum(axes, keepDims);
  if (Number.isNaN(p)) throw new Error("norm: p is NaN; it must be a number");
  const total = (p === 2 ? x.square() : x.abs().pow(p)).sum(axes, keepDims);
  // Holds of NaN, which the norm then is.
  const some = total.ne(0);
  const safe = some.where(total, 1);
  return (p === 2 ? safe.sqrt() : safe.pow(1 / p)).mask(some);
}

/**
 * The distinct values of a tensor in rising order, on the host, with how often each occurs and, for every element of x
 * in row-major order, the number of its value (torch.unique with return_inverse and return_counts). NaN is one value.
 */
export async function unique(x: Tensor): Promise<{ values: HostArray; inverse: Int32Array; counts: Int32Array }> {
  requireTensor("unique", "x", x);
  const data = await x.read();
  const order = Array.from({ length: data.length }, (_, i) => i);
  const rank = (v: number) => (Number.isNaN(v) ? Infinity : v);
  order.sort(
    (i, j) => rank(data[i]) - rank(data[j]) || Number(Number.isNaN(data[i])) - Number(Number.isNaN(data[j])) || i - j,
  );
  const inverse = new Int32Array(data.length);
  const firsts: number[] = [];
  const counts: number[] = [];
  for (const at of order) {
    const before = firsts[firsts.length - 1];
    const same =
      before !== undefined && (data[before] === data[at] || (Number.isNaN(data[before]) && Number.isNaN(data[at])));
    if (same) counts[counts.length - 1]++;
    else {
      firsts.push(at);
      counts.push(1);
    }
    inverse[at] = firsts.length - 1;
  }
  const values = new (data.constructor as new (n: number) => HostArray)(firsts.length);
  firsts.forEach((at, i) => (values[i] = data[at]));
  return { values, inverse, counts: Int32Array.from(counts) };
}

/**
 * Indices of the elements of x that are not 0, a row each, on the host (torch.nonzero, and torch.where of one
 * argument).
 */
export async function nonzero(x: Tensor): Promise<number[][]> {
  requireTensor("nonzero", "x", x);
  const data = await x.read();
  const rows: number[][] = [];
  for (let flat = 0; flat < data.length; flat++) {
    if (data[flat] === 0) continue;
    const index = new Array<number>(x.rank);
    let rest = flat;
    for (let axis = x.rank - 1; axis >= 0; axis--) {
      index[axis] = rest % x.shape[axis];
      rest = Math.floor(rest / x.shape[axis]);
    }
    rows.push(index);
  }
  return rows;
}
