/** Elementwise ops as the graph knows them: looked up by name, with what they take and what they are on the host. */
import type { DType } from "./dtype.ts";
import { isFloat } from "./dtype.ts";
import type { DTypeClass, ElementwiseValue } from "./elementwise/row.ts";
import { VALUES } from "./elementwise/values.ts";

export function elementwise(name: string): ElementwiseValue {
  const row = (VALUES as Record<string, ElementwiseValue>)[name];
  if (!row) throw new Error(`no elementwise op named "${name}"`);
  return row;
}

/** The row's host form for operands of `dtype`. Results of integers are wrapped by the array they are stored in. */
export function hostForm(row: ElementwiseValue, dtype: DType): (x: number, y: number, z: number) => number {
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
