/** Gradients and words of the elementwise table: comparisons, logic, selection, and the bits of integers. */
import type { ElementwiseRules } from "./row.ts";

export const COMPARISONS = {
  // --- comparison and selection
  eq: { doc: "x = y" },
  ne: { doc: "x ≠ y" },
  lt: { doc: "x < y" },
  le: { doc: "x ≤ y" },
  gt: { doc: "x > y" },
  ge: { doc: "x ≥ y" },
  isNaN: { doc: "whether x is not a number" },
  isFinite: { doc: "whether x is neither infinite nor NaN" },
  and: { doc: "both" },
  or: { doc: "either" },
  not: { doc: "not" },
  /** Operands: condition (bool), then two of one dtype. */
  where: {
    grad: (dy, _, c) => [undefined, dy.mask(c), dy.mask(c.not())],
    doc: "x where the condition holds, else y",
  },

  // --- bits
  bitAnd: { doc: "bitwise and" },
  bitOr: { doc: "bitwise or" },
  bitXor: { doc: "bitwise exclusive or" },
  shiftLeft: { doc: "x · 2^y, wrapping; 0 ≤ y < 32" },
  shiftRight: { doc: "x / 2^y, rounded down; 0 ≤ y < 32" },
} as const satisfies Record<string, ElementwiseRules>;
