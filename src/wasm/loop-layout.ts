/**
 * A loop as the `cpu` device runs it: one step's phases, and a table with a row of addresses for every step.
 *
 * It hangs on the loop, so that only programs with a loop load it.
 */
import type { Graph } from "../compiler/graph.ts";
import type { LoopLeaf, LoopParts } from "../compiler/loop-plan.ts";
import { loopParts } from "../compiler/loop-plan.ts";
import type { Plan } from "../compiler/plan.ts";
import { nodeBytes } from "../compiler/plan.ts";
import type { Node } from "../tensor/node.ts";
import { timeOf } from "../tensor/program/body.ts";
import { i32 } from "./assembler/instructions.ts";
import type { WasmKernel } from "./kernel.ts";
import type { ExprOperand } from "./print/expr-kernel.ts";
import type { ProgramEntry } from "./program.ts";
import type { Phase, Stage } from "./work-sharing.ts";
import { phasesOf } from "./work-sharing.ts";

/** Where an entry of the table points: `offset` bytes into the arena, a leaf or an output; or a number, its `offset`. */
export type Location =
  | { readonly kind: "arena"; readonly offset: number }
  | { readonly kind: "number"; readonly offset: number }
  | { readonly kind: "leaf"; readonly leaf: number; readonly offset?: number }
  | { readonly kind: "output"; readonly output: number; readonly offset?: number };

/** A row of the table for every step. */
export interface LoopRows {
  /** Of every entry which of `bases` it is counted from, and how many bytes it lies behind it. */
  readonly base: Uint32Array;
  readonly offset: Uint32Array;
  readonly bases: readonly Location[];
}

/** `bytes` further on. */
const later = (location: Location, bytes: number): Location => ({
  ...location,
  offset: (location.offset ?? 0) + bytes,
});

export interface LaidOutLoop {
  readonly stages: Phase[];
  /** Entries of a row. */
  readonly width: number;
  readonly table: LoopRows;
}

/** What the layout of the program around a loop does for it. */
interface Around {
  /** Where an operand or a result of the loop lies. */
  operand(i: number): Location;
  result(i: number): Location;
  plan(graph: Graph): Plan;
  /** Room for as long as the loop runs, in bytes of the arena. */
  place(bytes: number): number;
  /** The plan's stages; the locations of their operands go to the end of `row`. */
  steps(plan: Plan, row: Location[], locate: (operand: ExprOperand) => Location): Stage[];
}

/** The body of a loop as phases, and where its operands lie at every step. */
function layOutLoop({ loop, graph, leaves, values }: LoopParts, at: Around): LaidOutLoop {
  const plan = at.plan(graph);
  const slots = plan.slots.map((bytes) => at.place(bytes));
  const carriedIn = values.map(({ carried, kept, bytes }) =>
    carried && kept.length === 0 ? [0, 1].map((): Location => ({ kind: "arena", offset: at.place(bytes) })) : [],
  );
  /** Where a value is written at the k-th step. */
  const written = (value: number, k: number): Location => {
    const { kept, last, bytes } = values[value];
    if (kept.length > 0) return later(at.result(kept[0]), bytes * timeOf(loop, k));
    if (k === loop.steps - 1 && last.length > 0) return at.result(last[0]);
    return carriedIn[value][k % 2];
  };
  const read = (leaf: LoopLeaf, k: number): Location => {
    if (leaf.kind === "whole") return at.operand(leaf.operand);
    if (leaf.kind === "step") return later(at.operand(leaf.operand), leaf.bytes * timeOf(loop, k));
    return k === 0 ? at.operand(leaf.operand) : written(leaf.value, k - 1);
  };
  const valueNumber = new Map(values.map(({ node }, i) => [node, i]));
  const row: Location[] = [];
  /** Entries of a row that point elsewhere at every step. */
  const moving = new Map<Location, (k: number) => Location>();
  const locate = (operand: ExprOperand): Location => {
    if (typeof operand === "number") throw new Error("internal: a loop's body has parameters");
    const place = plan.placeOf.get(operand);
    const fixed: Location = { kind: "arena", offset: 0 };
    if (place?.kind === "slot") return { kind: "arena", offset: slots[place.slot] };
    const column =
      place?.kind === "leaf"
        ? (k: number) => read(leaves[place.leaf], k)
        : (k: number) => written(valueNumber.get(operand)!, k);
    moving.set(fixed, column);
    return fixed;
  };
  const stages = at.steps(plan, row, locate);
  const columns = row.map((location) => moving.get(location) ?? (() => location));

  const bases: Location[] = [];
  const numbers = new Map<string, number>();
  const base = new Uint32Array(loop.steps * row.length);
  const offset = new Uint32Array(loop.steps * row.length);
  for (let k = 0; k < loop.steps; k++) {
    columns.forEach((column, i) => {
      const location = column(k);
      const start: Location = { ...location, offset: 0 };
      const key =
        location.kind + (location.kind === "leaf" ? location.leaf : location.kind === "output" ? location.output : "");
      let number = numbers.get(key);
      if (number === undefined) numbers.set(key, (number = bases.push(start) - 1));
      base[k * row.length + i] = number;
      offset[k * row.length + i] = location.offset ?? 0;
    });
  }
  return { stages: phasesOf(stages), width: row.length, table: { base, offset, bases } };
}

/** Copies input 0 to output 0. */
function copyKernel(bytes: number): WasmKernel {
  return {
    name: "copy",
    units: 1,
    threadBytes: 0,
    emit: (f, { input, output }) => f.copyBytes(output(0), input(0), i32.const(bytes)),
  };
}

/** Copies between results once the loop has run, `at` bytes into the first; each an entry of the program. */
function copiesAfter({ loop, copies }: LoopParts, result: (i: number) => Node) {
  return copies.map(({ from, to, lastOnly }) => {
    const bytes = nodeBytes(result(to));
    const entry: ProgramEntry = { kernel: copyKernel(bytes), inputs: [0], outputs: [1], scratch: [] };
    const at = lastOnly ? bytes * timeOf(loop, loop.steps - 1) : 0;
    return { entry, bytes, from: result(from), to: result(to), at };
  });
}

/** What the device asks of a loop. */
export const WASM_LOOPS = { parts: loopParts, layOut: layOutLoop, later, copiesAfter };
export type WasmLoops = typeof WASM_LOOPS;
