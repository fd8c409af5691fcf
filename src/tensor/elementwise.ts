/**
 * The elementwise ops, one row each: the row is the op, on every device.
 *
 * A row gives the op's WGSL and float64 form, its derivative as an expression of tensor ops, and the domain and error
 * bound that the property tests use. Kernels, gradients, tests and docs/ops.md follow from it.
 *
 * WGSL forms must hold for scalars and for vec4 alike; literals go through `w.f(…)`, which splats them.
 */
import type { DType } from "./dtype.ts";
import { isFloat } from "./dtype.ts";
import type { Tensor } from "./tensor.ts";

/** Literals of the width in use, when a row's WGSL is printed. */
export interface WgslWidth {
  readonly lanes: 1 | 4;
  f(value: number): string;
  u(value: number): string;
  /** Type name: `f32` or `vec4<f32>`, and so on. */
  type(scalar: "f32" | "i32" | "u32" | "bool"): string;
}

/** Which operand dtypes a row takes: all operands of one dtype out of the class. */
export type DTypeClass = "float" | "number" | "integer" | "bool" | "any";

export interface ElementwiseOp {
  readonly arity: 1 | 2 | 3;
  readonly takes: DTypeClass;
  /** Result dtype; by default that of the operands. */
  readonly gives?: "bool";
  readonly wgsl: (w: WgslWidth, x: string, y: string, z: string, dtype: DType) => string;
  /** The value in float64; `integer` where 32-bit wrapping needs another form. */
  readonly f64: (x: number, y: number, z: number) => number;
  readonly integer?: (x: number, y: number, z: number) => number;
  /** Where unsigned integers need yet another. */
  readonly unsigned?: (x: number, y: number, z: number) => number;
  /** Cotangents of the operands. Absent: the op has derivative 0 almost everywhere, or none. */
  readonly grad?: (dy: Tensor, y: Tensor, a: Tensor, b: Tensor, c: Tensor) => (Tensor | undefined)[];
  /** Interval each float operand is drawn from by the tests (default ±3). */
  readonly domain?: readonly (readonly [number, number])[];
  /** Points the derivative does not exist at; tests keep away from them. */
  readonly kinks?: readonly number[];
  /** Largest error on a float32 device, relative to max(1, |value|) (default 2e-6). */
  readonly bound?: number;
  /** Rough price in multiplications, for the decision to recompute rather than store (default 1). */
  readonly cost?: number;
  /** WGSL helper functions the form calls, by name (see shaders/wgsl-helpers.ts). */
  readonly helpers?: readonly string[];
  /** One line for docs/ops.md. */
  readonly doc: string;
}

/** Whether x is not a number, by its bits: compilers of WGSL may assume that no float is. */
const notANumber = (w: WgslWidth, x: string) =>
  `((bitcast<${w.type("u32")}>(${x}) & ${w.u(0x7fffffff)}) > ${w.u(0x7f800000)})`;

/** `value`, or the first of `operands` that is not a number. */
const carrying = (w: WgslWidth, value: string, ...operands: string[]) =>
  operands.reduceRight((text, x) => `select(${text}, ${x}, ${notANumber(w, x)})`, value);

/** x^y by C's rules, which JavaScript leaves at 1^NaN and (±1)^±∞. */
function power(x: number, y: number): number {
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
}

const compare = (
  symbol: string,
  f64: (x: number, y: number) => boolean,
  doc: string,
  takes: DTypeClass = "number",
): ElementwiseOp => ({
  arity: 2,
  takes,
  gives: "bool",
  wgsl: (_, x, y) => `(${x} ${symbol} ${y})`,
  f64: (x, y) => (f64(x, y) ? 1 : 0),
  doc,
});

const bitwise = (symbol: string, f64: (x: number, y: number) => number, doc: string): ElementwiseOp => ({
  arity: 2,
  takes: "integer",
  wgsl: (w, x, y) =>
    symbol === "<<" || symbol === ">>" ? `(${x} ${symbol} ${w.type("u32")}(${y}))` : `(${x} ${symbol} ${y})`,
  f64,
  doc,
});

const rounding = (wgsl: string, f64: (x: number) => number, doc: string): ElementwiseOp => ({
  arity: 1,
  takes: "float",
  wgsl: (_, x) => `${wgsl}(${x})`,
  f64,
  kinks: [-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3],
  doc,
});

/** Round half to even, as NumPy, PyTorch and WGSL do. */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
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

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const SQRT_HALF = Math.SQRT1_2;
const INV_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);
const GELU_C = Math.sqrt(2 / Math.PI);

export const ELEMENTWISE = {
  // --- arithmetic
  add: {
    arity: 2,
    takes: "number",
    wgsl: (_, x, y) => `(${x} + ${y})`,
    f64: (x, y) => x + y,
    grad: (dy) => [dy, dy],
    doc: "x + y",
  },
  sub: {
    arity: 2,
    takes: "number",
    wgsl: (_, x, y) => `(${x} - ${y})`,
    f64: (x, y) => x - y,
    grad: (dy) => [dy, dy.neg()],
    doc: "x − y",
  },
  mul: {
    arity: 2,
    takes: "number",
    wgsl: (_, x, y) => `(${x} * ${y})`,
    f64: (x, y) => x * y,
    integer: Math.imul,
    grad: (dy, _, a, b) => [dy.mul(b), dy.mul(a)],
    doc: "x · y",
  },
  div: {
    arity: 2,
    takes: "float",
    wgsl: (_, x, y) => `(${x} / ${y})`,
    f64: (x, y) => x / y,
    domain: [
      [-3, 3],
      [0.5, 3],
    ],
    cost: 4,
    grad: (dy, q, _, b) => [dy.div(b), dy.mul(q).div(b).neg()],
    doc: "x / y",
  },
  floorDiv: {
    arity: 2,
    takes: "integer",
    wgsl: (w, x, y, _z, dtype) => `floor_div_${dtype}_${w.lanes}(${x}, ${y})`,
    f64: (x, y) => (y === 0 ? 0 : Math.floor(x / y)),
    cost: 8,
    helpers: ["floorDiv"],
    doc: "⌊x / y⌋ of integers; 0 where y is 0",
  },
  mod: {
    arity: 2,
    takes: "integer",
    wgsl: (w, x, y, _z, dtype) => `floor_mod_${dtype}_${w.lanes}(${x}, ${y})`,
    f64: (x, y) => (y === 0 ? 0 : x - y * Math.floor(x / y)),
    cost: 8,
    helpers: ["floorDiv"],
    doc: "x − y·⌊x / y⌋ of integers (the sign of y); 0 where y is 0",
  },
  pow: {
    arity: 2,
    takes: "float",
    wgsl: (w, x, y) => `power_${w.lanes}(${x}, ${y})`,
    f64: power,
    helpers: ["power"],
    domain: [
      [0.3, 3],
      [-3, 3],
    ],
    bound: 2e-5,
    cost: 24,
    // Of 0^0 both are 0, and so is that of 0^y by y > 0: where the formula would be 0 · ∞, the base is taken as 1.
    grad: (dy, p, a, b) => {
      const aside = a.eq(0).where(1, a);
      const [base, logBase] = [b.eq(0).where(aside, a), b.ge(0).where(aside, a)];
      return [dy.mul(b).mul(base.pow(b.sub(1))), dy.mul(p).mul(logBase.log())];
    },
    doc: "x^y; for negative x, y must be whole",
  },
  neg: {
    arity: 1,
    takes: "number",
    wgsl: (w, x, _y, _z, d) => (d === "u32" ? `(~${x} + ${w.u(1)})` : `(-${x})`),
    f64: (x) => -x,
    grad: (dy) => [dy.neg()],
    doc: "−x",
  },
  abs: {
    arity: 1,
    takes: "number",
    wgsl: (_, x) => `abs(${x})`,
    f64: Math.abs,
    kinks: [0],
    grad: (dy, _, a) => [dy.mul(a.sign())],
    doc: "|x|",
  },
  sign: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => carrying(w, `sign(${x})`, x),
    f64: Math.sign,
    kinks: [0],
    doc: "−1, 0 or 1",
  },
  maximum: {
    arity: 2,
    takes: "number",
    wgsl: (w, x, y, _z, d) => (isFloat(d) ? carrying(w, `max(${x}, ${y})`, x, y) : `max(${x}, ${y})`),
    f64: (x, y) => Math.max(x, y),
    grad: (dy, _, a, b) => tieSplit(dy, a.gt(b), a.eq(b)),
    doc: "the larger; ties share the gradient (torch.maximum)",
  },
  minimum: {
    arity: 2,
    takes: "number",
    wgsl: (w, x, y, _z, d) => (isFloat(d) ? carrying(w, `min(${x}, ${y})`, x, y) : `min(${x}, ${y})`),
    f64: (x, y) => Math.min(x, y),
    grad: (dy, _, a, b) => tieSplit(dy, a.lt(b), a.eq(b)),
    doc: "the smaller; ties share the gradient (torch.minimum)",
  },
  square: {
    arity: 1,
    takes: "number",
    wgsl: (_, x) => `(${x} * ${x})`,
    f64: (x) => x * x,
    integer: (x) => Math.imul(x, x),
    grad: (dy, _, a) => [dy.mul(a).mul(2)],
    doc: "x²",
  },
  reciprocal: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => `(${w.f(1)} / ${x})`,
    f64: (x) => 1 / x,
    domain: [[0.3, 3]],
    cost: 4,
    grad: (dy, y) => [dy.mul(y.square()).neg()],
    doc: "1 / x",
  },
  sqrt: {
    arity: 1,
    takes: "float",
    wgsl: (_, x) => `sqrt(${x})`,
    f64: Math.sqrt,
    domain: [[0.1, 4]],
    cost: 4,
    grad: (dy, y) => [dy.div(y).mul(0.5)],
    doc: "√x",
  },
  rsqrt: {
    arity: 1,
    takes: "float",
    wgsl: (_, x) => `inverseSqrt(${x})`,
    f64: (x) => 1 / Math.sqrt(x),
    domain: [[0.1, 4]],
    cost: 4,
    bound: 5e-6,
    grad: (dy, y) => [dy.mul(y).mul(y.square()).mul(-0.5)],
    doc: "1 / √x",
  },

  // --- exponentials and trigonometry
  exp: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => carrying(w, `exp(${x})`, x),
    f64: Math.exp,
    bound: 1e-5,
    cost: 12,
    grad: (dy, y) => [dy.mul(y)],
    doc: "eˣ",
  },
  log: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => `log_${w.lanes}(${x})`,
    f64: Math.log,
    helpers: ["log"],
    domain: [[0.1, 4]],
    bound: 1e-5,
    cost: 12,
    grad: (dy, _, a) => [dy.div(a)],
    doc: "natural logarithm",
  },
  expm1: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => `expm1_${w.lanes}(${x})`,
    f64: Math.expm1,
    helpers: ["expm1"],
    cost: 14,
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y.add(1))],
    doc: "eˣ − 1, exact near 0",
  },
  log1p: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => `log1p_${w.lanes}(${x})`,
    f64: Math.log1p,
    helpers: ["log", "log1p"],
    cost: 14,
    domain: [[-0.7, 4]],
    bound: 1e-5,
    grad: (dy, _, a) => [dy.div(a.add(1))],
    doc: "log(1 + x), exact near 0",
  },
  // WGSL's own sin and cos may be wrong by 2⁻¹¹; these are not.
  sin: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => `sine_${w.lanes}(${x})`,
    f64: Math.sin,
    helpers: ["trigonometry"],
    cost: 20,
    bound: 1e-6,
    grad: (dy, _, a) => [dy.mul(a.cos())],
    doc: "sine; exact to float32's rounding for |x| up to 10⁴",
  },
  cos: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => `cosine_${w.lanes}(${x})`,
    f64: Math.cos,
    helpers: ["trigonometry"],
    cost: 20,
    bound: 1e-6,
    grad: (dy, _, a) => [dy.mul(a.sin()).neg()],
    doc: "cosine; as sin",
  },
  tan: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => `(sine_${w.lanes}(${x}) / cosine_${w.lanes}(${x}))`,
    f64: Math.tan,
    helpers: ["trigonometry"],
    domain: [[-1.2, 1.2]],
    bound: 1e-5,
    cost: 40,
    grad: (dy, y) => [dy.mul(y.square().add(1))],
    doc: "tangent",
  },
  atan: {
    arity: 1,
    takes: "float",
    wgsl: (_, x) => `atan(${x})`,
    f64: Math.atan,
    bound: 1e-4,
    cost: 16,
    grad: (dy, _, a) => [dy.div(a.square().add(1))],
    doc: "arc tangent",
  },
  tanh: {
    arity: 1,
    takes: "float",
    f64: Math.tanh,
    bound: 1e-5,
    cost: 16,
    // Beyond ±9 tanh is ±1 in float32, and some drivers return NaN for large arguments.
    wgsl: (w, x) => carrying(w, `tanh(clamp(${x}, ${w.f(-9.5)}, ${w.f(9.5)}))`, x),
    grad: (dy, y) => [dy.sub(dy.mul(y.square()))],
    doc: "hyperbolic tangent",
  },
  erf: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => `erf_${w.lanes}(${x})`,
    f64: erf,
    helpers: ["erf"],
    bound: 1e-5,
    cost: 24,
    grad: (dy, _, a) => [dy.mul(a.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
    doc: "error function",
  },

  // --- activations
  sigmoid: {
    arity: 1,
    takes: "float",
    wgsl: (w, x) => carrying(w, `(${w.f(1)} / (${w.f(1)} + exp(-clamp(${x}, ${w.f(-80)}, ${w.f(80)}))))`, x),
    f64: sigmoid,
    bound: 1e-5,
    cost: 18,
    grad: (dy, y) => [dy.mul(y).mul(y.neg().add(1))],
    doc: "1 / (1 + e⁻ˣ)",
  },
  softplus: {
    arity: 1,
    takes: "float",
    helpers: ["log", "log1p"],
    bound: 1e-5,
    cost: 28,
    wgsl: (w, x) => carrying(w, `(max(${x}, ${w.f(0)}) + log1p_${w.lanes}(exp(-abs(${x}))))`, x),
    f64: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    grad: (dy, _, a) => [dy.mul(a.sigmoid())],
    doc: "log(1 + eˣ)",
  },
  relu: {
    arity: 1,
    takes: "float",
    // The bits of −0 to −∞ follow each other, and what follows them is no number.
    wgsl: (w, x) =>
      `select(${x}, ${w.f(0)}, (bitcast<${w.type("u32")}>(${x}) - ${w.u(0x80000000)}) <= ${w.u(0x7f800000)})`,
    f64: (x) => Math.max(x, 0),
    kinks: [0],
    grad: (dy, y) => [dy.mask(y.gt(0))],
    doc: "max(x, 0)",
  },
  elu: {
    arity: 1,
    takes: "float",
    helpers: ["expm1"],
    kinks: [0],
    bound: 1e-5,
    cost: 14,
    wgsl: (w, x) => carrying(w, `select(expm1_${w.lanes}(min(${x}, ${w.f(0)})), ${x}, ${x} > ${w.f(0)})`, x),
    f64: (x) => (x > 0 ? x : Math.expm1(x)),
    grad: (dy, y, a) => [dy.mul(a.gt(0).where(1, y.add(1)))],
    doc: "x for x > 0, else eˣ − 1 (torch elu, α = 1)",
  },
  silu: {
    arity: 1,
    takes: "float",
    bound: 1e-5,
    cost: 18,
    helpers: ["silu"],
    wgsl: (w, x) => `silu_${w.lanes}(${x})`,
    f64: (x) => x * sigmoid(x),
    grad: (dy, y, a) => {
      const s = a.sigmoid();
      return [dy.mul(s.add(y.mul(s.neg().add(1))))];
    },
    doc: "x · sigmoid(x)",
  },
  gelu: {
    arity: 1,
    takes: "float",
    helpers: ["erf"],
    bound: 1e-5,
    cost: 28,
    wgsl: (w, x) => `(${w.f(0.5)} * ${x} * (${w.f(1)} + erf_${w.lanes}(${x} * ${w.f(SQRT_HALF)})))`,
    f64: (x) => 0.5 * x * (1 + erf(x * SQRT_HALF)),
    grad: (dy, _, a) => [
      dy.mul(
        a
          .mul(SQRT_HALF)
          .erf()
          .add(1)
          .mul(0.5)
          .add(a.mul(a.square().mul(-0.5).exp()).mul(INV_SQRT_2PI)),
      ),
    ],
    doc: "x · Φ(x), exact (torch gelu, approximate='none')",
  },
  geluTanh: {
    arity: 1,
    takes: "float",
    bound: 1e-5,
    cost: 28,
    wgsl: (w, x) =>
      `(${w.f(0.5)} * ${x} * (${w.f(1)} + tanh(clamp(${w.f(GELU_C)} * (${x} + ${w.f(0.044715)} * ${x} * ${x} * ${x}), ${w.f(-9.5)}, ${w.f(9.5)}))))`,
    f64: (x) => 0.5 * x * (1 + Math.tanh(GELU_C * (x + 0.044715 * x ** 3))),
    grad: (dy, _, a) => {
      const t = a.add(a.mul(a.square()).mul(0.044715)).mul(GELU_C).tanh();
      const slope = a
        .square()
        .mul(3 * 0.044715)
        .add(1)
        .mul(GELU_C);
      return [dy.mul(0.5).mul(t.add(1).add(a.mul(t.square().neg().add(1)).mul(slope)))];
    },
    doc: "gelu by its tanh approximation (torch gelu, approximate='tanh')",
  },

  // --- rounding
  floor: rounding("floor", Math.floor, "largest whole number ≤ x"),
  ceil: rounding("ceil", Math.ceil, "smallest whole number ≥ x"),
  trunc: rounding("trunc", Math.trunc, "x without its fraction"),
  round: rounding("round", roundHalfEven, "nearest whole number, halves to even"),

  // --- comparison and selection
  eq: compare("==", (x, y) => x === y, "x = y", "any"),
  // As the opposite of equality: `!=` of what is no number may be false.
  ne: { ...compare("!=", (x, y) => x !== y, "x ≠ y", "any"), wgsl: (_, x, y) => `!(${x} == ${y})` },
  lt: compare("<", (x, y) => x < y, "x < y"),
  le: compare("<=", (x, y) => x <= y, "x ≤ y"),
  gt: compare(">", (x, y) => x > y, "x > y"),
  ge: compare(">=", (x, y) => x >= y, "x ≥ y"),
  isNaN: {
    arity: 1,
    takes: "float",
    gives: "bool",
    doc: "whether x is not a number",
    // By bits: compilers may fold x != x to false.
    wgsl: notANumber,
    f64: (x) => (Number.isNaN(x) ? 1 : 0),
  },
  isFinite: {
    arity: 1,
    takes: "float",
    gives: "bool",
    doc: "whether x is neither infinite nor NaN",
    wgsl: (w, x) => `((bitcast<${w.type("u32")}>(${x}) & ${w.u(0x7fffffff)}) < ${w.u(0x7f800000)})`,
    f64: (x) => (Number.isFinite(x) ? 1 : 0),
  },
  and: { arity: 2, takes: "bool", wgsl: (_, x, y) => `(${x} & ${y})`, f64: (x, y) => x & y, doc: "both" },
  or: { arity: 2, takes: "bool", wgsl: (_, x, y) => `(${x} | ${y})`, f64: (x, y) => x | y, doc: "either" },
  not: { arity: 1, takes: "bool", wgsl: (_, x) => `!(${x})`, f64: (x) => 1 - x, doc: "not" },
  /** Operands: condition (bool), then two of one dtype. */
  where: {
    arity: 3,
    takes: "any",
    wgsl: (_, c, x, y) => `select(${y}, ${x}, ${c})`,
    f64: (c, x, y) => (c ? x : y),
    grad: (dy, _, c) => [undefined, dy.mask(c), dy.mask(c.not())],
    doc: "x where the condition holds, else y",
  },

  // --- bits
  bitAnd: bitwise("&", (x, y) => x & y, "bitwise and"),
  bitOr: bitwise("|", (x, y) => x | y, "bitwise or"),
  bitXor: bitwise("^", (x, y) => x ^ y, "bitwise exclusive or"),
  shiftLeft: bitwise("<<", (x, y) => x << y, "x · 2^y, wrapping; 0 ≤ y < 32"),
  shiftRight: {
    ...bitwise(">>", (x, y) => x >> y, "x / 2^y, rounded down; 0 ≤ y < 32"),
    unsigned: (x, y) => x >>> y,
  },
} as const satisfies Record<string, ElementwiseOp>;

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

/** Cotangents of two operands of which the winner takes all, and equal ones half each. */
function tieSplit(dy: Tensor, first: Tensor, tie: Tensor): Tensor[] {
  const share = first.where(1, tie.where(0.5, 0));
  return [dy.mul(share), dy.mul(share.neg().add(1))];
}
