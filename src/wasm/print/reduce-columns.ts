/**
 * Reductions along rows: four neighbours of a row at a time. A row is taken through all passes while it is in the cache.
 *
 * Long rows of simple values are summed in four chains, so that one addition need not wait for the one before.
 */
import type { Accumulator, ReduceKernel } from "../../compiler/kernels.ts";
import type { ExprOperand } from "./expr-kernel.ts";
import { memoryOf } from "./expr-kernel.ts";
import type { FunctionBuilder, Local } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext, WasmKernel } from "../kernel.ts";
import type { ChooseUnits } from "./loop.ts";
import { chooseUnits, forNeighbours, forPairs, forRows, sizesOf } from "./loop.ts";
import type { Split } from "./loop-nest.ts";
import { columnName, rowName, splitIndex } from "./loop-nest.ts";
import { LONG_CHAIN, combine, identity, inBlocks } from "./combine.ts";
import { WasmPrinter } from "./expr.ts";
import { keptColumns } from "./kept-columns.ts";

const CHAINS = 4;
/** Columns from which, and price of four elements up to which, chains pay. */
const CHAINED_LENGTH = 64;
const CHAINED_PRICE = 12;

export function columnsKernel(
  name: string,
  kernel: ReduceKernel,
  operands: readonly ExprOperand[],
  split: Split,
  choose: ChooseUnits = chooseUnits,
): WasmKernel | undefined {
  const { rows, phases, rowStores, elementStores, exprs } = kernel;
  const all = { rows, length: 1 };
  const units = choose({ ...all, total: rows * (split.total + 16) });
  if (!units) return undefined;
  const [outer, inner] = [rowName("c"), columnName("c")];
  const chains = split.length >= CHAINED_LENGTH && split.price <= CHAINED_PRICE ? CHAINS : 1;
  // In the thread's memory: chains, or pairs of values, and behind them the results.
  const resultsAt = Math.max(16 * CHAINS, 32 * Math.max(0, ...phases.map((phase) => phase.length)));
  const keptAt = 16 * Math.ceil((resultsAt + 4 * phases.flat().length) / 16);
  const vector = { name: inner, size: split.length };
  const substitution = new Map([["c", splitIndex(split)]]);
  const rowValues = rowStores.map((s) => s.value);
  const elementValues = elementStores.map((s) => s.value);
  const passes = [...phases.flat().map((a) => a.value), ...elementValues];
  const kept = keptColumns(rows, passes, exprs, vector, substitution);
  const emit = (f: FunctionBuilder, context: KernelContext): void => {
    const printer = new WasmPrinter({
      f,
      context,
      exprs,
      memory: memoryOf(operands, context, exprs),
      vector,
      substitution,
    });
    kept.fill(f, printer, i32.add(context.threadMemory, i32.const(keptAt)));
    const add = (a: Accumulator, sum: Local, value: Value): void => f.set(sum, combine(a, sum, value));
    printer.hoist(passes);
    const wide = context.features.wide === true;

    forRows(f, context, all, units, (row) =>
      printer.scope({ r: row }, () => {
        for (const accumulators of phases) {
          const values = accumulators.map((a) => a.value);
          const sums = accumulators.map((a) => accumulatorLocals(f, a, chains));
          const joins = chains > 1 && printer.canPair(values);
          const rounds = (split.rows * split.length) / (4 * chains);
          const isLong = rounds > LONG_CHAIN;
          const totals = isLong ? accumulators.map((a) => accumulatorLocals(f, a, chains)) : sums;
          const endBlock = (): void =>
            accumulators.forEach((a, k) =>
              sums[k].forEach((sum, chain) => {
                add(a, totals[k][chain], sum);
                f.set(sum, identity(a));
              }),
            );
          const ended = isLong ? inBlocks(f, rounds, endBlock) : undefined;
          printer.hoist(values);
          f.for(i32.const(0), i32.const(split.rows), 1, (outerAt) =>
            printer.scope({ [outer]: outerAt }, () => {
              printer.hoist(values);
              const take = (at: Value, chain: number, last: boolean) =>
                printer.scope({ [inner]: at }, () => {
                  accumulators.forEach((a, k) => {
                    const sum = sums[k][chain];
                    let value = printer.value(a.value);
                    const rest = split.length % 4;
                    if (last && rest > 0) {
                      const kept = f.local("v128", value);
                      const mask = v128.const([0, 1, 2, 3].map((lane) => (lane < rest ? -1 : 0)));
                      const masked = () => f.set(kept, v128.bitselect(kept, identity(a), mask));
                      if (split.length < 4) masked();
                      else f.if(i32.gtS(at, i32.const(split.length - 4)), masked);
                      value = kept;
                    }
                    add(a, sum, value);
                  });
                });
              const neighbours = (vectors: number) =>
                printer.neighbours(vectors, values, [], () => values.map((v) => f.name(printer.value(v))));
              /** A round of all chains, whose vectors are neighbours. */
              const takeChains = (at: Value) =>
                printer.scope({ [inner]: at }, () =>
                  neighbours(chains).forEach((vectors, chain) =>
                    accumulators.forEach((a, k) => add(a, sums[k][chain], vectors[k])),
                  ),
                );
              const chained = Math.floor(split.length / (4 * chains)) * 4 * chains;
              if (chains === 1) {
                // Two values at a time, taken one after the other; they are stored for the engine to begin at.
                const two = () => {
                  const taken = neighbours(2);
                  accumulators.forEach((_, k) =>
                    taken.forEach((vectors, i) => f.store(context.threadMemory, vectors[k], 32 * k + 16 * i)),
                  );
                  for (const vectors of taken) {
                    accumulators.forEach((a, k) => add(a, sums[k][0], vectors[k]));
                    ended?.();
                  }
                };
                const costly = split.price > CHAINED_PRICE && printer.canPair(values);
                forPairs(f, printer, inner, [i32.const(0), i32.const(split.length)], costly, (at, vectors) => {
                  if (vectors === 2) return two();
                  take(at, 0, true);
                  ended?.();
                });
              } else {
                f.for(i32.const(0), i32.const(chained), 4 * chains, (at) => {
                  if (joins) takeChains(at);
                  else
                    for (let chain = 0; chain < chains; chain++)
                      take(chain === 0 ? at : f.name(i32.add(at, i32.const(4 * chain))), chain, false);
                  ended?.();
                });
                if (joins) sums.forEach((own) => throughMemory(f, context.threadMemory, own));
                f.for(i32.const(chained), i32.const(split.length), 4, (at) => take(at, 0, true));
              }
            }),
          );
          if (ended) endBlock();
          accumulators.forEach((a, k) => {
            const value = overLanes(f, a, joined(f, a, totals[k]));
            printer.setResult(
              a.number,
              wide ? splatted(f, context.threadMemory, value, resultsAt + 4 * a.number) : value,
            );
          });
        }
        // What elements need is read before rows are stored: a row may be stored in place.
        const printed = rowValues.map((v) => printer.value(v));
        if (elementStores.length > 0) {
          printer.hoist(elementValues, elementStores);
          f.for(i32.const(0), i32.const(split.rows), 1, (outerAt) =>
            printer.scope({ [outer]: outerAt }, () => {
              printer.hoist(elementValues, elementStores);
              const range = [i32.const(0), i32.const(split.length)] as const;
              forNeighbours(f, printer, inner, range, elementStores);
            }),
          );
        }
        rowStores.forEach((s, k) => printer.store(s.target, s.index, printed[k]));
      }),
    );
  };
  const threadBytes = keptAt + kept.bytes;
  return { name, units: units.count, sizes: sizesOf(all, units), threadBytes, emit };
}

/**
 * A result, the same in all lanes, by way of memory. Of a vector loaded as one element an engine that joins vectors has
 * both halves at once; of any other it would compute all that it comes from a second time.
 */
function splatted(f: FunctionBuilder, memory: Value, value: Value, at: number): Value {
  f.store32Lane(memory, value, 0, at);
  return v128.load32Splat(memory, at);
}

/** Stores vectors side by side and loads them again. An engine that joins vectors begins at stores that are neighbours. */
function throughMemory(f: FunctionBuilder, place: Value, vectors: readonly Local[]): void {
  const at = f.name(place);
  vectors.forEach((vector, i) => f.store(at, vector, 16 * i));
  vectors.forEach((vector, i) => f.set(vector, v128.load(at, 16 * i)));
}

function accumulatorLocals(f: FunctionBuilder, a: Accumulator, chains: number): Local[] {
  return Array.from({ length: chains }, () => f.local("v128", identity(a)));
}

function joined(f: FunctionBuilder, a: Accumulator, sums: readonly Value[]): Value {
  if (sums.length === 1) return sums[0];
  const join = (x: Value, y: Value) => f.name(combine(a, x, y));
  return join(join(sums[0], sums[1]), join(sums[2], sums[3]));
}

/** All lanes combined, in every lane. */
function overLanes(f: FunctionBuilder, a: Accumulator, given: Value): Value {
  const x = f.name(given);
  const halves = f.name(combine(a, x, v128.shuffle32(x, x, [2, 3, 0, 1])));
  return f.name(combine(a, halves, v128.shuffle32(halves, halves, [1, 0, 3, 2])));
}
