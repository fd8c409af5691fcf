/** Devices: where graphs are computed. */
export { gpuChoices } from "./asked.ts";
export type { DeviceOptions } from "./asked.ts";
export { device, useDevice } from "./open.ts";
export { CpuDevice } from "./cpu/cpu-device.ts";
export { CpuOutOfMemoryError } from "./cpu/memory.ts";
export { ReferenceDevice } from "./reference/reference.ts";
export { WebGpuDevice } from "./webgpu/webgpu-device.ts";
export { DeviceLostError, GpuError, KernelError, OutOfMemoryError } from "./webgpu/gpu/errors.ts";
export { difference } from "./webgpu/gpu/counters.ts";
export type { CpuCounters } from "./cpu/counters.ts";
export type { CpuKernelTime } from "./cpu/runner.ts";
export type { WasmFeatures } from "../wasm/assembler/features.ts";
export type { SoftwareDriver } from "./software-vulkan.ts";
export type { GpuKernelTime } from "./webgpu/gpu/timing.ts";
export type { CpuOptions } from "./cpu/cpu-device.ts";
export type { WebGpuOptions } from "./webgpu/webgpu-device.ts";
export type { Counters } from "./webgpu/gpu/counters.ts";
