/**
 * A plan as kernels in phases, and where everything they touch lies.
 *
 * Kernels whose code is the same (two branches of a network, layers of one size) are one function with several calls.
 * Kernels find their tensors through a table of addresses. What lives only while a plan runs (slots of intermediates,
 * inputs from the host, temporary tensors of lowerings) lies at fixed places of an arena, which all plans share: they
 * never run at the same time.
 */
import type { Graph } from "../../compiler/graph.ts";
import type { FusedKernel, Kernel } from "../../compiler/kernels.ts";
import type { LoopLeaf, LoopParts } from "../../compiler/loop-plan.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import { timeOf } from "../../tensor/program/body.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import type { Node } from "../../tensor/node.ts";
import { codeKey } from "../../wasm/print/expr-kernel.ts";
import type { ExprKernels, ExprOperand } from "../../wasm/print/expr-kernel.ts";
import type { WasmKernel, WasmLowering } from "../../wasm/kernel.ts";
import { loopKernel } from "../../wasm/print/loop.ts";
import type { ProgramEntry } from "../../wasm/program.ts";
import { reduceKernel } from "../../wasm/print/reduce.ts";
import { matmulKernel } from "../../wasm/print/matmul.ts";
import { i32 } from "../../wasm/assembler/instructions.ts";
import type { Call, Phase, Stage } from "../../wasm/work-sharing.ts";
import { joinPhases, phasesOf } from "../../wasm/work-sharing.ts";

/** Where an entry of the table points: `offset` bytes into the arena, a leaf or an output. */
export type Location =
  | { readonly kind: "arena"; readonly offset: number }
  | { readonly kind: "leaf"; readonly leaf: number; readonly offset?: number }
  | { readonly kind: "output"; readonly output: number; readonly offset?: number };

/** The part of the table that a loop uses: a row for every step. */
interface LoopTable {
  /** The first entry. */
  readonly first: number;
  /** Of every entry which of `bases` it is counted from, and how many bytes it lies behind it. */
  readonly base: Uint32Array;
  readonly offset: Uint32Array;
  readonly bases: readonly Location[];
}

export interface ProgramLayout {
  /** Functions; their operands are counted from where a call's begin in the table. */
  readonly entries: readonly ProgramEntry[];
  readonly phases: readonly Stage[];
  /** The first entries of the table; those of loops follow. */
  readonly table: readonly Location[];
  readonly loops: readonly LoopTable[];
  readonly tableLength: number;
  /** Bytes of the arena. */
  readonly arenaBytes: number;
  /** Where in the arena the parameter buffer lies, if there is one. */
  readonly parameters: number;
  /** Where inputs from the host are put, by leaf; undefined where the plan was made for a tensor of the device. */
  readonly staging: readonly (number | undefined)[];
  /** Where a node of the plan lies. */
  locate(node: Node): Location;
}

const ALIGN = 64;
/** Vectors may read past a tensor's end. */
const PADDING = 16;

/** Places one behind the other. */
class Arena {
  bytes = 0;

  place(size: number): number {
    const at = this.bytes;
    this.bytes = Math.ceil((at + size + PADDING) / ALIGN) * ALIGN;
    return at;
  }
}

/** A kernel of the plan, lowered: the stages run one after the other. */
interface Lowered {
  readonly stages: readonly WasmKernel[];
  readonly inputs: readonly ExprOperand[];
  /** Undefined where the stages do not write it. */
  readonly outputs: readonly (Node | undefined)[];
  readonly scratch: readonly (Node | ValueSpec)[];
  /** Equal where the stages' code is. */
  readonly code: string;
}

/** What a layout asks of the planner. */
interface Lowerings {
  lower(kernel: FusedKernel): WasmLowering;
  loop(kernel: FusedKernel): LoopParts;
  plan(graph: Graph): Plan;
}

/** Functions of a program, those of equal code once. */
class Functions {
  readonly entries: ProgramEntry[] = [];
  readonly #known = new Map<string, number>();

  numberOf(key: string, make: () => ProgramEntry): number {
    let at = this.#known.get(key);
    if (at === undefined) this.#known.set(key, (at = this.entries.push(make()) - 1));
    return at;
  }
}

/** Steps of a plan as phases. `table` receives the addresses' locations. */
function layOutSteps(
  plan: Plan,
  lowerings: Lowerings,
  functions: Functions,
  table: Location[],
  shared: number,
  locate: (operand: ExprOperand) => Location,
  emitLoop?: (kernel: FusedKernel, temporary: Arena) => Stage[],
): { stages: Stage[]; bytes: number } {
  const phases: Stage[] = [];
  let bytes = shared;
  for (const step of plan.steps) {
    // Temporary tensors of a step lie behind everything else; those of different steps in the same place.
    const temporary = new Arena();
    temporary.bytes = shared;
    const [kernel] = step.kernels;
    if (kernel.kind === "fused" && kernel.fused.loop) {
      phases.push(...emitLoop!(kernel, temporary));
      bytes = Math.max(bytes, temporary.bytes);
      continue;
    }
    const stages = step.kernels.map((kernel) => {
      const lowered = lowerKernel(kernel, step.scratch, (k) => lowerings.lower(k));
      const first = table.length;
      for (const operand of lowered.inputs) table.push(locate(operand));
      // A result that is neither read nor written needs no address.
      for (const node of lowered.outputs) table.push(node ? locate(node) : { kind: "arena", offset: 0 });
      for (const s of lowered.scratch)
        table.push("op" in s ? locate(s) : { kind: "arena", offset: temporary.place(nodeBytes(s)) });
      return lowered.stages.map(
        (stage, number): Call => ({
          kernel: functions.numberOf(`${number} ${lowered.code}`, () => entryOf(stage, lowered)),
          units: stage.units,
          table: 4 * first,
        }),
      );
    });
    bytes = Math.max(bytes, temporary.bytes);
    for (let stage = 0; stage < Math.max(...stages.map((s) => s.length)); stage++) {
      const kernels = stages.flatMap((s) => s.slice(stage, stage + 1)).filter((k) => k.units > 0);
      if (kernels.length > 0) phases.push({ kernels });
    }
  }
  return { stages: joinPhases(phases), bytes };
}

export function layOut(plan: Plan, lowerings: Lowerings): ProgramLayout {
  const arena = new Arena();
  const slots = plan.slots.map((bytes) => arena.place(bytes));
  const parameters = arena.place(plan.graph.parameterWords * 4);
  const staging = plan.graph.leaves.map(({ role, node, source }) =>
    role === "buffer" && source.op.kind === "data" ? arena.place(nodeBytes(node)) : undefined,
  );
  const locate = (node: Node): Location => placeOf(plan, slots, node);
  const table: Location[] = [];
  const functions = new Functions();
  const pending: { loop: LaidOutLoop; stage: { table: number } }[] = [];
  const emitLoop = (kernel: FusedKernel, temporary: Arena): Stage[] => {
    const parts = lowerings.loop(kernel);
    const loop = layOutLoop(parts, lowerings, functions, temporary, {
      operand: (i) => locate(kernel.inputs[i]),
      result: (i) => locate(kernel.outputs[i].node!),
    });
    const stage = { body: loop.stages, times: parts.loop.steps, table: 0, row: 4 * loop.width };
    pending.push({ loop, stage });
    const copies = parts.copies.map(({ from, to, lastOnly }): Call => {
      const [source, target] = [from, to].map((i) => kernel.outputs[i]);
      const bytes = nodeBytes(target);
      const at = lastOnly ? bytes * timeOf(parts.loop, parts.loop.steps - 1) : 0;
      const first = table.push(later(locate(source.node!), at), locate(target.node!)) - 2;
      const number = functions.numberOf(`copy ${bytes}`, () => ({
        kernel: copyKernel(bytes),
        inputs: [0],
        outputs: [1],
        scratch: [],
      }));
      return { kernel: number, units: 1, table: 4 * first };
    });
    return copies.length > 0 ? [stage, { kernels: copies }] : [stage];
  };
  const { stages, bytes } = layOutSteps(
    plan,
    lowerings,
    functions,
    table,
    arena.bytes,
    (operand) => (operand === "parameters" ? { kind: "arena", offset: parameters } : locate(operand)),
    emitLoop,
  );
  let tableLength = table.length;
  const loops = pending.map(({ loop, stage }): LoopTable => {
    const first = tableLength;
    stage.table = 4 * first;
    tableLength += loop.table.base.length;
    return { first, ...loop.table };
  });
  const { entries } = functions;
  return {
    entries,
    phases: stages,
    table,
    loops,
    tableLength,
    arenaBytes: bytes,
    parameters,
    staging,
    locate,
  };
}

function placeOf(plan: Plan, slots: readonly number[], node: Node): Location {
  const place = plan.placeOf.get(node);
  switch (place?.kind) {
    case "slot":
      return { kind: "arena", offset: slots[place.slot] };
    case "leaf":
    case "output":
      return place;
    default:
      throw new Error(`internal: a ${node.op.kind} node has no memory`);
  }
}

/** `bytes` further on. */
const later = (location: Location, bytes: number): Location => ({
  ...location,
  offset: (location.offset ?? 0) + bytes,
});

interface LaidOutLoop {
  readonly stages: Phase[];
  /** Entries of a row. */
  readonly width: number;
  readonly table: Omit<LoopTable, "first">;
}

/** The body of a loop as phases, and where its operands lie at every step. */
function layOutLoop(
  { loop, graph, leaves, values }: LoopParts,
  lowerings: Lowerings,
  functions: Functions,
  temporary: Arena,
  at: { operand(i: number): Location; result(i: number): Location },
): LaidOutLoop {
  const plan = lowerings.plan(graph);
  const slots = plan.slots.map((bytes) => temporary.place(bytes));
  const carriedIn = values.map(({ carried, kept, bytes }) =>
    carried && kept.length === 0 ? [0, 1].map((): Location => ({ kind: "arena", offset: temporary.place(bytes) })) : [],
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
    if (operand === "parameters") throw new Error("internal: a loop's body has parameters");
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
  const { stages, bytes } = layOutSteps(plan, lowerings, functions, row, temporary.bytes, locate);
  temporary.bytes = bytes;
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

/** Operands in the order in which they stand in the table. */
function entryOf(kernel: WasmKernel, { inputs, outputs, scratch }: Lowered): ProgramEntry {
  const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
  return {
    kernel,
    inputs: range(0, inputs.length),
    outputs: range(inputs.length, outputs.length),
    scratch: range(inputs.length + outputs.length, scratch.length),
  };
}

function lowerKernel(
  kernel: Kernel,
  stepScratch: readonly Node[],
  lower: (kernel: FusedKernel) => WasmLowering,
): Lowered {
  if (kernel.kind === "fused") {
    const lowering = lower(kernel);
    const { kernels, unwritten = [] } = lowering;
    let used = 0;
    const outputs = kernel.outputs.map(
      ({ node }, i) => node ?? (unwritten.includes(i) ? undefined : stepScratch[used++]),
    );
    return {
      stages: kernels,
      inputs: kernel.inputs,
      outputs,
      scratch: stepScratch.slice(used),
      code: `fused ${numberOf(lowering)}`,
    };
  }
  const { kernels, operands, scratch } = lowerExprs(kernel);
  return { stages: kernels, inputs: operands, outputs: [], scratch, code: codeKey(kernel, operands) };
}

/** Lowerings are remembered by the planner: the same one has the same code. */
const numbers = new WeakMap<WasmLowering, number>();
let known = 0;

function numberOf(lowering: WasmLowering): number {
  let number = numbers.get(lowering);
  if (number === undefined) numbers.set(lowering, (number = known++));
  return number;
}

function lowerExprs(kernel: Exclude<Kernel, FusedKernel>): ExprKernels {
  switch (kernel.kind) {
    case "loop":
      return loopKernel(kernel);
    case "reduce":
      return reduceKernel(kernel);
    case "matmul":
      return matmulKernel(kernel);
  }
}
