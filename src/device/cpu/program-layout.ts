/**
 * A plan as kernels in phases, and where everything they touch lies.
 *
 * Kernels whose code is the same (two branches of a network, layers of one size) are one function with several calls.
 * Kernels find their tensors through a table of addresses. What lives only while a plan runs (slots of intermediates,
 * inputs from the host, temporary tensors of lowerings) lies at fixed places of an arena, which all plans share: they
 * never run at the same time.
 */
import type { Graph, Leaf } from "../../compiler/graph.ts";
import type { FusedKernel, Kernel } from "../../compiler/kernels.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import { getOrCompute, memo } from "../../compiler/memo.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import { valueSpec } from "../../tensor/fused.ts";
import type { Node } from "../../tensor/node.ts";
import { codeKey, operandsOf } from "../../wasm/print/expr-kernel.ts";
import type { ExprKernels, ExprOperand } from "../../wasm/print/expr-kernel.ts";
import type { WasmKernel, WasmLowering } from "../../wasm/kernel.ts";
import { loopKernel } from "../../wasm/print/loop.ts";
import type { ProgramEntry } from "../../wasm/program.ts";
import { reduceKernel } from "../../wasm/print/reduce.ts";
import { matmulKernel } from "../../wasm/print/matmul.ts";
import type { LaidOutLoop, Location, LoopRows, Lowered, WasmLoops } from "../../wasm/loop-layout.ts";
import type { Call, Stage } from "../../wasm/work-sharing.ts";
import { joinPhases } from "../../wasm/work-sharing.ts";

/** The part of the table that a loop uses, from its first entry on. */
interface LoopTable extends LoopRows {
  readonly first: number;
}

/**
 * What a run needs to know: addresses, shapes and counts. Nothing here leads to the graph or to what prints kernels, so
 * that they are garbage once the program is compiled, however many programs are remembered.
 */
export interface Replay {
  readonly phases: readonly Stage[];
  /** The first entries of the table; those of loops follow. */
  readonly table: readonly Location[];
  readonly loops: readonly LoopTable[];
  readonly tableLength: number;
  /** Bytes of the arena. */
  readonly arenaBytes: number;
  /** In the order of the graph's leaves. */
  readonly leaves: readonly LeafPlace[];
  readonly outputs: readonly OutputPlace[];
  /** What is copied into a variable, by its leaf, after the phases. */
  readonly copies: readonly { readonly from: Location; readonly leaf: number; readonly bytes: number }[];
  readonly checks: Graph["checks"];
}

/** A leaf of the graph. */
interface LeafPlace {
  readonly spec: ValueSpec;
  readonly role: Leaf["role"];
  /** Where in the arena a host value is put; undefined where the plan was made for a tensor of the device. */
  readonly at: number | undefined;
}

interface OutputPlace {
  readonly spec: ValueSpec;
  readonly at: Location;
}

export interface ProgramLayout extends Replay {
  /** Functions; their operands are counted from where a call's begin in the table. */
  readonly entries: readonly ProgramEntry[];
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

/** What a layout asks of the planner. */
interface Lowerings {
  lower(kernel: FusedKernel): WasmLowering;
  /** The graph of a loop's body. */
  loopGraph(outputs: readonly Node[]): Graph;
  plan(graph: Graph): Plan;
}

/** Functions of a program, those of equal code once. */
class Functions {
  readonly entries: ProgramEntry[] = [];
  readonly #known = new Map<string, number>();
  /** Kernels made of expressions, by their code. */
  readonly lowered = new Map<string, ExprKernels>();

  numberOf(key: string, make: () => ProgramEntry): number {
    return getOrCompute(this.#known, key, () => this.entries.push(make()) - 1);
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
  known?: ReadonlyMap<Kernel, Lowered>,
  emitLoop?: (kernel: FusedKernel, temporary: Arena) => Stage[],
): { stages: Stage[]; before: Call[]; bytes: number } {
  const phases: Stage[] = [];
  const before: Call[] = [];
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
      const lowered: Lowered = known?.get(kernel) ?? lowerKernel(kernel, step.scratch, lowerings, functions);
      const first = table.length;
      for (const operand of lowered.inputs) table.push(locate(operand));
      // A result that is neither read nor written needs no address.
      for (const node of lowered.outputs) table.push(node ? locate(node) : { kind: "arena", offset: 0 });
      for (const s of lowered.scratch) {
        if ("op" in s) table.push(locate(s));
        else table.push("kind" in s ? s : { kind: "arena", offset: temporary.place(nodeBytes(s)) });
      }
      const callOf = (stage: WasmKernel, name: string | number): Call => {
        const sizesAt = table.length - first;
        for (const offset of stage.sizes ?? []) table.push({ kind: "number", offset });
        const entry = functions.numberOf(`${name} ${lowered.code}`, () => entryOf(stage, lowered, sizesAt));
        return { kernel: entry, units: stage.units, table: 4 * first };
      };
      if (lowered.before) before.push(callOf(lowered.before, "before"));
      return lowered.stages.map(callOf);
    });
    bytes = Math.max(bytes, temporary.bytes);
    for (let stage = 0; stage < Math.max(...stages.map((s) => s.length)); stage++) {
      const kernels = stages.flatMap((s) => s.slice(stage, stage + 1)).filter((k) => k.units > 0);
      if (kernels.length > 0) phases.push({ kernels });
    }
  }
  return { stages: joinPhases(phases), before, bytes };
}

export function layOut(plan: Plan, lowerings: Lowerings): ProgramLayout {
  const arena = new Arena();
  const slots = plan.slots.map((bytes) => arena.place(bytes));
  const parameters = arena.place(plan.graph.parameterWords * 4);
  const leaves = plan.graph.leaves.map(({ role, node, source, offset }): LeafPlace => {
    const staged = role === "buffer" && source.op.kind === "data" ? arena.place(nodeBytes(node)) : undefined;
    return { spec: valueSpec(node), role, at: role === "parameter" ? parameters + 4 * offset : staged };
  });
  const locate = (node: Node): Location => placeOf(plan, slots, node);
  const table: Location[] = [];
  const functions = new Functions();
  const loops: LaidOutLoop[] = [];
  const emitLoop = (kernel: FusedKernel, temporary: Arena): Stage[] => {
    const loop = (kernel.fused.loop!.cpu as WasmLoops).layOut(kernel, {
      locate,
      lowerings,
      arena: temporary,
      steps(plan, row, find, lowered) {
        const { bytes, ...laid } = layOutSteps(plan, lowerings, functions, row, temporary.bytes, find, lowered);
        temporary.bytes = bytes;
        return laid;
      },
      table,
      functions,
    });
    loops.push(loop);
    return loop.stages;
  };
  const { stages, bytes } = layOutSteps(
    plan,
    lowerings,
    functions,
    table,
    arena.bytes,
    (operand) => (typeof operand === "number" ? { kind: "arena", offset: parameters + 4 * operand } : locate(operand)),
    undefined,
    emitLoop,
  );
  let tableLength = table.length;
  const tables = loops.map(({ rows, begin }): LoopTable => {
    const first = tableLength;
    begin(4 * first);
    tableLength += rows.base.length;
    return { first, ...rows };
  });
  const { entries } = functions;
  return {
    entries,
    phases: stages,
    table,
    loops: tables,
    tableLength,
    arenaBytes: bytes,
    leaves,
    outputs: plan.graph.outputs.map((node) => ({ spec: valueSpec(node), at: locate(node) })),
    copies: plan.copies.map(({ from, leaf }) => ({ from: locate(from), leaf, bytes: nodeBytes(from) })),
    checks: plan.graph.checks,
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
      throw new Error(`internal: ${node.op.kind} has no memory`);
  }
}

/** Operands in the order in which they stand in the table. */
function entryOf(kernel: WasmKernel, { inputs, outputs, scratch }: Lowered, sizesAt: number): ProgramEntry {
  const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
  return {
    kernel,
    inputs: range(0, inputs.length),
    outputs: range(inputs.length, outputs.length),
    scratch: range(inputs.length + outputs.length, scratch.length),
    sizes: kernel.sizes && range(sizesAt, kernel.sizes.length),
  };
}

function lowerKernel(
  kernel: Kernel,
  stepScratch: readonly Node[],
  lowerings: Lowerings,
  { lowered }: Functions,
): Lowered {
  if (kernel.kind === "fused") {
    const lowering = lowerings.lower(kernel);
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
  const inputs = operandsOf(kernel);
  const code = codeKey(kernel, inputs);
  const { kernels, scratch } = getOrCompute(lowered, code, () => lowerExprs(kernel));
  return { stages: kernels, inputs, outputs: [], scratch, code };
}

let known = 0;
/** Lowerings are remembered by the planner: the same one has the same code. */
const numberOf = memo(new WeakMap<WasmLowering, number>(), () => known++);

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
