/** Kernels written for the battery alone, made ready to run on buffers of their own. */
import type { GpuBuffer } from "../../src/device/webgpu/gpu/buffers.ts";
import type { DispatchCommand, Gpu } from "../../src/device/webgpu/gpu/gpu.ts";

/** A kernel's text, and what is bound to it in order. */
interface KernelText {
  readonly name: string;
  readonly wgsl: string;
  readonly workgroups: readonly [number, number, number];
  readonly buffers: readonly {
    readonly buffer: GpuBuffer;
    readonly offset?: number;
    readonly bytes: number;
    readonly written?: boolean;
  }[];
}

export async function prepareKernel(
  gpu: Gpu,
  { name, wgsl, workgroups, buffers }: KernelText,
): Promise<DispatchCommand> {
  const bindings = buffers.map(({ written }) => ({ access: written ? ("read_write" as const) : ("read" as const) }));
  const pipeline = await gpu.pipeline({ name, wgsl, bindings });
  const bindGroup = gpu.bindGroup(
    pipeline,
    buffers.map(({ buffer, offset = 0, bytes }) => ({ buffer, offset, size: bytes })),
  );
  return { kind: "dispatch", name, pipeline, bindGroup, workgroups };
}
