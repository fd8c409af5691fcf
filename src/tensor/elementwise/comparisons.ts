/** WGSL, gradients and words of the elementwise table: comparisons, logic, selection, and the bits of integers. */
import { notANumber } from "./row.ts";
import type { ElementwiseForm } from "./row.ts";

const compare = (symbol: string, doc: string): ElementwiseForm => ({ wgsl: (_, x, y) => `(${x} ${symbol} ${y})`, doc });

const bitwise = (symbol: string, doc: string): ElementwiseForm => ({
  wgsl: (w, x, y) =>
    symbol === "<<" || symbol === ">>" ? `(${x} ${symbol} ${w.type("u32")}(${y}))` : `(${x} ${symbol} ${y})`,
  doc,
});

export const COMPARISONS = {
  // --- comparison and selection
  eq: compare("==", "x = y"),
  // As the opposite of equality: `!=` of what is no number may be false.
  ne: { ...compare("!=", "x ≠ y"), wgsl: (_, x, y) => `!(${x} == ${y})` },
  lt: compare("<", "x < y"),
  le: compare("<=", "x ≤ y"),
  gt: compare(">", "x > y"),
  ge: compare(">=", "x ≥ y"),
  isNaN: {
    doc: "whether x is not a number",
    // By bits: compilers may fold x != x to false.
    wgsl: notANumber,
  },
  isFinite: {
    doc: "whether x is neither infinite nor NaN",
    wgsl: (w, x) => `((bitcast<${w.type("u32")}>(${x}) & ${w.u(0x7fffffff)}) < ${w.u(0x7f800000)})`,
  },
  and: { wgsl: (_, x, y) => `(${x} & ${y})`, doc: "both" },
  or: { wgsl: (_, x, y) => `(${x} | ${y})`, doc: "either" },
  not: { wgsl: (_, x) => `!(${x})`, doc: "not" },
  /** Operands: condition (bool), then two of one dtype. */
  where: {
    wgsl: (_, c, x, y) => `select(${y}, ${x}, ${c})`,
    grad: (dy, _, c) => [undefined, dy.mask(c), dy.mask(c.not())],
    doc: "x where the condition holds, else y",
  },

  // --- bits
  bitAnd: bitwise("&", "bitwise and"),
  bitOr: bitwise("|", "bitwise or"),
  bitXor: bitwise("^", "bitwise exclusive or"),
  shiftLeft: bitwise("<<", "x · 2^y, wrapping; 0 ≤ y < 32"),
  shiftRight: bitwise(">>", "x / 2^y, rounded down; 0 ≤ y < 32"),
} as const satisfies Record<string, ElementwiseForm>;
