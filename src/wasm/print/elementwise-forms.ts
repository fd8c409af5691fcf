/**
 * The elementwise ops over four lanes, by name: what a row of `src/tensor/elementwise.ts` is in WebAssembly.
 *
 * Bools are masks: all bits of a lane, or none.
 */
import type { DType } from "../../tensor/dtype.ts";
import type { ElementwiseName } from "../../tensor/elementwise/values.ts";
import type { WasmFeatures } from "../assembler/features.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, i32x4, select, v128 } from "../assembler/instructions.ts";
import * as math from "./math.ts";

/** Where a form's statements go, and what it may use. */
interface FormContext {
  readonly f: FunctionBuilder;
  readonly features: WasmFeatures;
}

/** Operands are locals or constants: using one twice costs nothing. `dtype` is that of the last operand. */
type ElementwiseForm = (c: FormContext, x: Value, y: Value, z: Value, dtype: DType) => Value;

type Binary = (x: Value, y: Value) => Value;

const one = f32x4.const(1);
const zero = f32x4.const(0);

/** Forms of floats, signed and unsigned integers. */
function byType(float: Binary, signed: Binary, unsigned: Binary = signed): ElementwiseForm {
  return (_, x, y, _z, dtype) => (dtype === "f32" ? float(x, y) : dtype === "i32" ? signed(x, y) : unsigned(x, y));
}

const float1 =
  (form: math.VectorFunction): ElementwiseForm =>
  (c, x) =>
    form(c.f, c.features, x);
const plain1 =
  (form: (x: Value) => Value): ElementwiseForm =>
  (_, x) =>
    form(x);
const plain2 =
  (form: Binary): ElementwiseForm =>
  (_, x, y) =>
    form(x, y);

/** Lane by lane, on scalars. */
function lanewise({ f }: FormContext, x: Value, y: Value, scalar: Binary): Value {
  let result: Value | undefined;
  for (let lane = 0; lane < 4; lane++) {
    const value = scalar(f.name(i32x4.extract(x, lane)), f.name(i32x4.extract(y, lane)));
    result = f.name(result ? i32x4.replace(result, lane, value) : i32x4.splat(value));
  }
  return result!;
}

/** ⌊x/y⌋ and the rest with the sign of y; 0 for y = 0. −2³¹/−1 wraps: WebAssembly's own division traps there. */
function floorDivision(c: FormContext, x: Value, y: Value, dtype: DType, wanted: "quotient" | "rest"): Value {
  return lanewise(c, x, y, (a, b) => {
    const { f } = c;
    if (dtype === "u32") {
      const divisor = f.name(select(b, b, i32.const(1)));
      const value = wanted === "quotient" ? i32.divU(a, divisor) : i32.remU(a, divisor);
      return f.name(select(b, value, i32.const(0)));
    }
    const harmless = i32.gtU(i32.add(b, i32.const(1)), i32.const(1));
    const divisor = f.name(select(harmless, b, i32.const(1)));
    const truncated = f.name(select(harmless, i32.divS(a, divisor), i32.sub(i32.const(0), a)));
    const rest = f.name(i32.sub(a, i32.mul(truncated, b)));
    // A rest whose sign is not the divisor's: one less.
    const below = f.name(i32.and(i32.ne(rest, i32.const(0)), i32.ltS(i32.xor(rest, b), i32.const(0))));
    const value = wanted === "quotient" ? i32.sub(truncated, below) : i32.add(rest, i32.mul(below, b));
    return f.name(select(b, value, i32.const(0)));
  });
}

const sizeBits = (x: Value) => v128.and(x, i32x4.const(0x7fffffff));
const INFINITY_BITS = i32x4.const(0x7f800000);

const equal = byType(f32x4.eq, i32x4.eq);
const unequal = byType(f32x4.ne, i32x4.ne);

const GELU_SCALE = Math.sqrt(2 / Math.PI);

export const ELEMENTWISE_FORMS: Record<ElementwiseName, ElementwiseForm> = {
  // --- arithmetic
  add: byType(f32x4.add, i32x4.add),
  sub: byType(f32x4.sub, i32x4.sub),
  mul: byType(f32x4.mul, i32x4.mul),
  div: plain2(f32x4.div),
  floorDiv: (c, x, y, _, dtype) => floorDivision(c, x, y, dtype, "quotient"),
  mod: (c, x, y, _, dtype) => floorDivision(c, x, y, dtype, "rest"),
  pow: (c, x, y) => math.pow(c.f, c.features, x, y),
  neg: byType(f32x4.neg, i32x4.neg),
  abs: byType(f32x4.abs, i32x4.abs, (x) => x),
  sign: ({ f }, x) => {
    const size = v128.and(f32x4.ne(x, zero), one);
    const signed = f.name(v128.or(size, v128.and(x, i32x4.const(0x80000000))));
    return v128.bitselect(signed, x, f32x4.eq(x, x));
  },
  maximum: byType(f32x4.max, i32x4.maxS, i32x4.maxU),
  minimum: byType(f32x4.min, i32x4.minS, i32x4.minU),
  square: (_, x, _y, _z, dtype) => (dtype === "f32" ? f32x4.mul(x, x) : i32x4.mul(x, x)),
  reciprocal: plain1((x) => f32x4.div(one, x)),
  sqrt: plain1(f32x4.sqrt),
  rsqrt: plain1((x) => f32x4.div(one, f32x4.sqrt(x))),

  // --- exponentials and trigonometry
  exp: float1(math.exp),
  log: float1(math.log),
  expm1: float1(math.expm1),
  log1p: float1(math.log1p),
  sin: float1(math.sin),
  cos: float1(math.cos),
  tan: ({ f, features }, x) => f32x4.div(math.sin(f, features, x), math.cos(f, features, x)),
  atan: float1(math.atan),
  tanh: float1(math.tanh),
  erf: float1(math.erf),

  // --- activations
  sigmoid: float1(math.sigmoid),
  softplus: ({ f, features }, x) => {
    const small = math.exp(f, features, f32x4.neg(f32x4.abs(x)));
    return f32x4.add(f32x4.pmax(x, zero), math.log1p(f, features, small));
  },
  // A NaN stays one: pmax gives its first operand then.
  relu: plain1((x) => f32x4.pmax(x, zero)),
  elu: ({ f, features }, x) => v128.bitselect(x, math.expm1(f, features, f32x4.pmin(x, zero)), f32x4.gt(x, zero)),
  silu: ({ f, features }, x) => f32x4.mul(x, math.sigmoid(f, features, x)),
  gelu: ({ f, features }, x) => {
    const phi = math.erf(f, features, f32x4.mul(x, f32x4.const(Math.SQRT1_2)));
    return f32x4.mul(f32x4.mul(x, f32x4.const(0.5)), f32x4.add(phi, one));
  },
  geluTanh: ({ f, features }, x) => {
    const cubic = f32x4.mul(f32x4.mul(f32x4.mul(x, x), x), f32x4.const(0.044715));
    const inner = math.tanh(f, features, f32x4.mul(f32x4.add(x, cubic), f32x4.const(GELU_SCALE)));
    return f32x4.mul(f32x4.mul(x, f32x4.const(0.5)), f32x4.add(inner, one));
  },

  // --- rounding
  floor: plain1(f32x4.floor),
  ceil: plain1(f32x4.ceil),
  trunc: plain1(f32x4.trunc),
  round: plain1(f32x4.nearest),

  // --- comparison and selection
  eq: equal,
  ne: unequal,
  lt: byType(f32x4.lt, i32x4.ltS, i32x4.ltU),
  le: byType(f32x4.le, i32x4.leS, i32x4.leU),
  gt: byType(f32x4.gt, i32x4.gtS, i32x4.gtU),
  ge: byType(f32x4.ge, i32x4.geS, i32x4.geU),
  isNaN: plain1((x) => i32x4.gtS(sizeBits(x), INFINITY_BITS)),
  isFinite: plain1((x) => i32x4.ltS(sizeBits(x), INFINITY_BITS)),
  and: plain2(v128.and),
  or: plain2(v128.or),
  not: plain1(v128.not),
  where: (_, condition, x, y) => v128.bitselect(x, y, condition),

  // --- bits
  bitAnd: plain2(v128.and),
  bitOr: plain2(v128.or),
  bitXor: plain2(v128.xor),
  shiftLeft: (c, x, y) => lanewise(c, x, y, i32.shl),
  shiftRight: (c, x, y, _, dtype) => lanewise(c, x, y, dtype === "u32" ? i32.shrU : i32.shrS),
};
