/** Sizes of spatial ops: a number for all axes or one an axis, checked where a call gives them. */

/** One number for every spatial axis, or one an axis, the outermost first. */
export type PerAxis = number | readonly number[];

/** `value` for each of `rank` axes. */
export function perAxis(op: string, name: string, value: PerAxis, rank: number, least: number): number[] {
  const list = typeof value === "number" ? new Array<number>(rank).fill(value) : value;
  const fits = Array.isArray(list) && list.length === rank && list.every((n) => Number.isInteger(n) && n >= least);
  if (!fits) {
    throw new Error(
      `${op}: ${name} is ${JSON.stringify(value)}; it must be a whole number of at least ${least}, or ${rank} of them`,
    );
  }
  return [...(list as readonly number[])];
}

/** Windows that fit in `length` elements, of which a window spans `span`. */
export function windowCount(length: number, span: number, stride: number): number {
  return Math.floor((length - span) / stride) + 1;
}

/** Elements that a window spans. */
export function spanOf(size: number, dilation: number): number {
  return (size - 1) * dilation + 1;
}
