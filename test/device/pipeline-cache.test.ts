/** The pipeline cache keeps the pipelines used last, and drops a failure only while it is the one remembered. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { newGpuCounters } from "../../src/device/webgpu/gpu/counters.ts";
import { PipelineCache } from "../../src/device/webgpu/gpu/pipelines.ts";
import type { GPUDevice } from "../../src/shaders/webgpu.ts";

/** A device that only counts what it compiles; a text of "bad" does not compile. */
function countingDevice(compiled: string[]): GPUDevice {
  return {
    limits: { maxStorageBuffersPerShaderStage: 8 },
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    pushErrorScope: () => undefined,
    popErrorScope: async () => null,
    createShaderModule: ({ code }: { code: string }) => ({ code, getCompilationInfo: async () => ({ messages: [] }) }),
    createComputePipelineAsync: async ({ compute }: { compute: { module: { code: string } } }) => {
      compiled.push(compute.module.code);
      if (compute.module.code === "bad") throw new Error("no");
      return {};
    },
  } as unknown as GPUDevice;
}

test("the pipeline not used for longest is given up and compiled again when asked for", async () => {
  const compiled: string[] = [];
  const cache = new PipelineCache(countingDevice(compiled), newGpuCounters(), 2);
  for (const wgsl of ["a", "b", "a", "c", "a", "b"]) await cache.get({ name: wgsl, wgsl, bindings: [] });
  assert.deepEqual(compiled, ["a", "b", "c", "b"]);
});

test("a text that does not compile is tried again", async () => {
  const compiled: string[] = [];
  const cache = new PipelineCache(countingDevice(compiled), newGpuCounters(), 2);
  for (let i = 0; i < 2; i++) await assert.rejects(cache.get({ name: "k", wgsl: "bad", bindings: [] }), /kernel "k"/);
  assert.deepEqual(compiled, ["bad", "bad"]);
});
