/**
 * Kernels made of expressions as WebAssembly kernels: which tensors they touch, and where those lie when the code runs.
 */
import type { ExprBuilder } from "../../compiler/expr.ts";
import { storesOf } from "../../compiler/plan.ts";
import type { LoopKernel, MatmulKernel, ReduceKernel, Store } from "../../compiler/kernels.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import type { Node } from "../../tensor/node.ts";
import type { KernelContext, WasmKernel } from "../kernel.ts";
import type { ExprMemory } from "./expr.ts";

/** A node's memory, or the buffer of small host values from a word on. */
export type ExprOperand = Node | number;

/** A kernel of the compiler, lowered. */
export interface ExprKernels {
  readonly kernels: readonly WasmKernel[];
  /** In the order of the contexts' inputs, those that are written among them. */
  readonly operands: readonly ExprOperand[];
  /** Temporary tensors, shared between the kernels. */
  readonly scratch: readonly ValueSpec[];
}

/** Tensors that a kernel reads or writes, each once. */
export function operandsOf(kernel: LoopKernel | ReduceKernel | MatmulKernel): ExprOperand[] {
  const operands = new Set<ExprOperand>();
  const words: number[] = [];
  for (const expr of kernel.exprs.all) {
    if (expr.kind === "load") operands.add(expr.buffer);
    if (expr.kind === "parameter") words.push(expr.word);
  }
  // Counted from the first that is used, kernels with host values of their own have the same code.
  if (words.length > 0) operands.add(Math.min(...words));
  for (const { target } of storesOf(kernel)) operands.add(target);
  return [...operands];
}

/** The operands' addresses, where the code of a kernel asks for them. */
export function memoryOf(operands: readonly ExprOperand[], context: KernelContext, exprs: ExprBuilder): ExprMemory {
  const parameters = operands.findIndex((operand) => typeof operand === "number");
  let past = 0;
  for (const e of exprs.all) if (e.kind === "parameter") past = Math.max(past, e.word + e.index.max + 1);
  return {
    address: (node) => {
      const at = operands.indexOf(node);
      if (at < 0) throw new Error("internal: no such operand");
      return context.input(at);
    },
    parameters: { address: context.input(parameters), first: operands[parameters] as number, past },
  };
}

/** Equal for kernels whose code is the same but for the addresses of their operands. */
export function codeKey(kernel: LoopKernel | ReduceKernel | MatmulKernel, operands: readonly ExprOperand[]): string {
  const numberOf = new Map(operands.map((operand, i) => [operand, i]));
  const firstWord = operands.find((operand) => typeof operand === "number") ?? 0;
  const exprs = kernel.exprs.all.map((e) =>
    e.kind === "parameter" ? `parameter ${e.dtype} ${e.word - firstWord} ${e.index.key}` : e.key,
  );
  const stores = (list: readonly Store[]): string =>
    list.map((s) => `${numberOf.get(s.target)} ${s.target.dtype} ${s.index.key} ${s.value.id}`).join("&");
  const form = (): string => {
    switch (kernel.kind) {
      case "loop":
        return `${kernel.size} ${stores(kernel.stores)}`;
      case "matmul":
        return `${kernel.batch} ${kernel.m} ${kernel.n} ${kernel.k} ${kernel.a.id} ${kernel.b.id} ${stores(kernel.stores)}`;
      case "reduce": {
        const phases = kernel.phases
          .map((p) => p.map((a) => `${a.number} ${a.name} ${a.value.id}`).join("&"))
          .join("|");
        return `${kernel.rows} ${kernel.columns} ${phases} ${stores(kernel.rowStores)} ${stores(kernel.elementStores)}`;
      }
    }
  };
  return `${kernel.kind} ${form()}\n${exprs.join("\n")}`;
}
