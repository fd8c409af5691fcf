/**
 * The device that a command computes on, with the code of its kind alone: half of what a command loads else is of kinds
 * that it does not use.
 */
import type { DeviceOptions } from "../device/asked.ts";
import { askedDevice } from "../device/asked.ts";
import type { DeviceName } from "../device/choose.ts";
import type { Backend } from "../tensor/backend.ts";
import { setDefaultDevice } from "../tensor/backend.ts";

const OPENERS: Readonly<Record<DeviceName, (options: DeviceOptions) => Promise<Backend>>> = {
  cpu: async (options) => (await import("../device/cpu/cpu-device.ts")).CpuDevice.open(options),
  webgpu: async (options) => (await import("../device/webgpu/webgpu-device.ts")).WebGpuDevice.open(options),
  reference: async () => new (await import("../device/reference/reference.ts")).ReferenceDevice(),
};

/** As `device` of the package: `auto` where neither a name nor HICO_DEVICE says otherwise. */
export async function openDevice(name: string | undefined, options: DeviceOptions): Promise<Backend> {
  const { kind, options: own } = await askedDevice(name, options);
  return OPENERS[kind](own);
}

/** Opens a device on which everything is computed. */
export async function useDevice(name: string | undefined, options: DeviceOptions): Promise<Backend> {
  const opened = await openDevice(name, options);
  setDefaultDevice(opened);
  return opened;
}
