/** Rows of the elementwise table: comparisons, logic, selection, and the bits of integers. */
import { notANumber } from "./row.ts";
import type { DTypeClass, ElementwiseOp } from "./row.ts";

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

export const COMPARISONS = {
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
