/**
 * Strided memory to row-major order: how a transposed, sliced or expanded tensor, or a Fortran-order array, is read.
 */
import type { TypedArray } from "./host-tensor.ts";

/** Whether `strides` (in elements) are those of a row-major array of `shape`; axes of size 1 may have any stride. */
export function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}

/**
 * Copies the elements `source[offset + Σ index[a]·strides[a]]` to `target` in row-major order of `shape`.
 * `target` has one element for each index; the caller has checked that every index is inside `source`.
 *
 * The innermost two axes are walked in square tiles, so that a transposition reads and writes whole cache lines.
 */
export function copyStrided(
  source: TypedArray,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
  target: TypedArray,
): void {
  if (target.length === 0) return;
  // Both arrays have the same element type; their union type would make every access a union of signatures.
  const from = source as unknown as Float64Array;
  const to = target as unknown as Float64Array;
  const axes = shape.map((size, axis) => ({ size, stride: strides[axis] })).filter(({ size }) => size !== 1);
  while (axes.length < 2) axes.unshift({ size: 1, stride: 0 });

  // Walk the axis of least stride together with the last one: one is contiguous to read, the other to write.
  const last = axes.length - 1;
  const targetStrides = new Array<number>(axes.length);
  for (let axis = last, stride = 1; axis >= 0; axis--) {
    targetStrides[axis] = stride;
    stride *= axes[axis].size;
  }
  let partner = last - 1;
  for (let axis = 0; axis < last; axis++) if (axes[axis].stride < axes[partner].stride) partner = axis;
  const outer = axes.map((_, axis) => axis).filter((axis) => axis !== last && axis !== partner);
  const index = new Array<number>(outer.length).fill(0);
  const tile = 32;
  const rows = axes[partner].size;
  const columns = axes[last].size;
  const rowFrom = axes[partner].stride;
  const columnFrom = axes[last].stride;
  const rowTo = targetStrides[partner];

  let sourceBase = offset;
  let targetBase = 0;
  for (;;) {
    for (let r0 = 0; r0 < rows; r0 += tile) {
      const r1 = Math.min(rows, r0 + tile);
      for (let c0 = 0; c0 < columns; c0 += tile) {
        const c1 = Math.min(columns, c0 + tile);
        for (let r = r0; r < r1; r++) {
          let read = sourceBase + r * rowFrom + c0 * columnFrom;
          let write = targetBase + r * rowTo + c0;
          for (let c = c0; c < c1; c++, read += columnFrom) to[write++] = from[read];
        }
      }
    }
    let depth = outer.length - 1;
    for (; depth >= 0; depth--) {
      const axis = outer[depth];
      sourceBase += axes[axis].stride;
      targetBase += targetStrides[axis];
      if (++index[depth] < axes[axis].size) break;
      sourceBase -= axes[axis].stride * axes[axis].size;
      targetBase -= targetStrides[axis] * axes[axis].size;
      index[depth] = 0;
    }
    if (depth < 0) return;
  }
}
