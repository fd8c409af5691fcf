/**
 * Reductions across rows: four neighbouring rows at a time, a block of rows to a unit. Columns are passed one after the
 * other, each along the whole block, so that memory is read in stretches; the block's accumulators lie in the thread's
 * memory, which is the L1 cache.
 *
 * Values that are the same for all elements of a row are computed once and kept beside the accumulators.
 */
import type { Expr, ExprBuilder } from "../../compiler/expr.ts";
import { indicesOf } from "../../compiler/expr.ts";
import type { Accumulator, ReduceKernel, Store } from "../../compiler/kernels.ts";
import { dependencies } from "../../compiler/int-expr.ts";
import type { ExprOperand } from "./expr-kernel.ts";
import { memoryOf } from "./expr-kernel.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext, WasmKernel } from "../kernel.ts";
import type { ChooseUnits, Units } from "./loop.ts";
import { UNIT_PRICE, forPairs, forRows, sizesOf } from "./loop.ts";
import type { Split } from "./loop-nest.ts";
import { columnName, rowName, splitIndex } from "./loop-nest.ts";
import { LONG_CHAIN, combine, identity, inBlocks } from "./combine.ts";
import { Dependence } from "./dependence.ts";
import { WasmPrinter } from "./expr.ts";

/**
 * Rows of a block: enough for stretches of two cache lines at least, and of six where memory is all that a sum waits for
 * (of two it takes half as long again), few enough for the cache.
 */
const LEAST_ROWS = 32;
const LEAST_CHEAP_ROWS = 96;
const MOST_ROWS = 256;
/** Price of four elements up to which they are cheap. */
const CHEAP = 12;

function blockUnits({ rows, length, total, price }: Split, columns: number): Units {
  const least = price > CHEAP ? LEAST_ROWS : LEAST_CHEAP_ROWS;
  const wanted = Math.max(1, Math.min(1024, Math.round((total * columns) / UNIT_PRICE)));
  const pieces = Math.ceil(wanted / rows);
  const fair = Math.ceil(length / pieces / LEAST_ROWS) * LEAST_ROWS;
  const piece = Math.min(MOST_ROWS, Math.max(least, fair), Math.ceil(length / 4) * 4);
  const piecesPerRow = Math.ceil(length / piece);
  const rowsPerUnit = piecesPerRow > 1 ? 1 : Math.ceil(rows / Math.min(wanted, rows));
  return {
    count: piecesPerRow > 1 ? rows * piecesPerRow : Math.ceil(rows / rowsPerUnit),
    piece,
    piecesPerRow,
    rowsPerUnit,
  };
}

export function rowsKernel(
  name: string,
  kernel: ReduceKernel,
  operands: readonly ExprOperand[],
  split: Split,
  columnSplit: Split,
  choose?: ChooseUnits,
): WasmKernel | undefined {
  const { columns, phases, rowStores, elementStores, exprs } = kernel;
  const units = choose ? choose(split) : blockUnits(split, columns);
  if (!units || units.piece > MOST_ROWS) return undefined;
  const [rowOuter, rowInner] = [rowName("r"), columnName("r")];
  const [columnOuter, columnInner] = [rowName("c"), columnName("c")];
  const elementValues = elementStores.map((s) => s.value);
  const accumulators = phases.flat();
  const passes = [...phases.map((phase) => phase.map((a) => a.value)), elementValues];
  const kept = keptValues(passes, exprs);
  // One line of the block for each accumulator, kept value, and value of a row that waits to be stored. A line is whole
  // vectors, of which the last may reach behind the block's end.
  const lineBytes = 16 * Math.ceil(units.piece / 4);
  const ends = accumulators.length + kept.length + rowStores.length;
  // Sums of floats have blocks of columns where there are many, and a line more.
  const long = accumulators.filter((a) => columns > LONG_CHAIN && a.name === "sum" && a.value.dtype === "f32");
  const lines = ends + long.length;

  const emit = (f: FunctionBuilder, context: KernelContext): void => {
    const printer = new WasmPrinter({
      f,
      context,
      exprs,
      memory: memoryOf(operands, context, exprs),
      vector: { name: rowInner, size: split.length, results: true },
      substitution: new Map([
        ["r", splitIndex(split)],
        ["c", splitIndex(columnSplit)],
      ]),
    });
    printer.hoist(passes.flat());

    forRows(f, context, split, units, (rowAt, from, to) =>
      printer.scope({ [rowOuter]: rowAt }, () => {
        // Line k of the block at row `at`: this base + 4·at + k·lineBytes.
        const base = f.name(i32.sub(context.threadMemory, i32.shl(from, i32.const(2))));
        const place = (at: Value): Value => f.name(i32.add(base, i32.shl(at, i32.const(2))));
        const lineOf = (number: number): number => lineBytes * accumulators.findIndex((a) => a.number === number);
        const keptLine = (k: number): number => lineBytes * (accumulators.length + k);
        const storeLine = (k: number): number => lineBytes * (accumulators.length + kept.length + k);

        /** Code for four rows, or pairs of four, that stores values, with what they need of results so far. */
        const forBlock = (available: ReadonlySet<number>, work: readonly BlockValue[]): void => {
          const values = work.flatMap((w) => w.value ?? []);
          const stores = work.flatMap((w) => w.store ?? []);
          const needed = needs(values, available, kept, (id) => exprs.byId(id));
          const compute = (here: Value, bytes: number): Value[] => {
            for (const number of needed.results) printer.setResult(number, v128.load(here, lineOf(number) + bytes));
            for (const k of needed.kept) printer.setValue(kept[k].expr, v128.load(here, keptLine(k) + bytes));
            return work.map(({ value, into }) => f.name(into(value && printer.value(value), here, bytes)));
          };
          forPairs(f, printer, rowInner, [from, to], printer.canPair(values, stores), (at, vectors) => {
            const here = place(at);
            const computed = printer.neighbours(vectors, values, stores, (bytes) => compute(here, bytes));
            work.forEach(({ line = 0, store }, k) => {
              const own = computed.map((c) => c[k]);
              if (store) printer.storeNeighbours(store.target, store.index, own);
              else own.forEach((vector, i) => f.store(here, vector, line + 16 * i));
            });
          });
        };
        const forColumns = (values: readonly Expr[], stores: readonly Store[], body: () => void): void => {
          printer.hoist(values, stores);
          f.for(i32.const(0), i32.const(columnSplit.rows), 1, (outer) =>
            printer.scope({ [columnOuter]: outer }, () => {
              printer.hoist(values, stores);
              f.for(i32.const(0), i32.const(columnSplit.length), 1, (inner) =>
                printer.scope({ [columnInner]: inner }, () => {
                  printer.hoist(values, stores);
                  body();
                }),
              );
            }),
          );
        };

        const available = new Set<number>();
        const keep = (pass: number): void =>
          kept.forEach(({ expr, firstPass }, k) => {
            if (firstPass !== pass) return;
            forBlock(available, [{ value: expr, into: itself, line: keptLine(k) }]);
            available.add(k);
          });

        phases.forEach((phase, pass) => {
          keep(pass);
          /** The line that elements are added to. */
          const partLine = (a: Accumulator): number =>
            long.includes(a) ? lineBytes * (ends + long.indexOf(a)) : lineOf(a.number);
          const start = (a: Accumulator, line: number) => ({ into: () => identity(a), line });
          const sums = phase.filter((a) => long.includes(a));
          forBlock(available, [
            ...phase.map((a) => start(a, partLine(a))),
            ...sums.map((a) => start(a, lineOf(a.number))),
          ]);
          const add = (a: Accumulator, to: number, value: BlockValue["into"]) => ({
            into: (given: Value | undefined, here: Value, bytes: number) =>
              combine(a, v128.load(here, to + bytes), value(given, here, bytes)),
            line: to,
          });
          const values = phase.map((a) => a.value);
          const added = phase.map((a) => ({ value: a.value, ...add(a, partLine(a), itself) }));
          const endBlock = () =>
            forBlock(
              available,
              sums.flatMap((a) => [
                add(a, lineOf(a.number), (_, here, bytes) => v128.load(here, partLine(a) + bytes)),
                start(a, partLine(a)),
              ]),
            );
          const ended = sums.length > 0 ? inBlocks(f, columns, endBlock) : undefined;
          forColumns(values, [], () => {
            forBlock(available, added);
            ended?.();
          });
          if (ended) endBlock();
        });
        keep(phases.length);
        // What elements need is read before rows are stored, and rows' values before elements are: both may be in place.
        const delayed = elementStores.length > 0;
        const rowValues = rowStores.map((s) => s.value);
        if (rowStores.length > 0) {
          printer.hoist(rowValues, rowStores);
          forBlock(
            available,
            rowStores.map((store, k) => ({
              value: store.value,
              into: itself,
              ...(delayed ? { line: storeLine(k) } : { store }),
            })),
          );
        }
        if (!delayed) return;
        forColumns(elementValues, elementStores, () =>
          forBlock(
            available,
            elementStores.map((store) => ({ value: store.value, into: itself, store })),
          ),
        );
        // The values are in memory: only where they go is taken from the stores.
        forBlock(
          available,
          rowStores.map(({ target, index }, k) => ({
            into: (_: Value | undefined, here: Value, bytes: number) => v128.load(here, storeLine(k) + bytes),
            store: { target, index },
          })),
        );
      }),
    );
  };
  return { name, units: units.count, sizes: sizesOf(split, units), threadBytes: lines * lineBytes, emit };
}

/** What is computed for a block's rows and where it goes: to a line of the thread's memory, or where a store says. */
interface BlockValue {
  readonly value?: Expr;
  /** The vector to be stored, from the value's; `here` is the block's place in memory, `bytes` what a pair's second adds. */
  readonly into: (value: Value | undefined, here: Value, bytes: number) => Value;
  readonly line?: number;
  readonly store?: Pick<Store, "target" | "index">;
}

const itself = (value: Value | undefined): Value => value!;

interface Kept {
  readonly expr: Expr;
  /** The pass that needs it first. */
  readonly firstPass: number;
}

type ById = (id: number) => Expr;

/** Operations on results and on values of rows, as large as they come, that passes over the elements need. */
function keptValues(passes: readonly (readonly Expr[])[], exprs: ExprBuilder): Kept[] {
  const dependence = new Dependence(exprs);
  const kept: Kept[] = [];
  const seen = new Set<number>();
  passes.forEach((values, firstPass) => {
    const visit = (expr: Expr, root: boolean): void => {
      if (seen.has(expr.id)) return;
      seen.add(expr.id);
      const operation = expr.kind === "apply" || expr.kind === "cast";
      const names = dependence.variablesOf(expr);
      if (!root && operation && names.size > 0 && !names.has("c")) {
        kept.push({ expr, firstPass });
        return;
      }
      for (const next of parts(expr, (id) => exprs.byId(id))) visit(next, false);
    };
    for (const value of values) visit(value, true);
  });
  return kept;
}

/** Results and kept values that these values use. */
function needs(values: readonly Expr[], available: ReadonlySet<number>, kept: readonly Kept[], byId: ById) {
  const results = new Set<number>();
  const used = new Set<number>();
  const seen = new Set<number>();
  const visit = (expr: Expr): void => {
    if (seen.has(expr.id)) return;
    seen.add(expr.id);
    const at = kept.findIndex((k, index) => k.expr === expr && available.has(index));
    if (at >= 0) used.add(at);
    else if (expr.kind === "result") results.add(expr.number);
    else for (const next of parts(expr, byId)) visit(next);
  };
  values.forEach(visit);
  return { results, kept: used };
}

/** Expressions that one is made of, those of its indices among them. */
function parts(expr: Expr, byId: ById): Expr[] {
  const indexed = indicesOf(expr).flatMap((index) => [...dependencies(index).values].map(byId));
  return "args" in expr ? [...expr.args, ...indexed] : indexed;
}
