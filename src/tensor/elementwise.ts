/**
 * The elementwise ops, one row each: the row is the op, on every device.
 *
 * A row gives the op's WGSL and float64 form, its derivative as an expression of tensor ops, and the domain and error
 * bound that the property tests use. Kernels, gradients, tests and docs/ops.md follow from it.
 *
 * WGSL forms must hold for scalars and for vec4 alike; literals go through `w.f(…)`, which splats them.
 *
 * The rows stand in `elementwise/`; this file joins them to the table and looks them up.
 */
import type { DType } from "./dtype.ts";
import { isFloat } from "./dtype.ts";
import { ARITHMETIC } from "./elementwise/arithmetic.ts";
import { COMPARISONS } from "./elementwise/comparisons.ts";
import { FUNCTIONS } from "./elementwise/functions.ts";
import type { DTypeClass, ElementwiseOp } from "./elementwise/row.ts";

export type { ElementwiseOp, WgslWidth } from "./elementwise/row.ts";

/** The table of elementwise ops: one row is an op on every device (docs/ops.md). */
export const ELEMENTWISE = { ...ARITHMETIC, ...FUNCTIONS, ...COMPARISONS } as const satisfies Record<
  string,
  ElementwiseOp
>;

/** The name of an elementwise op, see `ELEMENTWISE`. */
export type ElementwiseName = keyof typeof ELEMENTWISE;

export function elementwise(name: string): ElementwiseOp {
  const row = (ELEMENTWISE as Record<string, ElementwiseOp>)[name];
  if (!row) throw new Error(`no elementwise op named "${name}"`);
  return row;
}

/** The row's host form for operands of `dtype`. Results of integers are wrapped by the array they are stored in. */
export function hostForm(row: ElementwiseOp, dtype: DType): (x: number, y: number, z: number) => number {
  if (isFloat(dtype) || dtype === "bool") return row.f64;
  return (dtype === "u32" ? row.unsigned : undefined) ?? row.integer ?? row.f64;
}

/** Whether operands of `dtype` are in the class. */
export function inClass(dtype: DType, takes: DTypeClass): boolean {
  switch (takes) {
    case "any":
      return true;
    case "bool":
      return dtype === "bool";
    case "float":
      return isFloat(dtype);
    case "integer":
      return dtype === "i32" || dtype === "u32";
    case "number":
      return dtype !== "bool";
  }
}
