/**
 * The builder of forms in WebAssembly: what the elementwise ops are over four lanes.
 *
 * Bools are masks: all bits of a lane, or none.
 */
import type { FormBuilder } from "../../tensor/elementwise/builder.ts";
import type { DType } from "../../tensor/dtype.ts";
import { multiplyAdd, negativeMultiplyAdd } from "../assembler/features.ts";
import type { WasmFeatures } from "../assembler/features.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, i32x4, select, v128 } from "../assembler/instructions.ts";
import * as math from "./math.ts";

type Binary = (x: Value, y: Value) => Value;

const sizeBits = (x: Value) => v128.and(x, i32x4.const(0x7fffffff));
const SIGN = i32x4.const(0x80000000);
const INFINITY_BITS = i32x4.const(0x7f800000);

/** Forms of floats, and those that are one for all dtypes. */
const FLOATS = {
  ...f32x4,
  maximum: f32x4.max,
  minimum: f32x4.min,
  round: f32x4.nearest,
  isNaN: (x: Value) => i32x4.gtS(sizeBits(x), INFINITY_BITS),
  isFinite: (x: Value) => i32x4.ltS(sizeBits(x), INFINITY_BITS),
  and: v128.and,
  or: v128.or,
  not: v128.not,
  where: (mask: Value, x: Value, y: Value) => v128.bitselect(x, y, mask),
  bitAnd: v128.and,
  bitOr: v128.or,
  bitXor: v128.xor,
  withSign: (size: Value, x: Value) => v128.or(size, v128.and(x, SIGN)),
  carrying: (value: Value) => value,
  above: (_low: number, x: Value, value: (x: Value) => Value) => value(x),
};
const SIGNED = {
  ...FLOATS,
  ...i32x4,
  maximum: i32x4.maxS,
  minimum: i32x4.minS,
  lt: i32x4.ltS,
  le: i32x4.leS,
  gt: i32x4.gtS,
  ge: i32x4.geS,
};
const UNSIGNED = {
  ...SIGNED,
  abs: (x: Value) => x,
  maximum: i32x4.maxU,
  minimum: i32x4.minU,
  lt: i32x4.ltU,
  le: i32x4.leU,
  gt: i32x4.gtU,
  ge: i32x4.geU,
};

/** The builder whose statements go into `f`, for operands of a dtype. */
export function wasmForms(f: FunctionBuilder, features: WasmFeatures, dtype: DType = "f32"): FormBuilder<Value> {
  const name = (value: Value) => f.name(value);

  /** Lane by lane, on scalars. */
  function lanewise(x: Value, y: Value, scalar: Binary): Value {
    let result: Value | undefined;
    for (let lane = 0; lane < 4; lane++) {
      const value = scalar(name(i32x4.extract(x, lane)), name(i32x4.extract(y, lane)));
      result = name(result ? i32x4.replace(result, lane, value) : i32x4.splat(value));
    }
    return result!;
  }

  /** ⌊x/y⌋ and the rest with the sign of y; 0 for y = 0. −2³¹/−1 wraps: WebAssembly's own division traps there. */
  const floorDivision =
    (wanted: "quotient" | "rest"): Binary =>
    (x, y) =>
      lanewise(x, y, (a, b) => {
        if (dtype === "u32") {
          const divisor = name(select(b, b, i32.const(1)));
          const value = wanted === "quotient" ? i32.divU(a, divisor) : i32.remU(a, divisor);
          return name(select(b, value, i32.const(0)));
        }
        const harmless = i32.gtU(i32.add(b, i32.const(1)), i32.const(1));
        const divisor = name(select(harmless, b, i32.const(1)));
        const truncated = name(select(harmless, i32.divS(a, divisor), i32.sub(i32.const(0), a)));
        const rest = name(i32.sub(a, i32.mul(truncated, b)));
        // A rest whose sign is not the divisor's: one less.
        const below = name(i32.and(i32.ne(rest, i32.const(0)), i32.ltS(i32.xor(rest, b), i32.const(0))));
        const value = wanted === "quotient" ? i32.sub(truncated, below) : i32.add(rest, i32.mul(below, b));
        return name(select(b, value, i32.const(0)));
      });

  const builder: FormBuilder<Value> = {
    ...(dtype === "f32" ? FLOATS : dtype === "i32" ? SIGNED : UNSIGNED),
    name,
    floorDiv: floorDivision("quotient"),
    mod: floorDivision("rest"),
    sign: (x) => {
      const zero = f32x4.const(0);
      const size = v128.and(f32x4.ne(x, zero), f32x4.const(1));
      return v128.bitselect(name(v128.or(size, v128.and(x, SIGN))), x, f32x4.eq(x, x));
    },
    shiftLeft: (x, y) => lanewise(x, y, i32.shl),
    shiftRight: (x, y) => lanewise(x, y, dtype === "u32" ? i32.shrU : i32.shrS),
    exp: (x) => math.exp(builder, x),
    expm1: (x) => math.expm1(builder, x),
    log: (x) => math.log(builder, x),
    log1p: (x) => math.log1p(builder, x),
    pow: (x, y) => math.pow(builder, x, y),
    multiplyAdd: (x, y, z) => multiplyAdd(features, x, y, z),
    negativeMultiplyAdd: (x, y, z) => negativeMultiplyAdd(features, x, y, z),
    // The first part is the parity, the second turns the sign.
    turned: (n, quarters, odd, even) => {
      const k = name(i32x4.add(i32x4.truncSatF32x4S(n), i32x4.const(quarters)));
      const isEven = i32x4.ne(v128.and(k, i32x4.const(1)), i32x4.const(0));
      const sign = i32x4.shl(v128.and(k, i32x4.const(2)), i32.const(30));
      return v128.xor(v128.bitselect(even, odd, isEven), sign);
    },
  };
  return builder;
}
