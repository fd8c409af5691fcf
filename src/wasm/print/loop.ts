/** Elementwise kernels: rows of neighbours, four at a time. */
import type { Expr } from "../../compiler/expr.ts";
import type { LoopKernel, Store } from "../../compiler/kernels.ts";
import type { ExprKernels } from "./expr-kernel.ts";
import { memoryOf, operandsOf } from "./expr-kernel.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import type { Split } from "./loop-nest.ts";
import { chooseSplit, columnName, rowName, splitIndex } from "./loop-nest.ts";
import { WasmPrinter } from "./expr.ts";

/** Vector operations that are worth a unit of work of their own. */
export const UNIT_PRICE = 16384;

/** Units of a loop: pieces of rows, or several rows each. */
export interface Units {
  readonly count: number;
  /** Columns of a piece, a multiple of 4; the whole row where there is one piece. */
  readonly piece: number;
  readonly piecesPerRow: number;
  readonly rowsPerUnit: number;
}

export function chooseUnits({ rows, length, total }: Pick<Split, "rows" | "length" | "total">): Units {
  const wanted = Math.max(1, Math.min(1024, Math.round(total / UNIT_PRICE)));
  if (wanted > rows) {
    const piece = Math.max(256, Math.ceil(length / Math.ceil(wanted / rows) / 16) * 16);
    const piecesPerRow = Math.ceil(length / piece);
    if (piecesPerRow > 1) return { count: rows * piecesPerRow, piece, piecesPerRow, rowsPerUnit: 1 };
  }
  const rowsPerUnit = Math.ceil(rows / Math.min(wanted, rows));
  return { count: Math.ceil(rows / rowsPerUnit), piece: length, piecesPerRow: 1, rowsPerUnit };
}

/** Calls `body` for every row, or piece of one, of the units of the context. */
export function forRows(
  f: FunctionBuilder,
  { begin, end }: KernelContext,
  split: Pick<Split, "rows" | "length">,
  units: Units,
  body: (row: Value, from: Value, to: Value) => void,
): void {
  const { piece, piecesPerRow, rowsPerUnit } = units;
  const whole = i32.const(split.length);
  if (piecesPerRow === 1) {
    const past = f.name(i32.mul(end, i32.const(rowsPerUnit)));
    const rows = i32.const(split.rows);
    const last = f.least(past, rows);
    f.for(i32.mul(begin, i32.const(rowsPerUnit)), last, 1, (row) => body(row, i32.const(0), whole));
    return;
  }
  f.for(begin, end, 1, (unit) => {
    const row = split.rows === 1 ? i32.const(0) : f.name(i32.divU(unit, i32.const(piecesPerRow)));
    const place = split.rows === 1 ? unit : f.name(i32.sub(unit, i32.mul(row, i32.const(piecesPerRow))));
    const from = f.name(i32.mul(place, i32.const(piece)));
    const past = f.name(i32.add(from, i32.const(piece)));
    body(row, from, f.least(past, whole));
  });
}

/**
 * Computes `values` and stores them for the neighbours `from` up to but not including `to`: `paired`, eight at a time and
 * the rest in fours.
 */
export function forNeighbours(
  f: FunctionBuilder,
  printer: WasmPrinter,
  variable: string,
  [from, to]: readonly [Value, Value],
  paired: boolean,
  values: readonly Expr[],
  stores: readonly Store[],
): void {
  // All values first: one stored in place may be read by another.
  forPairs(f, printer, variable, [from, to], paired, {
    one: () => {
      const printed = values.map((v) => printer.value(v));
      stores.forEach((s, k) => printer.store(s.target, s.index, printed[k]));
    },
    two: () => {
      const printed = printer.pair(values, stores, () => values.map((v) => f.name(printer.value(v))));
      stores.forEach((s, k) => printer.storePair(s.target, s.index, [printed[0][k], printed[1][k]]));
    },
  });
}

/**
 * With the variable bound, calls `two` for eight neighbours at a time where it is `paired`, and `one` for each four left.
 * `from` is a multiple of four, and of a variable of eights both ends are multiples of eight.
 */
export function forPairs(
  f: FunctionBuilder,
  printer: WasmPrinter,
  variable: string,
  [from, to]: readonly [Value, Value],
  paired: boolean,
  { one, two }: { readonly one: (at: Value) => void; readonly two: (at: Value) => void },
): void {
  const each = (begin: Value, end: Value, step: number, body: (at: Value) => void): void =>
    f.for(begin, end, step, (at) => printer.scope({ [variable]: at }, () => body(at)));
  if (!paired) return each(from, to, 4, one);
  const begin = f.name(from);
  const whole = printer.eights ? to : f.name(i32.add(begin, i32.and(i32.sub(to, begin), i32.const(-8))));
  each(begin, whole, 8, (at) => f.forgetting(() => two(at)));
  if (!printer.eights) each(whole, to, 4, one);
}

export function loopKernel(kernel: LoopKernel): ExprKernels {
  const operands = operandsOf(kernel);
  const values = kernel.stores.map((s) => s.value);
  const split = chooseSplit({ exprs: kernel.exprs, values, stores: kernel.stores }, "i", kernel.size);
  const units = chooseUnits(split);
  const [row, column] = [rowName("i"), columnName("i")];
  const emit = (f: FunctionBuilder, context: KernelContext): void => {
    const printer = new WasmPrinter({
      f,
      features: context.features,
      exprs: kernel.exprs,
      memory: memoryOf(operands, context, kernel.exprs),
      vector: { name: column, size: split.length },
      substitution: new Map([["i", splitIndex(split)]]),
    });
    printer.hoist(values, kernel.stores);
    const paired = context.features.wide === true && printer.canPair(values, kernel.stores);
    forRows(f, context, split, units, (rowAt, from, to) =>
      printer.scope({ [row]: rowAt }, () => {
        printer.hoist(values, kernel.stores);
        forNeighbours(f, printer, column, [from, to], paired, values, kernel.stores);
      }),
    );
  };
  const name = `loop ${kernel.stores.map((s) => `[${s.target.shape.join()}]`).join(" ")}`;
  return { kernels: [{ name, units: units.count, threadBytes: 0, emit }], operands, scratch: [] };
}
