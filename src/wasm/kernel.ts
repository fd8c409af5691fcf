/**
 * What a kernel of the `cpu` device is: a function that computes some of its units of work.
 *
 * Units are independent: they may run on any thread, in any order, and their results do not depend on how they are
 * shared out. Kernels of a program run one after the other; all units of one are done before the next begins.
 */
import type { ValueSpec } from "../tensor/fused.ts";
import type { WasmFeatures } from "./assembler/features.ts";
import type { Callee, FunctionBuilder } from "./assembler/function.ts";
import type { Value } from "./assembler/instructions.ts";
import type { ModuleBuilder } from "./assembler/module.ts";

export interface WasmKernel {
  /** Shown by HICO_DEBUG and in errors, for example `gruScan.forward`. */
  readonly name: string;
  readonly units: number;
  /** Numbers that the code is told when it runs: kernels that differ in these alone are one function. */
  readonly sizes?: readonly number[];
  /** Bytes of memory that every thread needs for itself while it runs the kernel; contents undefined at the start. */
  readonly threadBytes: number;
  /** Writes the code that computes units `begin` up to but not including `end` (the caller sees to begin < end). */
  emit(f: FunctionBuilder, context: KernelContext): void;
}

/** Operands of a kernel of a fused op: addresses of contiguous, row-major tensors, at least 16-byte aligned. */
export interface Operands {
  input(index: number): Value;
  output(index: number): Value;
  scratch(index: number): Value;
}

export interface KernelContext extends Operands {
  readonly features: WasmFeatures;
  readonly begin: Value;
  readonly end: Value;
  /** One of the kernel's `sizes`. */
  size(index: number): Value;
  /** Address of this thread's memory, 64-byte aligned. */
  readonly threadMemory: Value;
  /** A function of the module that several kernels call: made once for each key. */
  shared(key: string, make: (module: ModuleBuilder) => Callee): Callee;
}

/**
 * How a fused op becomes kernels; undefined declines, and its decomposition runs.
 *
 * @param read which of the op's results anybody reads
 * @param wide whether the engine joins neighbouring vectors into one of 256 bits
 */
export type LowerToWasm<A extends object> = (
  inputs: readonly ValueSpec[],
  attrs: A,
  read: readonly boolean[],
  wide: boolean,
) => WasmLowering | undefined;

/** A fused op as kernels. Results that nobody reads have memory all the same, but for those it does not write. */
export interface WasmLowering {
  /** Results, by number, that the kernels leave alone: nobody reads them. */
  readonly unwritten?: readonly number[];
  readonly kernels: readonly WasmKernel[];
  /** Temporary tensors, shared between the kernels of this lowering; contents undefined at the start. */
  readonly scratch: readonly ValueSpec[];
}
