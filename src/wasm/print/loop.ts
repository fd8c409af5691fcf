/** Elementwise kernels: rows of neighbours, four at a time. */
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
import { keptColumns } from "./kept-columns.ts";

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

type Rows = Pick<Split, "rows" | "length">;

/** How a loop of rows is cut into units; undefined where it cannot be as is wanted. */
export type ChooseUnits = (split: Pick<Split, "rows" | "length" | "total">) => Units | undefined;

/** What `forRows` is told when the code runs: kernels of more rows, or of a longer one, have the same code. */
export function sizesOf({ rows, length }: Rows, { piece, piecesPerRow, rowsPerUnit }: Units): number[] {
  return rows === 1 ? [piece, length] : piecesPerRow === 1 ? [rowsPerUnit, rows] : [piece, piecesPerRow];
}

/** Calls `body` for every row, or piece of one, of the units of the context. */
export function forRows(
  f: FunctionBuilder,
  { begin, end, size }: KernelContext,
  split: Rows,
  units: Units,
  body: (row: Value, from: Value, to: Value) => void,
): void {
  const [first, second] = [size(0), size(1)];
  const length = i32.const(split.length);
  if (split.rows > 1 && units.piecesPerRow === 1) {
    const past = f.least(i32.mul(end, first), second);
    f.for(i32.mul(begin, first), past, 1, (row) => body(row, i32.const(0), length));
    return;
  }
  f.for(begin, end, 1, (unit) => {
    const row = split.rows === 1 ? i32.const(0) : f.name(i32.divU(unit, second));
    const place = split.rows === 1 ? unit : i32.sub(unit, i32.mul(row, second));
    const from = f.name(i32.mul(place, first));
    body(row, from, f.least(i32.add(from, first), split.rows === 1 ? second : length));
  });
}

/**
 * Computes `stores` and stores them for the neighbours `from` up to but not including `to`: eight at a time where they
 * can be paired, and the rest in fours.
 *
 * @param results gives the kernel's results values, where they are not known before: first for the place of a vector or
 * of a pair, then `bytes` further on
 */
export function forNeighbours(
  f: FunctionBuilder,
  printer: WasmPrinter,
  variable: string,
  range: readonly [Value, Value],
  stores: readonly Store[],
  results: (at: Value) => (bytes: number) => void = () => () => {},
): void {
  const values = stores.map((s) => s.value);
  forPairs(f, printer, variable, range, printer.canPair(values, stores), (at, vectors) => {
    const set = results(at);
    // All values first: one stored in place may be read by another.
    const printed = printer.neighbours(vectors, values, stores, (bytes) => {
      set(bytes);
      return values.map((v) => f.name(printer.value(v)));
    });
    stores.forEach(({ target, index }, k) =>
      printer.storeNeighbours(
        target,
        index,
        printed.map((p) => p[k]),
      ),
    );
  });
}

/**
 * With the variable bound, calls `body` for two vectors of four neighbours at a time where it is `paired`, and for each
 * that is left. `from` is a multiple of four, and of a variable of eights both ends are multiples of eight.
 */
export function forPairs(
  f: FunctionBuilder,
  printer: WasmPrinter,
  variable: string,
  [from, to]: readonly [Value, Value],
  paired: boolean,
  body: (at: Value, vectors: 1 | 2) => void,
): void {
  const each = (begin: Value, end: Value, vectors: 1 | 2): void =>
    f.for(begin, end, 4 * vectors, (at) => {
      const run = (): void => printer.scope({ [variable]: at }, () => body(at, vectors));
      if (vectors === 1) run();
      else f.forgetting(run);
    });
  if (!paired) return each(from, to, 1);
  const begin = f.name(from);
  const whole = printer.eights ? to : f.name(i32.add(begin, i32.and(i32.sub(to, begin), i32.const(-8))));
  each(begin, whole, 2);
  if (!printer.eights) each(whole, to, 1);
}

export function loopKernel(kernel: LoopKernel): ExprKernels;
export function loopKernel(kernel: LoopKernel, choose?: ChooseUnits): ExprKernels | undefined;
export function loopKernel(kernel: LoopKernel, choose: ChooseUnits = chooseUnits): ExprKernels | undefined {
  const operands = operandsOf(kernel);
  const values = kernel.stores.map((s) => s.value);
  const split = chooseSplit({ exprs: kernel.exprs, values, stores: kernel.stores }, "i", kernel.size);
  const units = choose(split);
  if (!units) return undefined;
  const [row, column] = [rowName("i"), columnName("i")];
  const vector = { name: column, size: split.length };
  const substitution = new Map([["i", splitIndex(split)]]);
  const rows = units.piecesPerRow === 1 ? split.rows : 1;
  const kept = keptColumns(rows, values, kernel.exprs, vector, substitution);
  const emit = (f: FunctionBuilder, context: KernelContext): void => {
    const printer = new WasmPrinter({
      f,
      context,
      exprs: kernel.exprs,
      memory: memoryOf(operands, context, kernel.exprs),
      vector,
      substitution,
    });
    kept.fill(f, printer, context.threadMemory);
    printer.hoist(values, kernel.stores);
    forRows(f, context, split, units, (rowAt, from, to) =>
      printer.scope({ [row]: rowAt }, () => {
        printer.hoist(values, kernel.stores);
        forNeighbours(f, printer, column, [from, to], kernel.stores);
      }),
    );
  };
  const name = `loop ${kernel.stores.map((s) => `[${s.target.shape.join()}]`).join(" ")}`;
  const main = { name, units: units.count, sizes: sizesOf(split, units), threadBytes: kept.bytes, emit };
  return { kernels: [main], operands, scratch: [] };
}
