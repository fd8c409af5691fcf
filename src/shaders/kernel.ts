/**
 * What a lowering hands to a device: WGSL text, what each binding is, and how many workgroups to run.
 *
 * Sizes are compiled into the text (a plan is made for fixed shapes and replayed), so a kernel needs no uniforms.
 * Every binding is a storage buffer in `@group(0)`; `@binding(i)` is position `i` of `bindings`. The entry point is
 * `main`. Text must stay within the WGSL that Dawn, wgpu (Deno) and browsers share; docs/wgsl.md lists the rules.
 */
import type { ValueSpec } from "../tensor/fused.ts";

/** Workgroups along one axis of a dispatch that every WebGPU adapter runs: the default of its limit. */
export const MAX_WORKGROUPS = 65535;

/** What a lowering may know of the adapter it compiles for. */
export interface AdapterProfile {
  /** `cpu`: a software driver, where registers beat shared memory and barriers are dear. `gpu`: a real GPU. */
  readonly kind: "cpu" | "gpu";
  readonly maxStorageBuffers: number;
  readonly maxInvocations: number;
  readonly maxWorkgroupBytes: number;
  readonly maxBindingBytes: number;
  readonly subgroups: boolean;
  readonly f16: boolean;
}

/** One storage buffer of a kernel: the n-th input or output of the op, or the n-th scratch buffer of the lowering. */
export interface Binding {
  readonly role: "in" | "out" | "scratch";
  readonly index: number;
  readonly access: "read" | "read_write";
}

export interface KernelSource {
  /** Shown by HICO_DEBUG and in errors, for example `gruScan.forward`. */
  readonly name: string;
  readonly wgsl: string;
  readonly bindings: readonly Binding[];
  readonly workgroups: readonly [number, number, number];
}

/** An op lowered to kernels that run one after the other. */
export interface Lowering {
  readonly kernels: readonly KernelSource[];
  /** Temporary buffers, shared between the kernels of this lowering; contents undefined at the start. */
  readonly scratch: readonly ValueSpec[];
}

/**
 * How a fused op becomes kernels; undefined declines, and its decomposition runs.
 *
 * @param read which of the op's results anybody reads
 */
export type LowerToWgsl<A extends object> = (
  inputs: readonly ValueSpec[],
  attrs: A,
  profile: AdapterProfile,
  read: readonly boolean[],
) => Lowering | undefined;
