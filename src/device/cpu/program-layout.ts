/**
 * A plan as kernels in phases, and where everything they touch lies.
 *
 * Kernels whose code is the same (two branches of a network, layers of one size) are one function with several calls.
 * Kernels find their tensors through a table of addresses. What lives only while a plan runs (slots of intermediates,
 * inputs from the host, temporary tensors of lowerings) lies at fixed places of an arena, which all plans share: they
 * never run at the same time.
 */
import type { FusedKernel, Kernel } from "../../compiler/kernels.ts";
import type { Plan } from "../../compiler/plan.ts";
import { nodeBytes } from "../../compiler/plan.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import type { Node } from "../../tensor/node.ts";
import { codeKey } from "../../wasm/print/expr-kernel.ts";
import type { ExprKernels, ExprOperand } from "../../wasm/print/expr-kernel.ts";
import type { WasmKernel, WasmLowering } from "../../wasm/kernel.ts";
import { loopKernel } from "../../wasm/print/loop.ts";
import type { ProgramEntry } from "../../wasm/program.ts";
import { reduceKernel } from "../../wasm/print/reduce.ts";
import { matmulKernel } from "../../wasm/print/matmul.ts";
import type { Call, Phase } from "../../wasm/work-sharing.ts";
import { joinPhases } from "../../wasm/work-sharing.ts";

/** Where an entry of the table points. */
export type Location =
  | { readonly kind: "arena"; readonly offset: number }
  | { readonly kind: "leaf"; readonly leaf: number }
  | { readonly kind: "output"; readonly output: number };

export interface ProgramLayout {
  /** Functions; their operands are counted from where a call's begin in the table. */
  readonly entries: readonly ProgramEntry[];
  readonly phases: readonly Phase[];
  readonly table: readonly Location[];
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

export function layOut(plan: Plan, lower: (kernel: FusedKernel) => WasmLowering): ProgramLayout {
  const arena = new Arena();
  const slots = plan.slots.map((bytes) => arena.place(bytes));
  const parameters = arena.place(plan.graph.parameterWords * 4);
  const staging = plan.graph.leaves.map(({ role, node, source }) =>
    role === "buffer" && source.op.kind === "data" ? arena.place(nodeBytes(node)) : undefined,
  );

  const locate = (node: Node): Location => {
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
  };

  const table: Location[] = [];
  const locationOf = (operand: ExprOperand): Location =>
    operand === "parameters" ? { kind: "arena", offset: parameters } : locate(operand);

  const entries: ProgramEntry[] = [];
  const functions = new Map<string, number>();
  const phases: Phase[] = [];
  // Temporary tensors of a step lie behind everything else; those of different steps in the same place.
  const shared = arena.bytes;
  let arenaBytes = shared;
  for (const step of plan.steps) {
    const temporary = new Arena();
    temporary.bytes = shared;
    const stages = step.kernels.map((kernel) => {
      const lowered = lowerKernel(kernel, step.scratch, lower);
      const first = table.length;
      for (const operand of lowered.inputs) table.push(locationOf(operand));
      // A result that is neither read nor written needs no address.
      for (const node of lowered.outputs) table.push(node ? locate(node) : { kind: "arena", offset: 0 });
      for (const s of lowered.scratch)
        table.push("op" in s ? locate(s) : { kind: "arena", offset: temporary.place(nodeBytes(s)) });
      return lowered.stages.map((stage, number): Call => {
        const key = `${number} ${lowered.code}`;
        let at = functions.get(key);
        if (at === undefined) functions.set(key, (at = entries.push(entryOf(stage, lowered)) - 1));
        return { kernel: at, units: stage.units, table: 4 * first };
      });
    });
    arenaBytes = Math.max(arenaBytes, temporary.bytes);
    for (let stage = 0; stage < Math.max(...stages.map((s) => s.length)); stage++) {
      const kernels = stages.flatMap((s) => s.slice(stage, stage + 1)).filter((k) => k.units > 0);
      if (kernels.length > 0) phases.push({ kernels });
    }
  }
  return { entries, phases: joinPhases(phases), table, arenaBytes, parameters, staging, locate };
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
