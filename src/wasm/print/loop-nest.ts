/**
 * How a loop over a flat index is run as rows: the index becomes row·length + column with a length for which the indices
 * of loads and stores are linear in the column. Quotients and remainders are then of the row alone, and computed once a
 * row rather than once an element.
 */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import { indicesOf } from "../../compiler/expr.ts";
import type { IntExpr } from "../../compiler/int-expr.ts";
import { add, dependencies, factorOf, loopVariable, scale, substitute } from "../../compiler/int-expr.ts";
import type { Store } from "../../compiler/kernels.ts";
import { elementwise } from "../../tensor/elementwise.ts";

/** A loop variable as `name.row` and `name.column`. */
export interface Split {
  readonly name: string;
  readonly size: number;
  readonly rows: number;
  readonly length: number;
  /** Rough price of four elements, in vector operations. */
  readonly price: number;
  /** Of the whole loop, once over the variable. */
  readonly total: number;
}

export const rowName = (name: string): string => `${name}.row`;
export const columnName = (name: string): string => `${name}.column`;

export function splitIndex({ name, rows, length }: Pick<Split, "name" | "rows" | "length">): IntExpr {
  return add(scale(loopVariable(rowName(name), rows), length), loopVariable(columnName(name), length));
}

/** All a kernel reads and writes in a loop. */
export interface LoopBody {
  readonly exprs: ExprBuilder;
  readonly values: readonly Expr[];
  readonly stores: readonly Store[];
}

interface Indices {
  /** Of loads and stores. */
  readonly memory: readonly IntExpr[];
  /** Of conditions, positions and counters. */
  readonly plain: readonly IntExpr[];
  /** Price of the operations between them. */
  readonly operations: number;
}

function collect({ exprs, values, stores }: LoopBody): Indices {
  const memory = new Map<string, IntExpr>();
  const plain = new Map<string, IntExpr>();
  const seen = new Set<number>();
  let operations = 0;
  const visit = (expr: Expr): void => {
    if (seen.has(expr.id)) return;
    seen.add(expr.id);
    if (expr.kind === "apply") operations += elementwise(expr.name).cost ?? 1;
    else if (expr.kind === "bits") operations += 120;
    else if (expr.kind !== "constant") operations += 1;
    const isMemory = expr.kind === "load" || expr.kind === "parameter";
    for (const index of indicesOf(expr)) {
      if (isMemory) memory.set(`${"buffer" in expr ? expr.id : ""} ${index.key}`, index);
      else plain.set(index.key, index);
      for (const id of dependencies(index).values) visit(exprs.byId(id));
    }
    if ("args" in expr) expr.args.forEach(visit);
  };
  values.forEach(visit);
  stores.forEach((s, i) => {
    visit(s.value);
    memory.set(`store ${i}`, s.index);
  });
  return { memory: [...memory.values()], plain: [...plain.values()], operations };
}

/** Divisors and moduli that could end a row. */
function candidates(indices: readonly IntExpr[], size: number): number[] {
  const found = new Set<number>([size, 1]);
  const visit = (index: IntExpr, scaleBefore: number): void => {
    for (const { atom } of index.terms) {
      if (atom.kind !== "div" && atom.kind !== "mod") continue;
      for (const length of [atom.by * scaleBefore, atom.by])
        if (length < size && size % length === 0) found.add(length);
      visit(atom.of, scaleBefore);
      // The inner divisor counts too: ((i / 3) mod 5) repeats every 15.
      for (const { atom: inner } of atom.of.terms) {
        if (inner.kind === "div" && size % (inner.by * atom.by) === 0) found.add(inner.by * atom.by);
      }
    }
  };
  for (const index of indices) visit(index, 1);
  return [...found];
}

const isDivision = (index: IntExpr): boolean =>
  index.terms.some(({ atom }) => atom.kind === "div" || atom.kind === "mod");

/** The cheapest way to run over `name`, which four neighbours share where it is the vector variable. */
export function chooseSplit(body: LoopBody, name: string, size: number): Split {
  const { memory, plain, operations } = collect(body);
  let best: Split | undefined;
  for (const length of candidates([...memory, ...plain], size).sort((a, b) => b - a)) {
    const rows = size / length;
    const split = splitIndex({ name, rows, length });
    const column = columnName(name);
    const stepOf = (index: IntExpr): number | undefined => {
      // Of one row the column is the variable itself, and a column of one element does not move.
      if (rows === 1) return factorOf(index, name);
      if (length === 1) return 0;
      return factorOf(
        substitute(index, (n) => (n === name ? split : undefined)),
        column,
      );
    };
    const price = (index: IntExpr, contiguous: number, strided: number, irregular: number): number => {
      const step = stepOf(index);
      return step === 0 ? 0.1 : step === 1 ? contiguous : step !== undefined ? strided : irregular;
    };
    let four = operations + 2;
    let row = 8;
    for (const index of memory) {
      four += price(index, 1, 5, 30);
      row += 2 + (isDivision(index) ? 8 : 0);
    }
    for (const index of plain) {
      four += price(index, 2, 2, 24);
      row += 2 + (isDivision(index) ? 8 : 0);
    }
    const total = rows * (row + Math.ceil(length / 4) * four);
    if (!best || total < best.total) best = { name, size, rows, length, price: four, total };
  }
  return best!;
}
