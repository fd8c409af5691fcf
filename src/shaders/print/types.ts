/** WGSL spellings of dtypes and of constants. */
import type { DType } from "../../tensor/dtype.ts";

type RegisterType = "f32" | "i32" | "u32" | "bool";

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

/**
 * Numbers by their bits, behind a variable: those that WGSL cannot spell, since a constant expression may not make them,
 * and −0, which compilers take for 0 where both stand in a program.
 */
const UNSPELLED: Readonly<Record<string, string>> = {
  positive_infinity: "0x7f800000u",
  negative_infinity: "0xff800000u",
  not_a_number: "0x7fc00000u",
  negative_zero: "0x80000000u",
};

/** Program text with the variables declared that `literal` named in it. */
export function withUnspelled(wgsl: string): string {
  const declared = Object.entries(UNSPELLED).flatMap(([name, bits]) =>
    wgsl.includes(`(${name}_bits)`) ? [`var<private> ${name}_bits: u32 = ${bits};`] : [],
  );
  return [wgsl, ...declared].join("\n");
}

/** A constant. The program has to pass through `withUnspelled` where it may be infinite, −0 or not a number. */
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
      const f = Math.fround(value);
      if (Number.isNaN(f)) return "bitcast<f32>(not_a_number_bits)";
      if (!Number.isFinite(f)) return `bitcast<f32>(${f > 0 ? "positive" : "negative"}_infinity_bits)`;
      if (Object.is(f, -0)) return "bitcast<f32>(negative_zero_bits)";
      return f < 0 ? `(${f}f)` : `${f}f`;
    }
  }
}
