/**
 * The elementary functions over four float32 lanes that the printers do not share (`FormBuilder` says why). The others,
 * and what holds of all of them, are in `src/tensor/elementwise/mathematics.ts`.
 */
import type { FormBuilder } from "../../tensor/elementwise/builder.ts";
import { polynomial, within } from "../../tensor/elementwise/mathematics.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, i32x4, v128 } from "../assembler/instructions.ts";

/** The builder of WebAssembly. */
type Builder = FormBuilder<Value>;

const { add, sub, mul, div } = f32x4;
const constant = f32x4.const;

/** ln 2 as 355/512 and a rest: small integers times the first part are exact. */
const LN2_HIGH = 355 / 512;
const LN2_LOW = -2.121944400546906e-4;
const LOG2_E = 1 / Math.LN2;
const INFINITY = constant(Infinity);

/** eʳ = 1 + r + r²·P(r) for |r| ≤ ln 2 / 2. */
const EXP_TAIL = [0.4999999341, 0.1666652011, 0.04166839423, 0.008368780661, 0.001381446697];

/** Added to a number below 2²² it leaves the number's nearest integer, plus 126, in the low bits. */
const ROUND_BIASED = 1.5 * 2 ** 23 + 126;

/** x = n·ln 2 + r with |r| ≤ ln 2 / 2, and 2ⁿ⁻¹ (0 for n = −126). For x within −87.3…89. */
function reduceExponent(b: Builder, x: Value): { r: Value; halfPower: Value } {
  const biased = b.name(b.multiplyAdd(x, constant(LOG2_E), constant(ROUND_BIASED)));
  const n = b.name(sub(biased, constant(ROUND_BIASED)));
  const high = b.negativeMultiplyAdd(n, constant(LN2_HIGH), x);
  const r = b.name(b.negativeMultiplyAdd(n, constant(LN2_LOW), high));
  return { r, halfPower: i32x4.shl(biased, i32.const(23)) };
}

/** eˣ: 1.2 ULP. Infinite from 88.73 on; 0 below −87.0, where results would be within 2 % of the smallest normal number. */
export function exp(b: Builder, x: Value): Value {
  const { r, halfPower } = reduceExponent(b, within(b, x, -87.3, 89));
  // Twice the polynomial, for half the power: 2¹²⁸ is no float.
  const tail = polynomial(
    b,
    r,
    EXP_TAIL.map((c) => 2 * c),
  );
  const first = b.multiplyAdd(tail, r, constant(2));
  return b.name(mul(b.multiplyAdd(first, r, constant(2)), halfPower));
}

/** eˣ − 1: 1.7 ULP, −1 below −17.4. */
export function expm1(b: Builder, x: Value): Value {
  const { r, halfPower } = reduceExponent(b, within(b, x, -17.4, 89));
  const power = b.name(halfPower);
  const tail = polynomial(b, r, [0.4999999814, 0.1666654318, 0.04166720179, 0.008366580589, 0.001388251023]);
  const small = b.multiplyAdd(b.name(mul(r, r)), tail, r);
  const half = b.name(b.multiplyAdd(small, power, sub(power, constant(0.5))));
  return b.name(add(half, half));
}

/** log(1 + f) = f − (f²/2 − s·(f²/2 + R(s²))) with s = f/(2 + f). */
const LOG_TAIL = [0.6666666564, 0.4000033758, 0.285371455, 0.2358544067];

/**
 * log of positive numbers, plus `low`; zero, negative, infinite and NaN arguments get their special values. With it, for
 * positive normal numbers, what rounding its last sum has lost.
 */
function logParts(b: Builder, given: Value, low?: Value): { readonly value: Value; readonly lost: Value } {
  // Subnormal numbers are scaled to normal ones.
  const tiny = b.name(f32x4.lt(given, constant(2 ** -126)));
  const x = b.name(v128.bitselect(mul(given, constant(2 ** 23)), given, tiny));
  // x = 2ᵉ·m with m in √½…√2: the exponent's bits, counted from √½.
  const fromRoot = b.name(i32x4.sub(x, i32x4.const(0x3f3504f3)));
  const exponent = b.name(i32x4.shrS(fromRoot, i32.const(23)));
  const m = i32x4.sub(x, i32x4.shl(exponent, i32.const(23)));
  const e = b.name(add(f32x4.convertI32x4S(exponent), v128.and(tiny, constant(-23))));
  const part = b.name(sub(m, constant(1)));
  const s = b.name(div(part, add(part, constant(2))));
  const s2 = b.name(mul(s, s));
  const tail = mul(s2, polynomial(b, s2, LOG_TAIL));
  const half = b.name(mul(mul(part, constant(0.5)), part));
  const least = low ? b.multiplyAdd(e, constant(LN2_LOW), low) : mul(e, constant(LN2_LOW));
  const rest = b.multiplyAdd(s, add(half, tail), least);
  const fraction = b.name(sub(part, sub(half, rest)));
  const sum = b.name(b.multiplyAdd(e, constant(LN2_HIGH), fraction));
  // 0 → −∞, negative → NaN, ∞ → ∞, NaN → NaN.
  const ordinary = v128.and(f32x4.gt(given, constant(0)), f32x4.lt(given, INFINITY));
  const special = v128.bitselect(constant(-Infinity), f32x4.sqrt(given), f32x4.eq(given, constant(0)));
  // The whole part is exact, and where it is not 0 it is the larger one.
  const lost = v128.and(sub(fraction, sub(sum, mul(e, constant(LN2_HIGH)))), f32x4.ne(e, constant(0)));
  return { value: b.name(v128.bitselect(sum, special, ordinary)), lost };
}

/** Natural logarithm: 1 ULP. −∞ at 0, NaN below. */
export function log(b: Builder, x: Value): Value {
  return logParts(b, b.name(x)).value;
}

/** log(1 + x): 1.5 ULP. What 1 + x loses by rounding is put back. */
export function log1p(b: Builder, given: Value): Value {
  const x = b.name(given);
  const sum = b.name(add(x, constant(1)));
  const lost = div(sub(x, sub(sum, constant(1))), sum);
  const ordinary = v128.and(f32x4.gt(sum, constant(0)), f32x4.lt(sum, INFINITY));
  const { value } = logParts(b, sum, b.name(v128.and(lost, ordinary)));
  // The sign of −0 stays.
  return b.name(v128.bitselect(x, value, f32x4.eq(x, constant(0))));
}

/** The largest float32. */
const MOST = (2 - 2 ** -23) * 2 ** 127;
/** ln of what is rounded to 2¹²⁸, in two parts: from here on a power is infinite. */
const POWER_END = Math.fround(128 * Math.LN2);
const POWER_END_REST = 128 * Math.LN2 - 2 ** -25 - POWER_END;
/** Splits a number in two of 12 bits, whose products are exact (Dekker, Numerische Mathematik 18, 1971). */
const SPLITTER = 2 ** 12 + 1;

function halves(b: Builder, x: Value): readonly [Value, Value] {
  const scaled = b.name(mul(x, constant(SPLITTER)));
  const high = b.name(sub(scaled, sub(scaled, x)));
  return [high, b.name(sub(x, high))];
}

/**
 * A power near the largest floats, where an error of its exponent would decide whether it is infinite: y·(log + lost) is
 * formed in two parts and compared with the end of the range.
 */
function heldFinite(b: Builder, size: Value, y: Value, log: Value, lost: Value): Value {
  const product = b.name(mul(y, log));
  const [[y1, y2], [l1, l2]] = [halves(b, y), halves(b, log)];
  const rounding = add(add(add(sub(mul(y1, l1), product), mul(y1, l2)), mul(y2, l1)), mul(y2, l2));
  const over = b.name(add(sub(product, constant(POWER_END)), add(rounding, mul(y, lost))));
  const near = f32x4.lt(f32x4.abs(over), constant(0.5));
  const value = v128.bitselect(INFINITY, f32x4.pmin(size, constant(MOST)), f32x4.ge(over, constant(POWER_END_REST)));
  return b.name(v128.bitselect(value, size, near));
}

/**
 * x^y: relative error (3 + 2·|y·ln x|)·2⁻²⁴, and rounded once for the exponents 1, 2, −1 and, of positive x, ½. Negative x
 * with whole y as C's pow, NaN where y is not whole; x⁰ is 1. Infinite where x^y is above the largest float, decided to
 * within |y|·2⁻²⁴.
 */
export function pow(b: Builder, base: Value, exponent: Value): Value {
  const [x, y] = [b.name(base), b.name(exponent)];
  const { value: log, lost } = logParts(b, b.name(f32x4.abs(x)));
  const size = heldFinite(b, exp(b, mul(y, log)), y, log, lost);
  const half = b.name(mul(y, constant(0.5)));
  const whole = b.name(f32x4.eq(f32x4.nearest(y), y));
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
  return b.name(value);
}
