/**
 * Shapes: sizes of axes, NumPy broadcasting, and axis arguments.
 *
 * Broadcasting follows NumPy's rule (and PyTorch's): shapes are aligned at their last axis; two sizes fit when they
 * are equal or one of them is 1.
 */
export type Shape = readonly number[];

/** Number of elements; 1 for the shape `[]` of a scalar. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** Strides, in elements, of a row-major (C order) array. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

/** The shape both operands broadcast to. Throws, naming `op` and the shapes, where they do not fit. */
export function broadcastShapes(op: string, ...shapes: Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length));
  const result = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const axis = rank - shape.length + i;
      const size = shape[i];
      if (size === 1 || size === result[axis]) continue;
      if (result[axis] !== 1) {
        throw new Error(
          `${op}: shapes ${shapes.map(formatShape).join(" and ")} do not broadcast: ` +
            `axis ${i - shape.length} has sizes ${result[axis]} and ${size}; they must be equal or one of them 1`,
        );
      }
      result[axis] = size;
    }
  }
  return result;
}

/** What was given where a number or an array should be. */
function asGiven(value: unknown): string {
  return typeof value === "string"
    ? JSON.stringify(value)
    : value && typeof value === "object"
      ? "an object"
      : String(value);
}

/** An axis in `0..rank-1`; negative axes count from the end. Throws, naming `op`, when out of range. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  if (typeof axis !== "number") {
    throw new TypeError(`${op}: an axis must be an integer, not ${asGiven(axis)}`);
  }
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new Error(
      `${op}: axis ${axis} is out of range for a tensor of ${rank} axes (allowed: ${-rank}..${rank - 1})`,
    );
  }
  return axis < 0 ? axis + rank : axis;
}

/** Sorted, distinct axes; `undefined` means all. Throws on a repeated or out-of-range axis. */
export function normalizeAxes(op: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  if (typeof axes !== "number" && !Array.isArray(axes)) {
    throw new TypeError(`${op}: axes must be an integer or an array of integers, not ${asGiven(axes)}; write ${op}(0)`);
  }
  const list = (typeof axes === "number" ? [axes] : [...axes]).map((a) => normalizeAxis(op, a, rank));
  list.sort((a, b) => a - b);
  for (let i = 1; i < list.length; i++) {
    if (list[i] === list[i - 1]) throw new Error(`${op}: axis ${list[i]} is given twice`);
  }
  return list;
}

/** Throws unless `shape` is an array of integers of at least `least`. */
export function requireSizes(op: string, shape: unknown, least = 0): asserts shape is Shape {
  if (!Array.isArray(shape)) {
    throw new TypeError(`${op}: the shape must be an array of sizes, not ${asGiven(shape)}; write ${op}([2, 3])`);
  }
  const wrong = (shape as unknown[]).find((n) => !Number.isSafeInteger(n) || (n as number) < least);
  if (wrong === undefined && !(shape as unknown[]).includes(undefined)) return;
  const rule = least < 0 ? "integers ≥ 0, or one −1" : "integers ≥ 0";
  throw new TypeError(
    `${op}: shape [${(shape as unknown[]).map(String).join(", ")}]: sizes must be ${rule}, not ${asGiven(wrong)}`,
  );
}
