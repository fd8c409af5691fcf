/** How a reduction's values become one: what each operation starts from, and how two vectors of lanes are combined. */
import type { DType } from "../../tensor/dtype.ts";
import type { ReduceName } from "../../tensor/node.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32x4 } from "../assembler/instructions.ts";

/** What a reduction starts from, in every lane. */
export function identity(name: ReduceName, dtype: DType): Value {
  const float = dtype === "f32";
  switch (name) {
    case "sum":
      return float ? f32x4.const(0) : i32x4.const(0);
    case "prod":
      return float ? f32x4.const(1) : i32x4.const(1);
    case "max":
      return float ? f32x4.const(-Infinity) : i32x4.const(dtype === "i32" ? -2147483648 : 0);
    case "min":
      return float ? f32x4.const(Infinity) : i32x4.const(dtype === "i32" ? 2147483647 : 4294967295);
  }
}

/** Lane by lane. A NaN stays one. */
export function combine(name: ReduceName, dtype: DType, x: Value, y: Value): Value {
  const operation = {
    sum: [f32x4.add, i32x4.add, i32x4.add],
    prod: [f32x4.mul, i32x4.mul, i32x4.mul],
    max: [f32x4.max, i32x4.maxS, i32x4.maxU],
    min: [f32x4.min, i32x4.minS, i32x4.minU],
  }[name][dtype === "f32" ? 0 : dtype === "i32" ? 1 : 2];
  return operation(x, y);
}
