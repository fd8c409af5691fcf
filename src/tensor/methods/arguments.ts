/** What methods take besides tensors, and give besides them. */
import type { HostArray } from "../dtype.ts";
import type { Shape } from "../shape.ts";

/** One axis or several; negative ones count from the end. */
export type Axes = number | readonly number[];
/** One axis of an index: a position, `[start, stop]`, `[start, stop, step]`, or `null` for all. */
export type Range =
  | number
  | null
  | readonly [number | null, number | null]
  | readonly [number | null, number | null, number];
/** Numbers nested as a tensor's axes are. */
export type NestedArray = number | NestedArray[];

/** Values in row-major order as nested arrays; a number where there is no axis. */
export function nested(data: HostArray, shape: Shape): NestedArray {
  let at = 0;
  const nest = (axis: number): NestedArray =>
    axis === shape.length ? data[at++] : Array.from({ length: shape[axis] }, () => nest(axis + 1));
  return nest(0);
}
