/** Small kernels for tests of the host layer, whose results are known exactly. */
import type { DispatchCommand, Gpu } from "../../src/device/webgpu/gpu/gpu.ts";
import type { GpuBuffer } from "../../src/device/webgpu/gpu/buffers.ts";
import type { PipelineSource } from "../../src/device/webgpu/gpu/pipelines.ts";

/** `out[i] = factor * in[i] + 1` in u32 arithmetic. */
export function affine(factor: number): PipelineSource {
  return {
    name: `affine${factor}`,
    bindings: [{ access: "read" }, { access: "read_write" }],
    wgsl: `@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < arrayLength(&result)) { result[id.x] = ${factor}u * source[id.x] + 1u; }
}`,
  };
}

/** A kernel that keeps the adapter busy: `rounds` steps of a linear congruential generator for each element. */
export function busy(rounds: number): PipelineSource {
  return {
    name: "busy",
    bindings: [{ access: "read_write" }],
    wgsl: `@group(0) @binding(0) var<storage, read_write> state: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= arrayLength(&state)) { return; }
  var x = state[id.x];
  for (var i = 0u; i < ${rounds}u; i++) { x = x * 1664525u + 1013904223u; }
  state[id.x] = x;
}`,
  };
}

/** A dispatch of `source` over `count` elements of each buffer. */
export async function dispatch(
  gpu: Gpu,
  source: PipelineSource,
  buffers: readonly GpuBuffer[],
  count: number,
): Promise<DispatchCommand> {
  const pipeline = await gpu.pipeline(source);
  const bindGroup = gpu.bindGroup(
    pipeline,
    buffers.map((buffer) => ({ buffer, size: count * 4 })),
  );
  return { kind: "dispatch", pipeline, bindGroup, workgroups: [Math.ceil(count / 64), 1, 1] };
}

/** 0, 1, ..., count - 1. */
export function counting(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => i);
}
