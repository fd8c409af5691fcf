/**
 * Elementary functions over four float32 lanes.
 *
 * Each reduces its argument to a short interval and evaluates a polynomial (tanh: a quotient of two) there. The
 * coefficients are minimax fits to the functions themselves, of the degree that leaves the error to float32's rounding.
 * Splitting constants in two parts so that their products with small integers are exact is Cody and Waite's, Software
 * Manual for the Elementary Functions (1980).
 *
 * Errors are in units in the last place (ULP) of the result, the largest over dense sweeps (test/wasm/print/math.test.ts), with
 * and without fused multiply-add. NaN gives NaN everywhere.
 */
import { multiplyAdd, negativeMultiplyAdd } from "../assembler/features.ts";
import type { WasmFeatures } from "../assembler/features.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, i32x4, v128 } from "../assembler/instructions.ts";

/** A function of four lanes; `f` takes the statements that compute it. */
export type VectorFunction = (f: FunctionBuilder, features: WasmFeatures, x: Value) => Value;

const { add, sub, mul, div, pmin, pmax } = f32x4;
const constant = f32x4.const;

/** ln 2 as 355/512 and a rest: small integers times the first part are exact. */
const LN2_HIGH = 355 / 512;
const LN2_LOW = -2.121944400546906e-4;
const LOG2_E = 1 / Math.LN2;
const INFINITY = constant(Infinity);

/** c₀ + c₁x + c₂x² + … */
function polynomial(f: FunctionBuilder, features: WasmFeatures, x: Value, coefficients: readonly number[]): Value {
  let sum = constant(coefficients[coefficients.length - 1]);
  for (let i = coefficients.length - 2; i >= 0; i--) sum = multiplyAdd(features, sum, x, constant(coefficients[i]));
  return f.name(sum);
}

/** eʳ = 1 + r + r²·P(r) for |r| ≤ ln 2 / 2. */
const EXP_TAIL = [0.4999999341, 0.1666652011, 0.04166839423, 0.008368780661, 0.001381446697];

/** Added to a number below 2²² it leaves the number's nearest integer, plus 126, in the low bits. */
const ROUND_BIASED = 1.5 * 2 ** 23 + 126;

/** x = n·ln 2 + r with |r| ≤ ln 2 / 2, and 2ⁿ⁻¹ (0 for n = −126). For x within −87.3…89. */
function reduceExponent(f: FunctionBuilder, features: WasmFeatures, x: Value): { r: Value; halfPower: Value } {
  const biased = f.name(multiplyAdd(features, x, constant(LOG2_E), constant(ROUND_BIASED)));
  const n = f.name(sub(biased, constant(ROUND_BIASED)));
  const high = negativeMultiplyAdd(features, n, constant(LN2_HIGH), x);
  const r = f.name(negativeMultiplyAdd(features, n, constant(LN2_LOW), high));
  return { r, halfPower: i32x4.shl(biased, i32.const(23)) };
}

/** eˣ: 1.2 ULP. Infinite from 88.73 on; 0 below −87.0, where results would be within 2 % of the smallest normal number. */
export const exp: VectorFunction = (f, features, x) => {
  const inside = f.name(pmax(pmin(x, constant(89)), constant(-87.3)));
  const { r, halfPower } = reduceExponent(f, features, inside);
  // Twice the polynomial, for half the power: 2¹²⁸ is no float.
  const tail = polynomial(
    f,
    features,
    r,
    EXP_TAIL.map((c) => 2 * c),
  );
  const first = multiplyAdd(features, tail, r, constant(2));
  return f.name(mul(multiplyAdd(features, first, r, constant(2)), halfPower));
};

/** eˣ − 1: 1.7 ULP, −1 below −17.4. */
export const expm1: VectorFunction = (f, features, x) => {
  const inside = f.name(pmax(pmin(x, constant(89)), constant(-17.4)));
  const { r, halfPower } = reduceExponent(f, features, inside);
  const power = f.name(halfPower);
  const tail = polynomial(f, features, r, [0.4999999814, 0.1666654318, 0.04166720179, 0.008366580589, 0.001388251023]);
  const small = multiplyAdd(features, f.name(mul(r, r)), tail, r);
  const half = f.name(multiplyAdd(features, small, power, sub(power, constant(0.5))));
  return f.name(add(half, half));
};

/** log(1 + f) = f − (f²/2 − s·(f²/2 + R(s²))) with s = f/(2 + f). */
const LOG_TAIL = [0.6666666564, 0.4000033758, 0.285371455, 0.2358544067];

/** log of positive numbers, plus `low`; zero, negative, infinite and NaN arguments get their special values. */
function logPlus(f: FunctionBuilder, features: WasmFeatures, given: Value, low?: Value): Value {
  return logParts(f, features, given, low).value;
}

/** The same with what rounding its last sum has lost, for positive normal numbers. */
function logParts(
  f: FunctionBuilder,
  features: WasmFeatures,
  given: Value,
  low?: Value,
): { readonly value: Value; readonly lost: Value } {
  // Subnormal numbers are scaled to normal ones.
  const tiny = f.name(f32x4.lt(given, constant(2 ** -126)));
  const x = f.name(v128.bitselect(mul(given, constant(2 ** 23)), given, tiny));
  // x = 2ᵉ·m with m in √½…√2: the exponent's bits, counted from √½.
  const fromRoot = f.name(i32x4.sub(x, i32x4.const(0x3f3504f3)));
  const exponent = f.name(i32x4.shrS(fromRoot, i32.const(23)));
  const m = i32x4.sub(x, i32x4.shl(exponent, i32.const(23)));
  const e = f.name(add(f32x4.convertI32x4S(exponent), v128.and(tiny, constant(-23))));
  const part = f.name(sub(m, constant(1)));
  const s = f.name(div(part, add(part, constant(2))));
  const s2 = f.name(mul(s, s));
  const tail = mul(s2, polynomial(f, features, s2, LOG_TAIL));
  const half = f.name(mul(mul(part, constant(0.5)), part));
  const least = low ? multiplyAdd(features, e, constant(LN2_LOW), low) : mul(e, constant(LN2_LOW));
  const rest = multiplyAdd(features, s, add(half, tail), least);
  const fraction = f.name(sub(part, sub(half, rest)));
  const sum = f.name(multiplyAdd(features, e, constant(LN2_HIGH), fraction));
  // 0 → −∞, negative → NaN, ∞ → ∞, NaN → NaN.
  const ordinary = v128.and(f32x4.gt(given, constant(0)), f32x4.lt(given, INFINITY));
  const special = v128.bitselect(constant(-Infinity), f32x4.sqrt(given), f32x4.eq(given, constant(0)));
  // The whole part is exact, and where it is not 0 it is the larger one.
  const lost = v128.and(sub(fraction, sub(sum, mul(e, constant(LN2_HIGH)))), f32x4.ne(e, constant(0)));
  return { value: f.name(v128.bitselect(sum, special, ordinary)), lost };
}

/** Natural logarithm: 1 ULP. −∞ at 0, NaN below. */
export const log: VectorFunction = (f, features, x) => logPlus(f, features, f.name(x));

/** log(1 + x): 1.5 ULP. What 1 + x loses by rounding is put back. */
export const log1p: VectorFunction = (f, features, given) => {
  const x = f.name(given);
  const sum = f.name(add(x, constant(1)));
  const lost = div(sub(x, sub(sum, constant(1))), sum);
  const ordinary = v128.and(f32x4.gt(sum, constant(0)), f32x4.lt(sum, INFINITY));
  const value = logPlus(f, features, sum, f.name(v128.and(lost, ordinary)));
  // The sign of −0 stays.
  return f.name(v128.bitselect(x, value, f32x4.eq(x, constant(0))));
};

/** Here the quotient is above 1 by more than its rounding errors: cut to 1, it is exact from here on. */
const TANH_END = 10;

/** Hyperbolic tangent, x·P(x²)/Q(x²): 6 ULP; ±1 beyond ±10. */
export const tanh: VectorFunction = (f, features, x) => {
  const inside = f.name(pmax(pmin(x, constant(TANH_END)), constant(-TANH_END)));
  const square = f.name(mul(inside, inside));
  const p = polynomial(
    f,
    features,
    square,
    [0.9999999772, 0.1337447379, 0.003487809426, 2.048116165e-5, 1.317749058e-8],
  );
  const q = polynomial(f, features, square, [1, 0.4670778757, 0.0258473823, 0.0003272917606, 7.704032496e-7]);
  return f.name(pmax(pmin(div(mul(inside, p), q), constant(1)), constant(-1)));
};

/** 1 / (1 + e⁻ˣ): 2.5 ULP, also where it is near 0; 0 below −88.7. */
export const sigmoid: VectorFunction = (f, features, x) =>
  f.name(div(constant(1), add(exp(f, features, f32x4.neg(x)), constant(1))));

/** Error function: 2.5 ULP. x·P(x²) below 0.9, 1 − e^Q(|x|) beyond. */
export const erf: VectorFunction = (f, features, given) => {
  const x = f.name(given);
  const square = f.name(mul(x, x));
  const near = mul(
    x,
    polynomial(
      f,
      features,
      square,
      [1.128379167, -0.3761263498, 0.1128371503, -0.0268605085, 0.005203859214, -0.0008175639651, 8.513104762e-5],
    ),
  );
  const size = f.name(f32x4.abs(x));
  const inside = f.name(pmin(size, constant(4.1)));
  const exponent = polynomial(
    f,
    features,
    inside,
    [
      0.0001545012183, -1.129415621, -0.6335520193, -0.10804977, 0.02496768949, -0.004112449634, 0.0004221774806,
      -2.001769661e-5,
    ],
  );
  const far = withSign(sub(constant(1), exp(f, features, exponent)), x);
  return f.name(v128.bitselect(near, far, f32x4.lt(size, constant(0.9))));
};

/** A number that is not negative, with the sign of another. */
function withSign(size: Value, x: Value): Value {
  return v128.or(size, v128.and(x, i32x4.const(0x80000000)));
}

/** sin or cos, by quarter turns: the angle less n·π/2 in three parts, the first two of 11 bits. */
function turned(f: FunctionBuilder, features: WasmFeatures, x: Value, quarters: 0 | 1): Value {
  const angle = f.name(x);
  const n = f.name(f32x4.nearest(mul(angle, constant(2 / Math.PI))));
  const high = negativeMultiplyAdd(features, n, constant(1.5703125), angle);
  const middle = negativeMultiplyAdd(features, n, constant(0.00048351287841796875), high);
  const r = f.name(negativeMultiplyAdd(features, n, constant(3.13916478650481e-7), middle));
  const r2 = f.name(mul(r, r));
  const oddTail = polynomial(f, features, r2, [-0.1666666664, 0.008333329302, -0.0001983931147, 2.718114019e-6]);
  const odd = multiplyAdd(features, mul(r, r2), oddTail, r);
  const evenTail = polynomial(f, features, r2, [0.04166664567, -0.001388731561, 2.443308169e-5]);
  const even = multiplyAdd(
    features,
    mul(r2, r2),
    evenTail,
    negativeMultiplyAdd(features, r2, constant(0.5), constant(1)),
  );
  const k = f.name(i32x4.add(i32x4.truncSatF32x4S(n), i32x4.const(quarters)));
  const isEven = i32x4.ne(v128.and(k, i32x4.const(1)), i32x4.const(0));
  const sign = i32x4.shl(v128.and(k, i32x4.const(2)), i32.const(30));
  return f.name(v128.xor(v128.bitselect(even, odd, isEven), sign));
}

/** Sine: error at most 1.6·2⁻²⁴ for |x| up to 10⁴; NaN at ±∞. */
export const sin: VectorFunction = (f, features, x) => turned(f, features, x, 0);

/** Cosine: as `sin`. */
export const cos: VectorFunction = (f, features, x) => turned(f, features, x, 1);

/** Arc tangent: 2.5 ULP. */
export const atan: VectorFunction = (f, features, given) => {
  const x = f.name(given);
  const size = f.name(f32x4.abs(x));
  const large = f.name(f32x4.gt(size, constant(1)));
  const t = f.name(v128.bitselect(div(constant(1), size), size, large));
  const t2 = f.name(mul(t, t));
  const tail = polynomial(
    f,
    features,
    t2,
    [
      -0.3333329909, 0.1999854827, -0.1426424154, 0.1095218499, -0.08403447869, 0.05795754865, -0.0311777984,
      0.01091457887, -0.001793615394,
    ],
  );
  const value = f.name(multiplyAdd(features, mul(t, t2), tail, t));
  // π/2 has a rest that float32 does not hold.
  const complement = sub(
    constant(Math.fround(Math.PI / 2)),
    sub(value, constant(Math.PI / 2 - Math.fround(Math.PI / 2))),
  );
  return f.name(withSign(v128.bitselect(complement, value, large), x));
};

/** The largest float32. */
const MOST = (2 - 2 ** -23) * 2 ** 127;
/** ln of what is rounded to 2¹²⁸, in two parts: from here on a power is infinite. */
const POWER_END = Math.fround(128 * Math.LN2);
const POWER_END_REST = 128 * Math.LN2 - 2 ** -25 - POWER_END;
/** Splits a number in two of 12 bits, whose products are exact (Dekker, Numerische Mathematik 18, 1971). */
const SPLITTER = 2 ** 12 + 1;

function halves(f: FunctionBuilder, x: Value): readonly [Value, Value] {
  const scaled = f.name(mul(x, constant(SPLITTER)));
  const high = f.name(sub(scaled, sub(scaled, x)));
  return [high, f.name(sub(x, high))];
}

/**
 * A power near the largest floats, where an error of its exponent would decide whether it is infinite: y·(log + lost) is
 * formed in two parts and compared with the end of the range.
 */
function heldFinite(f: FunctionBuilder, size: Value, y: Value, log: Value, lost: Value): Value {
  const product = f.name(mul(y, log));
  const [[y1, y2], [l1, l2]] = [halves(f, y), halves(f, log)];
  const rounding = add(add(add(sub(mul(y1, l1), product), mul(y1, l2)), mul(y2, l1)), mul(y2, l2));
  const over = f.name(add(sub(product, constant(POWER_END)), add(rounding, mul(y, lost))));
  const near = f32x4.lt(f32x4.abs(over), constant(0.5));
  const value = v128.bitselect(INFINITY, pmin(size, constant(MOST)), f32x4.ge(over, constant(POWER_END_REST)));
  return f.name(v128.bitselect(value, size, near));
}

/**
 * x^y: relative error (3 + 2·|y·ln x|)·2⁻²⁴, and rounded once for the exponents 1, 2, −1 and, of positive x, ½. Negative x
 * with whole y as C's pow, NaN where y is not whole; x⁰ is 1. Infinite where x^y is above the largest float, decided to
 * within |y|·2⁻²⁴.
 */
export function pow(f: FunctionBuilder, features: WasmFeatures, base: Value, exponent: Value): Value {
  const [x, y] = [f.name(base), f.name(exponent)];
  const { value: log, lost } = logParts(f, features, f.name(f32x4.abs(x)));
  const size = heldFinite(f, exp(f, features, mul(y, log)), y, log, lost);
  const half = f.name(mul(y, constant(0.5)));
  const whole = f.name(f32x4.eq(f32x4.nearest(y), y));
  const odd = v128.and(whole, f32x4.ne(f32x4.floor(half), half));
  const signed = v128.xor(size, v128.and(v128.and(odd, x), i32x4.const(0x80000000)));
  // All bits set: a NaN.
  const finite = f32x4.gt(x, constant(-Infinity));
  const undefinedHere = v128.andNot(v128.and(f32x4.lt(x, constant(0)), finite), whole);
  // 1 to any power, and ±1 to an infinite one.
  const steep = v128.and(f32x4.eq(f32x4.abs(y), INFINITY), f32x4.eq(x, constant(-1)));
  const one = v128.or(v128.or(f32x4.eq(y, constant(0)), f32x4.eq(x, constant(1))), steep);
  const exact: readonly (readonly [Value, Value])[] = [
    [x, f32x4.eq(y, constant(1))],
    [mul(x, x), f32x4.eq(y, constant(2))],
    [div(constant(1), x), f32x4.eq(y, constant(-1))],
    [f32x4.sqrt(x), v128.and(f32x4.eq(y, constant(0.5)), f32x4.gt(x, constant(0)))],
  ];
  let value = v128.bitselect(constant(1), v128.or(signed, undefinedHere), one);
  for (const [rounded, here] of exact) value = v128.bitselect(rounded, value, here);
  return f.name(value);
}
