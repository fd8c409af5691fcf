/**
 * The adapter that GPU tests run on: the one HICO_ADAPTER names; else SwiftShader from npm under Node, lavapipe under
 * Deno. Never a real GPU by accident, so that a test's result does not depend on the machine.
 */
import { environmentVariable, isDeno } from "../../src/device/environment.ts";
import type { GpuOptions } from "../../src/device/webgpu/gpu/gpu.ts";
import { Gpu } from "../../src/device/webgpu/gpu/gpu.ts";

/** Name of the test adapter: "swiftshader", "lavapipe", or what HICO_ADAPTER says. */
export const testAdapter: string = environmentVariable("HICO_ADAPTER") ?? (isDeno ? "lavapipe" : "swiftshader");

/** Opens the test adapter. The caller closes it. */
export function openTestGpu(options: GpuOptions = {}): Promise<Gpu> {
  return Gpu.open({ adapter: testAdapter, ...options });
}
