/** Devices: where graphs are computed. */
import type { Backend } from "../tensor/backend.ts";
import { setDefaultDevice, setDefaultOpener } from "../tensor/backend.ts";
import { chooseDevice } from "./choose.ts";
import { environmentVariable } from "./environment.ts";
import { devices } from "./info.ts";
import { ReferenceDevice } from "./reference/reference.ts";
import { listAdapters, resolveAdapterOptions } from "./webgpu/adapter.ts";
import type { WebGpuOptions } from "./webgpu/webgpu-device.ts";
import { WebGpuDevice } from "./webgpu/webgpu-device.ts";

export { ReferenceDevice } from "./reference/reference.ts";
export { WebGpuDevice } from "./webgpu/webgpu-device.ts";
export { DeviceLostError, GpuError, KernelError, OutOfMemoryError } from "./webgpu/errors.ts";
export { difference } from "./webgpu/counters.ts";
export type { WebGpuOptions } from "./webgpu/webgpu-device.ts";
export type { Counters } from "./webgpu/counters.ts";

/**
 * Opens a device: `auto` (a real GPU, else the best that computes on the CPU), `webgpu` or `reference`.
 * `HICO_DEVICE` and `HICO_ADAPTER` stand in for what is not given.
 *
 * @throws Error where what was asked for is not there; the message lists what is.
 */
export async function device(name?: string, options: WebGpuOptions = {}): Promise<Backend> {
  const asked = name ?? environmentVariable("HICO_DEVICE") ?? "auto";
  if (asked === "reference") return new ReferenceDevice();
  const resolved = resolveAdapterOptions(options);
  if (asked === "webgpu") return WebGpuDevice.open(resolved);
  const adapter = options.adapter ?? environmentVariable("HICO_ADAPTER");
  const adapters = await listAdapters(resolved).then((found) => found.map((f) => f.info), () => []);
  const choice = chooseDevice({ device: asked, adapter: adapter ?? options.software, adapters, devices });
  return choice.device === "webgpu" ? WebGpuDevice.open(resolved) : new ReferenceDevice();
}

/** Opens a device and makes it the default. */
export async function useDevice(name?: string, options: WebGpuOptions = {}): Promise<Backend> {
  const opened = await device(name, options);
  setDefaultDevice(opened);
  return opened;
}

setDefaultOpener(() => device());
