/**
 * Whether kernels compute rows of values from the same rows of others alone, so that whoever runs them for some rows
 * needs nobody who runs them for the rest.
 *
 * A value of `rows` rows is that many equal parts of its memory, one after the other. Indices say which part is read:
 * with the kernel's own counter as `row · size + within`, the quotient of an index by the part's size has to come out
 * as `row`. Behind the conditions of a padding, a variable is what the condition is about.
 */
import { sizeOf } from "../tensor/shape.ts";
import type { Node } from "../tensor/node.ts";
import type { Condition } from "./access.ts";
import type { Expr } from "./expr.ts";
import type { IntExpr } from "./int-expr.ts";
import { add, dependencies, div, int, loopVariable, scale, sub, substitute } from "./int-expr.ts";
import type { FusedKernel, Kernel } from "./kernels.ts";
import { storesOf } from "./plan.ts";

/** The counter of a kernel that its rows are a part of, and how far it goes. */
export function rowCounter(kernel: Kernel, rows: number): { name: "i" | "r" | "b" | "m"; size: number } | undefined {
  const fits = (name: "i" | "r" | "b" | "m", size: number) =>
    size > 0 && size % rows === 0 ? { name, size } : undefined;
  switch (kernel.kind) {
    case "loop":
      return fits("i", kernel.size);
    case "reduce":
      return fits("r", kernel.rows);
    case "matmul":
      return kernel.batch > 1 ? fits("b", kernel.batch) : fits("m", kernel.m);
    case "fused":
      return undefined;
  }
}

/**
 * The values among `own` that indices outside the row may be asked of, behind a condition that then does not hold;
 * undefined where a kernel is not row by row.
 *
 * @param own whether a value changes while the kernels run
 */
export function rowLocal(
  kernels: readonly Kernel[],
  rows: number,
  own: (node: Node) => boolean,
): Set<Node> | undefined {
  const guarded = new Set<Node>();
  return kernels.every((k) => k.kind !== "fused" && kernelIsRowLocal(k, rows, own, guarded)) ? guarded : undefined;
}

function kernelIsRowLocal(
  kernel: Exclude<Kernel, FusedKernel>,
  rows: number,
  own: (node: Node) => boolean,
  guarded: Set<Node>,
): boolean {
  const counter = rowCounter(kernel, rows);
  if (!counter) return false;
  const row = loopVariable("row", rows);
  const size = counter.size / rows;
  const apart = add(scale(row, size), loopVariable("within", size));
  const byRow = (index: IntExpr): IntExpr => substitute(index, (name) => (name === counter.name ? apart : undefined));
  const inRow = (node: Node, index: IntExpr): boolean => {
    const elements = sizeOf(node.shape);
    return elements % rows === 0 && index.min >= 0 && div(index, elements / rows).key === row.key;
  };

  const seen = new Set<string>();
  /** Whether what is read for an expression, where the conditions hold, is of the row. */
  const reads = (expr: Expr, conditions: readonly Condition[]): boolean => {
    const key = `${expr.id} ${conditions.map((c) => `${c.expr.key}<${c.size}`).join()}`;
    if (seen.has(key)) return true;
    seen.add(key);
    if (expr.kind === "load" && own(expr.buffer)) {
      const index = byRow(expr.index);
      if (!inRow(expr.buffer, index)) {
        if (!inRow(expr.buffer, within(index, conditions))) return false;
        guarded.add(expr.buffer);
      }
    }
    const further = expr.kind === "guard" ? expr.conditions.map((c) => ({ ...c, expr: byRow(c.expr) })) : [];
    const args = "args" in expr ? expr.args : [];
    const indices = [
      ...("index" in expr ? [expr.index] : []),
      ...("position" in expr ? [expr.position] : []),
      ...("conditions" in expr ? expr.conditions.map((c) => c.expr) : []),
    ];
    return (
      indices.every((index) =>
        [...dependencies(index).values].every((id) => reads(kernel.exprs.byId(id), conditions)),
      ) && args.every((arg, i) => reads(arg, [...conditions, ...further, ...partOf(expr, i, byRow)]))
    );
  };
  const values = [
    ...storesOf(kernel).map((s) => s.value),
    ...(kernel.kind === "reduce" ? kernel.phases.flat().map((a) => a.value) : []),
    ...(kernel.kind === "matmul" ? [kernel.a, kernel.b] : []),
  ];
  return storesOf(kernel).every((s) => inRow(s.target, byRow(s.index))) && values.every((v) => reads(v, []));
}

/** Where the i-th of several parts along an axis is what is read. */
function partOf(expr: Expr, i: number, byRow: (index: IntExpr) => IntExpr): Condition[] {
  if (expr.kind !== "choose") return [];
  const start = i === 0 ? 0 : expr.ends[i - 1];
  return [{ expr: sub(byRow(expr.position), int(start)), size: expr.ends[i] - start, step: 1 }];
}

/** An index where the conditions hold: a variable of theirs is what it must be for them to. */
function within(index: IntExpr, conditions: readonly Condition[]): IntExpr {
  return conditions.reduce((at, { expr, size }, i) => {
    const term = expr.terms.find((t) => t.factor === 1 && t.atom.kind === "variable" && t.atom.name !== "row");
    if (term?.atom.kind !== "variable") return at;
    const { name, max } = term.atom;
    const others = sub(expr, loopVariable(name, max + 1));
    if (others.terms.length > 0) return at;
    const solved = sub(loopVariable(`within${i}`, size), others);
    return substitute(at, (variable) => (variable === name ? solved : undefined));
  }, index);
}
