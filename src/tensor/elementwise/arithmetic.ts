/** Gradients and words of the elementwise table: sums, products, powers, roots, and the larger or smaller of two. */
import type { Tensor } from "../tensor.ts";
import type { ElementwiseRules } from "./row.ts";

/** Cotangents of two operands of which the winner takes all, and equal ones half each. */
function tieSplit(dy: Tensor, first: Tensor, tie: Tensor): Tensor[] {
  const share = first.where(1, tie.where(0.5, 0));
  return [dy.mul(share), dy.mul(share.neg().add(1))];
}

export const ARITHMETIC = {
  add: {
    grad: (dy) => [dy, dy],
    doc: "x + y",
  },
  sub: {
    grad: (dy) => [dy, dy.neg()],
    doc: "x − y",
  },
  mul: {
    grad: (dy, _, a, b) => [dy.mul(b), dy.mul(a)],
    doc: "x · y",
  },
  div: {
    domain: [
      [-3, 3],
      [0.5, 3],
    ],
    grad: (dy, q, _, b) => [dy.div(b), dy.mul(q).div(b).neg()],
    doc: "x / y",
  },
  floorDiv: {
    doc: "⌊x / y⌋ of integers; 0 where y is 0",
  },
  mod: {
    doc: "x − y·⌊x / y⌋ of integers (the sign of y); 0 where y is 0",
  },
  pow: {
    domain: [
      [0.3, 3],
      [-3, 3],
    ],
    bound: 2e-5,
    // Of 0^0 both are 0, and so is that of 0^y by y > 0: where the formula would be 0 · ∞, the base is taken as 1.
    grad: (dy, p, a, b) => {
      const aside = a.eq(0).where(1, a);
      const [base, logBase] = [b.eq(0).where(aside, a), b.ge(0).where(aside, a)];
      return [dy.mul(b).mul(base.pow(b.sub(1))), dy.mul(p).mul(logBase.log())];
    },
    doc: "x^y; for negative x, y must be whole",
  },
  neg: {
    grad: (dy) => [dy.neg()],
    doc: "−x",
  },
  abs: {
    kinks: [0],
    grad: (dy, _, a) => [dy.mul(a.sign())],
    doc: "|x|",
  },
  sign: {
    kinks: [0],
    doc: "−1, 0 or 1",
  },
  maximum: {
    grad: (dy, _, a, b) => tieSplit(dy, a.gt(b), a.eq(b)),
    doc: "the larger; ties share the gradient (torch.maximum)",
  },
  minimum: {
    grad: (dy, _, a, b) => tieSplit(dy, a.lt(b), a.eq(b)),
    doc: "the smaller; ties share the gradient (torch.minimum)",
  },
  square: {
    grad: (dy, _, a) => [dy.mul(a).mul(2)],
    doc: "x²",
  },
  reciprocal: {
    domain: [[0.3, 3]],
    grad: (dy, y) => [dy.mul(y.square()).neg()],
    doc: "1 / x",
  },
  sqrt: {
    domain: [[0.1, 4]],
    grad: (dy, y) => [dy.div(y).mul(0.5)],
    doc: "√x",
  },
  rsqrt: {
    domain: [[0.1, 4]],
    bound: 5e-6,
    grad: (dy, y) => [dy.mul(y).mul(y.square()).mul(-0.5)],
    doc: "1 / √x",
  },
} as const satisfies Record<string, ElementwiseRules>;
