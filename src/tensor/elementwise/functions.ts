/** Rows of the elementwise table: exponentials, trigonometry, activations and rounding. */
import { carrying } from "./row.ts";
import type { ElementwiseOp } from "./row.ts";

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

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const SQRT_HALF = Math.SQRT1_2;
const INV_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);
const GELU_C = Math.sqrt(2 / Math.PI);

export const FUNCTIONS = {
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
} as const satisfies Record<string, ElementwiseOp>;
