/** Gradients and words of the elementwise table: exponentials, trigonometry, activations and rounding. */
import type { ElementwiseRules } from "./row.ts";
import { GELU_C } from "./values.ts";

const rounding = (doc: string): ElementwiseRules => ({
  kinks: [-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3],
  doc,
});

const SQRT_HALF = Math.SQRT1_2;
const INV_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);

export const FUNCTIONS = {
  // --- exponentials and trigonometry
  exp: {
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y)],
    doc: "eˣ",
  },
  log: {
    domain: [[0.1, 4]],
    bound: 1e-5,
    grad: (dy, _, a) => [dy.div(a)],
    doc: "natural logarithm",
  },
  expm1: {
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y.add(1))],
    doc: "eˣ − 1, exact near 0",
  },
  log1p: {
    domain: [[-0.7, 4]],
    bound: 1e-5,
    grad: (dy, _, a) => [dy.div(a.add(1))],
    doc: "log(1 + x), exact near 0",
  },
  sin: {
    bound: 1e-6,
    grad: (dy, _, a) => [dy.mul(a.cos())],
    doc: "sine; exact to float32's rounding for |x| up to 10⁴",
  },
  cos: {
    bound: 1e-6,
    grad: (dy, _, a) => [dy.mul(a.sin()).neg()],
    doc: "cosine; as sin",
  },
  tan: {
    domain: [[-1.2, 1.2]],
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y.square().add(1))],
    doc: "tangent",
  },
  atan: {
    grad: (dy, _, a) => [dy.div(a.square().add(1))],
    doc: "arc tangent",
  },
  tanh: {
    bound: 1e-5,
    grad: (dy, y) => [dy.sub(dy.mul(y.square()))],
    doc: "hyperbolic tangent",
  },
  erf: {
    bound: 1e-5,
    grad: (dy, _, a) => [dy.mul(a.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
    doc: "error function",
  },

  // --- activations
  sigmoid: {
    bound: 1e-5,
    grad: (dy, y) => [dy.mul(y).mul(y.neg().add(1))],
    doc: "1 / (1 + e⁻ˣ)",
  },
  softplus: {
    bound: 1e-5,
    grad: (dy, _, a) => [dy.mul(a.sigmoid())],
    doc: "log(1 + eˣ)",
  },
  relu: {
    kinks: [0],
    grad: (dy, y) => [dy.mask(y.gt(0))],
    doc: "max(x, 0)",
  },
  elu: {
    kinks: [0],
    bound: 1e-5,
    grad: (dy, y, a) => [dy.mul(a.gt(0).where(1, y.add(1)))],
    doc: "x for x > 0, else eˣ − 1 (torch elu, α = 1)",
  },
  silu: {
    bound: 1e-5,
    grad: (dy, y, a) => {
      const s = a.sigmoid();
      return [dy.mul(s.add(y.mul(s.neg().add(1))))];
    },
    doc: "x · sigmoid(x)",
  },
  gelu: {
    bound: 1e-5,
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
  floor: rounding("largest whole number ≤ x"),
  ceil: rounding("smallest whole number ≥ x"),
  trunc: rounding("x without its fraction"),
  round: rounding("nearest whole number, halves to even"),
} as const satisfies Record<string, ElementwiseRules>;
