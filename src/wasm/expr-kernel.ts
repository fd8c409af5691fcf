/**
 * Kernels made of expressions as WebAssembly kernels: which tensors they touch, and where those lie when the code runs.
 */
import type { ExprBuilder } from "../compiler/expr.ts";
import { storesOf } from "../compiler/plan.ts";
import type { LoopKernel, MatmulKernel, ReduceKernel } from "../compiler/kernels.ts";
import type { TensorSpec } from "../shaders/kernel.ts";
import type { Node } from "../tensor/node.ts";
import type { KernelContext, WasmKernel } from "./kernel.ts";
import type { ExprMemory } from "./wasm-expr.ts";

/** A node's memory, or the buffer of small host values. */
export type ExprOperand = Node | "parameters";

/** A kernel of the compiler, lowered. */
export interface ExprKernels {
  readonly kernels: readonly WasmKernel[];
  /** In the order of the contexts' inputs, those that are written among them. */
  readonly operands: readonly ExprOperand[];
  /** Temporary tensors, shared between the kernels. */
  readonly scratch: readonly TensorSpec[];
}

/** Tensors that a kernel reads or writes, each once. */
export function operandsOf(kernel: LoopKernel | ReduceKernel | MatmulKernel): ExprOperand[] {
  const operands = new Set<ExprOperand>();
  for (const expr of kernel.exprs.all) {
    if (expr.kind === "load") operands.add(expr.buffer);
    if (expr.kind === "parameter") operands.add("parameters");
  }
  for (const { target } of storesOf(kernel)) operands.add(target);
  return [...operands];
}

/** The operands' addresses, where the code of a kernel asks for them. */
export function memoryOf(operands: readonly ExprOperand[], context: KernelContext, exprs: ExprBuilder): ExprMemory {
  const parameters = operands.indexOf("parameters");
  let words = 0;
  for (const e of exprs.all) if (e.kind === "parameter") words = Math.max(words, e.word + e.index.max + 1);
  return {
    address: (node) => {
      const at = operands.indexOf(node);
      if (at < 0) throw new Error("internal: a kernel uses a tensor that is none of its operands");
      return context.input(at);
    },
    parameters: parameters < 0 ? undefined : { address: context.input(parameters), words },
  };
}
