/**
 * A loop as the `cpu` device runs it: one step's phases, and a table with a row of addresses for every step.
 *
 * It hangs on the loop, so that only programs with a loop load it.
 */
import type { Graph } from "../compiler/graph.ts";
import type { FusedKernel, Kernel } from "../compiler/kernels.ts";
import type { LoopLeaf, LoopParts } from "../compiler/loop-plan.ts";
import { loopParts } from "../compiler/loop-plan.ts";
import type { Plan } from "../compiler/plan.ts";
import { nodeBytes } from "../compiler/plan.ts";
import { rowCounter, rowLocal } from "../compiler/row-local.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import type { Node } from "../tensor/node.ts";
import { timeOf } from "../tensor/program/body.ts";
import { i32 } from "./assembler/instructions.ts";
import type { WasmKernel } from "./kernel.ts";
import type { ExprOperand } from "./print/expr-kernel.ts";
import { codeKey } from "./print/expr-kernel.ts";
import type { ChooseUnits } from "./print/loop.ts";
import { loopKernel } from "./print/loop.ts";
import { matmulOfRows } from "./print/matmul.ts";
import { reduceKernel } from "./print/reduce.ts";
import type { ProgramEntry } from "./program.ts";
import type { Call, Phase, Stage } from "./work-sharing.ts";
import { phasesOf } from "./work-sharing.ts";

/** Where an entry of the table points: `offset` bytes into the arena, a leaf or an output; or a number, its `offset`. */
export type Location =
  | { readonly kind: "arena"; readonly offset: number }
  | { readonly kind: "number"; readonly offset: number }
  | { readonly kind: "leaf"; readonly leaf: number; readonly offset?: number }
  | { readonly kind: "output"; readonly output: number; readonly offset?: number };

/** A kernel of the plan, lowered: the stages run one after the other. */
export interface Lowered {
  readonly stages: readonly WasmKernel[];
  /** Runs before the loop that the kernel stands in, once. */
  readonly before?: WasmKernel;
  readonly inputs: readonly ExprOperand[];
  /** Undefined where the stages do not write it. */
  readonly outputs: readonly (Node | undefined)[];
  readonly scratch: readonly (Node | ValueSpec | Location)[];
  /** Equal where the stages' code is. */
  readonly code: string;
}

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
  /** The loop, and what runs before it and after. */
  readonly stages: Stage[];
  readonly rows: LoopRows;
  /** Says how many bytes into the table the rows begin. */
  begin(at: number): void;
}

/** What the layout of the program around a loop does for it. */
interface Around {
  /** Where a value of the program lies. */
  locate(node: Node): Location;
  readonly lowerings: {
    /** The graph of a loop's body. */
    loopGraph(outputs: readonly Node[]): Graph;
    plan(graph: Graph): Plan;
  };
  /** Gives places for as long as the loop runs, as offsets. */
  readonly arena: { place(bytes: number): number };
  /** The plan's stages; the locations of their operands go to the end of `row`. */
  steps(
    plan: Plan,
    row: Location[],
    locate: (operand: ExprOperand) => Location,
    lowered?: ReadonlyMap<Kernel, Lowered>,
  ): { readonly stages: Stage[]; readonly before: Call[] };
  /** The program's table. */
  readonly table: Location[];
  /** Gives the number of a function of the program, which is made once a key. */
  readonly functions: { numberOf(key: string, make: () => ProgramEntry): number };
}

/** Rows of a batch that a thread takes through a loop at a time: fewer where there would be too few units. */
const UNIT_ROWS = [16, 8] as const;
/** Units that keep a few cores busy. */
const ENOUGH_UNITS = 8;

/** Units of `each` neighbours, a multiple of eight; undefined where a row of the loop begins within one. */
const unitsOf =
  (each: number): ChooseUnits =>
  ({ rows, length }) => {
    const count = Math.ceil((rows * length) / each);
    if (rows > 1 && each % length === 0) return { count, piece: length, piecesPerRow: 1, rowsPerUnit: each / length };
    if (rows > 1 && length % each > 0) return undefined;
    return { count, piece: each, piecesPerRow: Math.ceil(length / each), rowsPerUnit: 1 };
  };

/** The kernels of a loop whose rows do not need each other, cut into as many units each. */
interface Cut {
  readonly units: number;
  readonly lowered: ReadonlyMap<Kernel, Lowered>;
}

/**
 * Kernels that compute rows from the same rows alone are cut where rows are: units of one number need those of no other,
 * so that whoever takes a number runs it through all steps and nobody waits in between. Undefined where rows need each
 * other, where they are too few, or where a kernel cannot be cut so.
 */
function cutByRows({ graph, leaves }: LoopParts, plan: Plan, { arena }: Pick<Around, "arena">): Cut | undefined {
  const rows = Math.max(0, ...graph.outputs.map(({ shape }) => shape[0] ?? 0));
  const [many, few] = UNIT_ROWS;
  const each = Math.ceil(rows / many) >= ENOUGH_UNITS ? many : few;
  const units = Math.ceil(rows / each);
  if (units < 2) return undefined;
  const leafOf = new Map(graph.leaves.map(({ node }, i) => [node, leaves[i].kind]));
  const kernels = plan.steps.flatMap((step) => step.kernels);
  const changes = (node: Node): boolean => (leafOf.get(node) ?? "carry") === "carry";
  if (!rowLocal(kernels, rows, changes)) return undefined;
  const lowered = new Map<Kernel, Lowered>();
  const packs: { bytes: number; at: { kind: "arena"; offset: number } }[] = [];
  for (const kernel of kernels) {
    if (kernel.kind === "fused") return undefined;
    const own = (each * rowCounter(kernel, rows)!.size) / rows;
    const as = (stages: WasmKernel[], inputs: readonly ExprOperand[], more?: Pick<Lowered, "before" | "scratch">) =>
      lowered.set(kernel, {
        stages,
        inputs,
        outputs: [],
        scratch: [],
        code: `${own} ${codeKey(kernel, inputs)}`,
        ...more,
      });
    if (kernel.kind === "matmul") {
      const { b } = kernel;
      const found = b.kind === "load" && leafOf.get(b.buffer) === "whole" ? matmulOfRows(kernel, own) : undefined;
      if (!found) return undefined;
      const at = { kind: "arena", offset: 0 } as const;
      packs.push({ bytes: found.bytes, at });
      as([found.kernel], found.operands, { before: found.pack, scratch: [at] });
    } else {
      const found = kernel.kind === "loop" ? loopKernel(kernel, unitsOf(own)) : reduceKernel(kernel, unitsOf(own));
      if (!found) return undefined;
      as([...found.kernels], found.operands);
    }
  }
  for (const { bytes, at } of packs) at.offset = arena.place(bytes);
  return { units, lowered };
}

/** A loop as stages, and where the operands of its body lie at every step. */
function layOutLoop(kernel: FusedKernel, at: Around): LaidOutLoop {
  const parts = loopParts(kernel, (outputs) => at.lowerings.loopGraph(outputs));
  const { loop, graph, leaves, values } = parts;
  const operand = (i: number): Location => at.locate(kernel.inputs[i]);
  const result = (i: number): Location => at.locate(kernel.outputs[i].node!);
  const plan = at.lowerings.plan(graph);
  const cut = cutByRows(parts, plan, at);
  // Rows of values of another size lie elsewhere within a slot: where threads are at steps of their own, each size has its
  // own memory.
  const slots = new Map<string, Location>();
  const bytesIn = (slot: number, node: Node): number => (cut ? nodeBytes(node) : plan.slots[slot]);
  const slotKey = (slot: number, node: Node): string => `${slot} ${bytesIn(slot, node)}`;
  for (const [node, place] of plan.placeOf) {
    if (place.kind !== "slot") continue;
    const key = slotKey(place.slot, node);
    if (!slots.has(key)) slots.set(key, { kind: "arena", offset: at.arena.place(bytesIn(place.slot, node)) });
  }
  const carriedIn = values.map(({ carried, kept, bytes }) =>
    carried && kept.length === 0 ? [0, 1].map((): Location => ({ kind: "arena", offset: at.arena.place(bytes) })) : [],
  );
  /** Where a value is written at the k-th step. */
  const written = (value: number, k: number): Location => {
    const { kept, last, bytes } = values[value];
    if (kept.length > 0) return later(result(kept[0]), bytes * timeOf(loop, k));
    if (k === loop.steps - 1 && last.length > 0) return result(last[0]);
    return carriedIn[value][k % 2];
  };
  const read = (leaf: LoopLeaf, k: number): Location => {
    if (leaf.kind === "whole") return operand(leaf.operand);
    if (leaf.kind === "step") return later(operand(leaf.operand), leaf.bytes * timeOf(loop, k));
    return k === 0 ? operand(leaf.operand) : written(leaf.value, k - 1);
  };
  const valueNumber = new Map(values.map(({ node }, i) => [node, i]));
  const row: Location[] = [];
  /** Entries of a row that point elsewhere at every step. */
  const moving = new Map<Location, (k: number) => Location>();
  const locate = (node: ExprOperand): Location => {
    if (typeof node === "number") throw new Error("internal: a loop's body has parameters");
    const place = plan.placeOf.get(node);
    const fixed: Location = { kind: "arena", offset: 0 };
    if (place?.kind === "slot") return slots.get(slotKey(place.slot, node))!;
    const column =
      place?.kind === "leaf"
        ? (k: number) => read(leaves[place.leaf], k)
        : (k: number) => written(valueNumber.get(node)!, k);
    moving.set(fixed, column);
    return fixed;
  };
  const body = at.steps(plan, row, locate, cut?.lowered);
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
  const stage = { body: phasesOf(body.stages), times: loop.steps, apart: cut?.units, table: 0, row: 4 * row.length };
  const before = body.before.map((call) => ({ ...call, table: call.table ?? 0 }));
  const copies = parts.copies.map(({ from, to, lastOnly }): Call => {
    const bytes = nodeBytes(kernel.outputs[to].node!);
    const start = lastOnly ? bytes * timeOf(loop, loop.steps - 1) : 0;
    const first = at.table.push(later(result(from), start), result(to)) - 2;
    const entry = (): ProgramEntry => ({ kernel: copyKernel(bytes), inputs: [0], outputs: [1], scratch: [] });
    return { kernel: at.functions.numberOf(`copy ${bytes}`, entry), units: 1, table: 4 * first };
  });
  const around = (kernels: readonly Call[]): Phase[] => (kernels.length > 0 ? [{ kernels }] : []);
  return {
    stages: [...around(before), stage, ...around(copies)],
    rows: { base, offset, bases },
    begin(at) {
      stage.table = at;
      // What runs before a loop finds its operands where the first step does.
      for (const call of before) call.table += at;
    },
  };
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

/** What the device asks of a loop. */
export const WASM_LOOPS = { layOut: layOutLoop };
export type WasmLoops = typeof WASM_LOOPS;
