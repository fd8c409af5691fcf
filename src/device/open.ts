/**
 * Opening devices by name, and the default device at first use.
 *
 * The one file that knows every kind of device. A bundle of a program that names its device's class instead
 * (`CpuDevice`) leaves it out, and with it all kinds that the program has no use for.
 */
import type { Backend } from "../tensor/backend.ts";
import { setDefaultDevice, setDefaultOpener } from "../tensor/backend.ts";
import type { DeviceOptions } from "./asked.ts";
import { askedDevice } from "./asked.ts";
import { CpuDevice } from "./cpu/cpu-device.ts";
import { ReferenceDevice } from "./reference/reference.ts";
import { WebGpuDevice } from "./webgpu/webgpu-device.ts";

/**
 * Opens the device of this name: `auto` (a real GPU, else `cpu`), `webgpu`, `cpu` or `reference`. `HICO_DEVICE`,
 * `HICO_ADAPTER` and `HICO_THREADS` stand in for what is not given.
 *
 * @throws Error where what was asked for is not there; the message lists what is.
 */
export async function device(name?: string, options: DeviceOptions = {}): Promise<Backend> {
  const { kind, options: own } = await askedDevice(name, options);
  if (kind === "reference") return new ReferenceDevice();
  return kind === "cpu" ? CpuDevice.open(own) : WebGpuDevice.open(own);
}

/**
 * Opens a device and makes it the one on which tensors without a device of their own are computed.
 *
 * @param name `auto` (the default: a real GPU, else `cpu`), `webgpu`, `cpu` or `reference`
 * @param options threads of `cpu`, adapter of `webgpu`, and the like
 * @throws Error where what was asked for is not there; the message lists what is.
 */
export async function useDevice(name?: string, options: DeviceOptions = {}): Promise<Backend> {
  const opened = await device(name, options);
  setDefaultDevice(opened);
  return opened;
}

setDefaultOpener(() => device());
