/** WGSL, gradients and words of the elementwise table: exponentials, trigonometry, activations and rounding. */
import { carrying } from "./row.ts";
import type { ElementwiseForm } from "./row.ts";
import { GELU_C } from "./values.ts";

const rounding = (wgsl: string, doc: string): ElementwiseForm => ({
  wgsl: (_, x) => `${wgsl}(${x})`,
  kinks: [-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3],
  doc,
});

const SQRT_HALF = Math.SQRT1_2;
const INV_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);

export const FUNCTIONS = {
  // --- exponentials and trigonometry
  exp: {
    wgsl: (w, x) => carrying(w, `exp(${x})`, x),
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y)],
    doc: "eˣ",
  },
  log: {
    wgsl: (w, x) => `log_${w.lanes}(${x})`,
    helpers: ["log"],
    domain: [[0.1, 4]],
    bound: 1e-5,
    grad: (dy, _, a) => [dy.div(a)],
    doc: "natural logarithm",
  },
  expm1: {
    wgsl: (w, x) => `expm1_${w.lanes}(${x})`,
    helpers: ["expm1"],
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y.add(1))],
    doc: "eˣ − 1, exact near 0",
  },
  log1p: {
    wgsl: (w, x) => `log1p_${w.lanes}(${x})`,
    helpers: ["log", "log1p"],
    domain: [[-0.7, 4]],
    bound: 1e-5,
    grad: (dy, _, a) => [dy.div(a.add(1))],
    doc: "log(1 + x), exact near 0",
  },
  // WGSL's own sin and cos may be wrong by 2⁻¹¹; these are not.
  sin: {
    wgsl: (w, x) => `sine_${w.lanes}(${x})`,
    helpers: ["trigonometry"],
    bound: 1e-6,
    grad: (dy, _, a) => [dy.mul(a.cos())],
    doc: "sine; exact to float32's rounding for |x| up to 10⁴",
  },
  cos: {
    wgsl: (w, x) => `cosine_${w.lanes}(${x})`,
    helpers: ["trigonometry"],
    bound: 1e-6,
    grad: (dy, _, a) => [dy.mul(a.sin()).neg()],
    doc: "cosine; as sin",
  },
  tan: {
    wgsl: (w, x) => `(sine_${w.lanes}(${x}) / cosine_${w.lanes}(${x}))`,
    helpers: ["trigonometry"],
    domain: [[-1.2, 1.2]],
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y.square().add(1))],
    doc: "tangent",
  },
  atan: {
    wgsl: (_, x) => `atan(${x})`,
    bound: 1e-4,
    grad: (dy, _, a) => [dy.div(a.square().add(1))],
    doc: "arc tangent",
  },
  tanh: {
    bound: 1e-5,
    // Beyond ±9 tanh is ±1 in float32, and some drivers return NaN for large arguments.
    wgsl: (w, x) => carrying(w, `tanh(clamp(${x}, ${w.f(-9.5)}, ${w.f(9.5)}))`, x),
    grad: (dy, y) => [dy.sub(dy.mul(y.square()))],
    doc: "hyperbolic tangent",
  },
  erf: {
    wgsl: (w, x) => `erf_${w.lanes}(${x})`,
    helpers: ["erf"],
    bound: 1e-5,
    grad: (dy, _, a) => [dy.mul(a.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
    doc: "error function",
  },

  // --- activations
  sigmoid: {
    // Below −87.3 the value is no normal number, and drivers need not have the infinity that eˣ comes to.
    wgsl: (w, x) => {
      const value = `(${w.f(1)} / (${w.f(1)} + exp(-clamp(${x}, ${w.f(-87.3)}, ${w.f(80)}))))`;
      return carrying(w, `select(${value}, ${w.f(0)}, ${x} < ${w.f(-87.3)})`, x);
    },
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y).mul(y.neg().add(1))],
    doc: "1 / (1 + e⁻ˣ)",
  },
  softplus: {
    helpers: ["log", "log1p"],
    bound: 1e-5,
    wgsl: (w, x) => carrying(w, `(max(${x}, ${w.f(0)}) + log1p_${w.lanes}(exp(-abs(${x}))))`, x),
    grad: (dy, _, a) => [dy.mul(a.sigmoid())],
    doc: "log(1 + eˣ)",
  },
  relu: {
    // The bits of −0 to −∞ follow each other, and what follows them is no number.
    wgsl: (w, x) =>
      `select(${x}, ${w.f(0)}, (bitcast<${w.type("u32")}>(${x}) - ${w.u(0x80000000)}) <= ${w.u(0x7f800000)})`,
    kinks: [0],
    grad: (dy, y) => [dy.mask(y.gt(0))],
    doc: "max(x, 0)",
  },
  elu: {
    helpers: ["expm1"],
    kinks: [0],
    bound: 1e-5,
    wgsl: (w, x) => carrying(w, `select(expm1_${w.lanes}(min(${x}, ${w.f(0)})), ${x}, ${x} > ${w.f(0)})`, x),
    grad: (dy, y, a) => [dy.mul(a.gt(0).where(1, y.add(1)))],
    doc: "x for x > 0, else eˣ − 1 (torch elu, α = 1)",
  },
  silu: {
    bound: 1e-5,
    helpers: ["silu"],
    wgsl: (w, x) => `silu_${w.lanes}(${x})`,
    grad: (dy, y, a) => {
      const s = a.sigmoid();
      return [dy.mul(s.add(y.mul(s.neg().add(1))))];
    },
    doc: "x · sigmoid(x)",
  },
  gelu: {
    helpers: ["erf"],
    bound: 1e-5,
    wgsl: (w, x) => `(${w.f(0.5)} * ${x} * (${w.f(1)} + erf_${w.lanes}(${x} * ${w.f(SQRT_HALF)})))`,
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
    bound: 1e-5,
    wgsl: (w, x) =>
      `(${w.f(0.5)} * ${x} * (${w.f(1)} + tanh(clamp(${w.f(GELU_C)} * (${x} + ${w.f(0.044715)} * ${x} * ${x} * ${x}), ${w.f(-9.5)}, ${w.f(9.5)}))))`,
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
  floor: rounding("floor", "largest whole number ≤ x"),
  ceil: rounding("ceil", "smallest whole number ≥ x"),
  trunc: rounding("trunc", "x without its fraction"),
  round: rounding("round", "nearest whole number, halves to even"),
} as const satisfies Record<string, ElementwiseForm>;
