/**
 * Values that every row of a kernel needs again, such as weights that do not lie side by side: they are computed once
 * for the rows that a thread takes together, and kept in its memory as neighbours.
 */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import { indicesOf } from "../../compiler/expr.ts";
import type { IntExpr } from "../../compiler/int-expr.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32 } from "../assembler/instructions.ts";
import type { LaneVariable } from "./dependence.ts";
import { Dependence } from "./dependence.ts";
import type { WasmPrinter } from "./expr.ts";

/** Of a thread's memory, all of which should stay in the L1 cache. */
const MOST_BYTES = 8192;
/** Rows from which it pays. */
const LEAST_ROWS = 4;

interface KeptColumns {
  readonly bytes: number;
  /** Writes the code that computes them into `memory`, where the printer takes them from after that. */
  fill(f: FunctionBuilder, printer: WasmPrinter, memory: Value): void;
}

/** What `values` need of the vector variable alone, unless it lies side by side already. */
export function keptColumns(
  rows: number,
  values: readonly Expr[],
  exprs: ExprBuilder,
  vector: LaneVariable,
  substitution: ReadonlyMap<string, IntExpr>,
): KeptColumns {
  const { name, size } = vector;
  const lineBytes = 16 * Math.ceil(size / 4);
  const dependence = new Dependence(exprs, vector, substitution);
  const found = new Set<Expr>();
  const seen = new Set<Expr>();
  const visit = (expr: Expr): void => {
    if (seen.has(expr)) return;
    seen.add(expr);
    const names = dependence.variablesOf(expr);
    const isOfColumn = names.size === 1 && names.has(name);
    const liesThere = !("args" in expr) && indicesOf(expr).every((i) => dependence.step(dependence.resolve(i)) === 1);
    if (isOfColumn && !liesThere) found.add(expr);
    else if ("args" in expr) expr.args.forEach(visit);
  };
  if (rows >= LEAST_ROWS) values.forEach(visit);
  const kept = [...found].slice(0, Math.floor(MOST_BYTES / lineBytes));
  return {
    bytes: kept.length * lineBytes,
    fill(f, printer, memory) {
      if (kept.length === 0) return;
      f.for(i32.const(0), i32.const(size), 4, (at) =>
        printer.scope({ [name]: at }, () => {
          const here = f.name(i32.add(memory, i32.shl(at, i32.const(2))));
          kept.forEach((expr, k) => f.store(here, f.name(printer.value(expr)), k * lineBytes));
        }),
      );
      printer.keep(memory, new Map(kept.map((expr, k) => [expr.id, k * lineBytes])));
    },
  };
}
