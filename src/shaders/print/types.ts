/** WGSL spellings of dtypes and of constants. */
import type { DType } from "../../tensor/dtype.ts";

export type RegisterType = "f32" | "i32" | "u32" | "bool";

/** The type a value of `dtype` has in registers: f16 is computed in f32. */
export function registerType(dtype: DType): RegisterType {
  if (dtype === "f64") throw new Error("float64 tensors exist on the reference device only; cast to f32 first");
  return dtype === "f16" ? "f32" : dtype;
}

/** The type of an element in a buffer: bools are kept as u32. */
export function storageType(dtype: DType): "f32" | "f16" | "i32" | "u32" {
  return dtype === "f16" ? "f16" : dtype === "bool" ? "u32" : (registerType(dtype) as "f32" | "i32" | "u32");
}

export function typeName(type: string, lanes: 1 | 4): string {
  return lanes === 4 ? `vec4<${type}>` : type;
}

const LARGEST_FLOAT = 3.4028234663852886e38;

/** A constant. Infinities become the largest finite value: WGSL cannot spell them. */
export function literal(value: number, dtype: DType): string {
  switch (registerType(dtype)) {
    case "bool":
      return value ? "true" : "false";
    case "i32":
      // The most negative integer has no literal of its own.
      return value === -2147483648 ? "(-2147483647 - 1)" : value < 0 ? `(${value})` : String(value);
    case "u32":
      return `${value >>> 0}u`;
    case "f32": {
      const v = Math.min(Math.max(value, -LARGEST_FLOAT), LARGEST_FLOAT);
      const f = Math.fround(v);
      const text = `${Number.isFinite(f) ? f : v}f`;
      return v < 0 || Object.is(v, -0) ? `(${Object.is(v, -0) ? "-0f" : text})` : text;
    }
  }
}
