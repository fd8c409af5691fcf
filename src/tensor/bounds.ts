/**
 * Indices that must lie in a range: of `gather`, `take`, `scatterAdd`, embeddings, labels of classes.
 *
 * Values that the host has are looked at when the op is called. For others a node of kind `inBounds` says what must
 * hold, and the device looks when it computes them: before a run where they are inputs, in it where they are computed.
 * Indices that cannot be outside, as those of a remainder, need no look.
 */
import { makeNode } from "./build.ts";
import type { Node } from "./node.ts";
import { sizeOf } from "./shape.ts";

/** What indices are checked for. */
export interface Bounds {
  /** The op that asks, for the error. */
  readonly op: string;
  /** What it calls them: "index", "label". */
  readonly what: string;
  /** Indices are 0 … size − 1. */
  readonly size: number;
  /** A value that stands for no index. */
  readonly ignore?: number;
}

/** The index, with the demand that it lie in bounds. @throws RangeError where the host sees one outside */
export function inBounds(index: Node, bounds: Bounds): Node {
  const base = valuesBehind(index);
  const { op } = base;
  if (op.kind === "inBounds" && op.bounds.size <= bounds.size && op.bounds.ignore === bounds.ignore) return index;
  if (sizeOf(index.shape) === 0) return index;
  // What is an input of a traced function, or drawn anew for every run, has other values then.
  if (base.traced === undefined) {
    const known = op.kind === "data" && !op.refresh ? op.data : undefined;
    const values = known ?? (op.kind === "storage" ? op.storage.device.peek?.(op.storage) : undefined);
    if (values) {
      checkBounds(values, bounds);
      return index;
    }
  }
  const range = rangeOf(index);
  if (range && range[0] >= 0 && range[1] < bounds.size) return index;
  return makeNode({ kind: "inBounds", bounds }, [index], index.shape, index.dtype);
}

/** @throws RangeError naming the op, the first index outside, and the range */
export function checkBounds(values: ArrayLike<number>, bounds: Bounds): void {
  const { size, ignore } = bounds;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if ((value < 0 || value >= size) && value !== ignore) throw outside(bounds, value);
  }
}

export function outside({ op, what, size, ignore }: Bounds, value: number): RangeError {
  const but = ignore === undefined ? "" : ` and not the ignored ${ignore}`;
  return new RangeError(`${op}: ${what} ${value} is outside 0..${size - 1}${but}`);
}

/** The node that has the same values as `node`, each at least once: behind views that leave none out. */
export function valuesBehind(node: Node): Node {
  let at = node;
  for (;;) {
    const { kind } = at.op;
    const same = kind === "reshape" || kind === "permute" || kind === "alias" || kind === "detach";
    if (!same && kind !== "contiguous" && kind !== "expand") return at;
    at = at.inputs[0];
  }
}

/** Ops on ranges; integers are far from wrapping in all of them. */
const RANGE_OF: Readonly<Record<string, (a: Range, b: Range, c: Range) => Range | undefined>> = {
  minimum: (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1])],
  maximum: (a, b) => [Math.max(a[0], b[0]), Math.max(a[1], b[1])],
  where: (_, b, c) => [Math.min(b[0], c[0]), Math.max(b[1], c[1])],
  mod: (_, b) => (b[0] > 0 ? [0, b[1] - 1] : undefined),
};

type Range = readonly [number, number];

/** The least and greatest value an integer node can have, where its last few ops say so. */
function rangeOf(node: Node, depth = 8): Range | undefined {
  const { op } = node;
  if (depth === 0) return undefined;
  if (op.kind === "full") return [op.value, op.value];
  if (op.kind === "iota") return [0, sizeOf(node.shape) - 1];
  if (op.kind === "slice") return rangeOf(node.inputs[0], depth - 1);
  if (op.kind === "reduce" && (op.name === "max" || op.name === "min")) return rangeOf(node.inputs[0], depth - 1);
  if (op.kind === "elementwise" && op.name in RANGE_OF && (node.dtype === "i32" || node.dtype === "u32")) {
    const [a, b, c] = node.inputs.map((n) => rangeOf(valuesBehind(n), depth - 1) ?? anything(n));
    return RANGE_OF[op.name](a, b, c);
  }
  const base = valuesBehind(node);
  return base === node ? undefined : rangeOf(base, depth - 1);
}

const anything = ({ dtype }: Node): Range => (dtype === "u32" ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1]);
