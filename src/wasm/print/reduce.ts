/**
 * Reductions: rows of elements combined in one or several passes, then values stored by row and by element.
 *
 * Either four neighbours of a row are combined at a time and the lanes at its end (`reduce-columns.ts`), or four
 * neighbouring rows (`reduce-rows.ts`), whichever reads memory better.
 */
import type { ReduceKernel } from "../../compiler/kernels.ts";
import type { ExprKernels } from "./expr-kernel.ts";
import { operandsOf } from "./expr-kernel.ts";
import type { WasmKernel } from "../kernel.ts";
import type { LoopBody } from "./loop-nest.ts";
import { chooseSplit } from "./loop-nest.ts";
import type { ChooseUnits } from "./loop.ts";
import { columnsKernel } from "./reduce-columns.ts";
import { rowsKernel } from "./reduce-rows.ts";

/** Price of combining the lanes of one accumulator. */
const LANES_PRICE = 12;

/** @param choose how rows are cut into units */
export function reduceKernel(kernel: ReduceKernel): ExprKernels;
export function reduceKernel(kernel: ReduceKernel, choose?: ChooseUnits): ExprKernels | undefined;
export function reduceKernel(kernel: ReduceKernel, choose?: ChooseUnits): ExprKernels | undefined {
  const { rows, columns, phases, elementStores, exprs } = kernel;
  const operands = operandsOf(kernel);
  const accumulators = phases.flat();
  const body: LoopBody = {
    exprs,
    values: [...accumulators.map((a) => a.value), ...elementStores.map((s) => s.value)],
    stores: elementStores,
  };
  const columnSplit = chooseSplit(body, "c", columns);
  const rowSplit = chooseSplit(body, "r", rows);
  const byColumns = rows * (columnSplit.total + LANES_PRICE * accumulators.length);
  // Accumulators are read and written for every element.
  const byRows = columns * (rowSplit.total + 2 * accumulators.length * rowSplit.rows * Math.ceil(rowSplit.length / 4));
  const name = `reduce ${rows}x${columns}`;
  const main: WasmKernel | undefined =
    byColumns <= byRows
      ? columnsKernel(name, kernel, operands, columnSplit, choose)
      : rowsKernel(name, kernel, operands, rowSplit, chooseSplit(body, "c", columns), choose);
  return main && { kernels: [main], operands, scratch: [] };
}
