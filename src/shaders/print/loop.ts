/** Elementwise kernels: an invocation computes four neighbours, or one element where the size is no multiple of 4. */
import type { LoopKernel } from "../../compiler/kernels.ts";
import type { BindingTable } from "./bindings.ts";
import { WgslPrinter, Block } from "./expr.ts";

/** A kernel as a part of a program's main function. */
export interface PrintedPart {
  readonly lines: readonly string[];
  /** Functions that are called. */
  readonly helpers: ReadonlySet<string>;
  /** Declarations of workgroup memory. */
  readonly shared: ReadonlySet<string>;
}

/** Where a part stands in its program. */
export interface PartPlace {
  readonly bindings: BindingTable;
  /** The number of the workgroup, as an expression. */
  readonly workgroup: string;
  readonly workgroupSize: number;
  /** Makes names of this kernel differ from those of others in the same function. */
  readonly prefix: string;
  /** In a persistent kernel, which rows are a workgroup's. */
  readonly own?: OwnRows;
}

/** A share of the rows of all values that a workgroup computes from its own rows alone. */
export interface OwnRows {
  readonly total: number;
  /** Rows of a workgroup; the last has those that are left. */
  readonly each: number;
}

/** How many of `size` values, rows by rows, are a workgroup's. */
export function ownShare({ total, each }: OwnRows, size: number): number {
  return (size * each) / total;
}

export function printLoop(kernel: LoopKernel, place: PartPlace): PrintedPart {
  const { bindings, workgroup, workgroupSize, prefix, own } = place;
  const helpers = new Set<string>();
  const inFours = kernel.size % 4 === 0 && (!own || ownShare(own, kernel.size) % 4 === 0);
  const vector = inFours ? { name: "i", quarter: "i4", size: kernel.size } : undefined;
  const counter = vector ? vector.quarter : "i";
  const units = vector ? kernel.size / 4 : kernel.size;
  const body = new Block(new Set([counter]), new Block(new Set()));
  const printer = new WgslPrinter(kernel.exprs, bindings, vector, new Map(), body, prefix, helpers);
  // All values first: a value stored in place may be read by another store.
  const values = kernel.stores.map((s) => printer.print(s.value));
  kernel.stores.forEach((s, k) => printer.store(s.target, s.index, values[k], s.target.dtype));
  const head = own
    ? ownLoop(counter, { workgroup, share: ownShare(own, units), units, start: " + local", by: workgroupSize })
    : [`let ${counter} = ${workgroup} * ${workgroupSize} + local;`, `if (${counter} < ${units}) {`];
  const lines = [...head, ...body.parent!.lines.map((l) => `  ${l}`), ...body.lines.map((l) => `  ${l}`), "}"];
  return { lines, helpers, shared: new Set() };
}

/** The head of a loop over a workgroup's share of the units. */
export function ownLoop(
  counter: string,
  {
    workgroup,
    share,
    units,
    start = "",
    by,
  }: { workgroup: string; share: number; units: number; start?: string; by: number },
): string[] {
  const end = `min(${workgroup} * ${share} + ${share}, ${units})`;
  return [`for (var ${counter} = ${workgroup} * ${share}${start}; ${counter} < ${end}; ${counter} += ${by}) {`];
}
