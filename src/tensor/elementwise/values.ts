/**
 * What every elementwise op takes, gives, costs and comes to on the host: the part of the table that graphs are built
 * and scheduled with. Each op's form for devices, gradient and words stand in the files beside this one, which a
 * program that asks for none of them does not load.
 */
import type { DTypeClass, ElementwiseValue } from "./row.ts";

type Host = ElementwiseValue["f64"];

const row = (arity: 1 | 2 | 3, takes: DTypeClass, f64: Host, more?: Partial<ElementwiseValue>): ElementwiseValue => ({
  arity,
  takes,
  f64,
  ...more,
});
/** A function of a real number. */
const real = (f64: Host, cost = 1): ElementwiseValue => row(1, "float", f64, { cost });
const compare = (holds: (x: number, y: number) => boolean, takes: DTypeClass = "number"): ElementwiseValue =>
  row(2, takes, (x, y) => (holds(x, y) ? 1 : 0), { gives: "bool" });

/** x^y by C's rules, which JavaScript leaves at 1^NaN and (±1)^±∞. */
function power(x: number, y: number): number {
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
}

/** Round half to even, as NumPy, PyTorch and WGSL do. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  const whole = up ? floor + 1 : floor;
  // What is rounded to 0 keeps its sign.
  return whole === 0 ? 0 * x : whole;
}

/** erf to double precision: its Maclaurin series near 0, the continued fraction of erfc (Lentz) beyond. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 200; n++) {
      term *= -(x * x) / n;
      const step = term / (2 * n + 1);
      sum += step;
      if (Math.abs(step) < 1e-17 * Math.abs(sum)) break;
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  if (a > 6) return Math.sign(x);
  // erfc(a) = exp(-a²)/√π · 1/(a + (1/2)/(a + 1/(a + (3/2)/(a + …))))
  let fraction = 0;
  for (let n = 120; n >= 1; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}

const sigmoid: Host = (x) => 1 / (1 + Math.exp(-x));
/** Slope of the tanh in GELU's approximation. */
export const GELU_C = Math.sqrt(2 / Math.PI);

/** What of an op's row every program needs, by name; `ELEMENTWISE` has whole rows. */
export const VALUES = {
  add: row(2, "number", (x, y) => x + y),
  sub: row(2, "number", (x, y) => x - y),
  mul: row(2, "number", (x, y) => x * y, { integer: Math.imul }),
  div: row(2, "float", (x, y) => x / y, { cost: 4 }),
  floorDiv: row(2, "integer", (x, y) => (y === 0 ? 0 : Math.floor(x / y)), { cost: 8 }),
  mod: row(2, "integer", (x, y) => (y === 0 ? 0 : x - y * Math.floor(x / y)), { cost: 8 }),
  pow: row(2, "float", power, { cost: 24 }),
  neg: row(1, "number", (x) => -x),
  abs: row(1, "number", Math.abs),
  sign: real(Math.sign),
  maximum: row(2, "number", (x, y) => Math.max(x, y)),
  minimum: row(2, "number", (x, y) => Math.min(x, y)),
  square: row(1, "number", (x) => x * x, { integer: (x) => Math.imul(x, x) }),
  reciprocal: real((x) => 1 / x, 4),
  sqrt: real(Math.sqrt, 4),
  rsqrt: real((x) => 1 / Math.sqrt(x), 4),

  exp: real(Math.exp, 12),
  log: real(Math.log, 12),
  expm1: real(Math.expm1, 14),
  log1p: real(Math.log1p, 14),
  sin: real(Math.sin, 20),
  cos: real(Math.cos, 20),
  tan: real(Math.tan, 40),
  atan: real(Math.atan, 16),
  tanh: real(Math.tanh, 16),
  erf: real(erf, 24),
  sigmoid: real(sigmoid, 18),
  softplus: real((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), 28),
  relu: real((x) => Math.max(x, 0)),
  elu: real((x) => (x > 0 ? x : Math.expm1(x)), 14),
  silu: real((x) => x * sigmoid(x, 0, 0), 18),
  gelu: real((x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)), 28),
  geluTanh: real((x) => 0.5 * x * (1 + Math.tanh(GELU_C * (x + 0.044715 * x ** 3))), 28),
  floor: real(Math.floor),
  ceil: real(Math.ceil),
  trunc: real(Math.trunc),
  round: real(roundHalfEven),

  eq: compare((x, y) => x === y, "any"),
  ne: compare((x, y) => x !== y, "any"),
  lt: compare((x, y) => x < y),
  le: compare((x, y) => x <= y),
  gt: compare((x, y) => x > y),
  ge: compare((x, y) => x >= y),
  isNaN: row(1, "float", (x) => (Number.isNaN(x) ? 1 : 0), { gives: "bool" }),
  isFinite: row(1, "float", (x) => (Number.isFinite(x) ? 1 : 0), { gives: "bool" }),
  and: row(2, "bool", (x, y) => x & y),
  or: row(2, "bool", (x, y) => x | y),
  not: row(1, "bool", (x) => 1 - x),
  /** Operands: condition (bool), then two of one dtype. */
  where: row(3, "any", (c, x, y) => (c ? x : y)),
  bitAnd: row(2, "integer", (x, y) => x & y),
  bitOr: row(2, "integer", (x, y) => x | y),
  bitXor: row(2, "integer", (x, y) => x ^ y),
  shiftLeft: row(2, "integer", (x, y) => x << y),
  shiftRight: row(2, "integer", (x, y) => x >> y, { unsigned: (x, y) => x >>> y }),
} as const satisfies Record<string, ElementwiseValue>;

/** The name of an elementwise op, see `ELEMENTWISE`. */
export type ElementwiseName = keyof typeof VALUES;
