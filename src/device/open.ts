/**
 * Opening devices by name, and the default device at first use.
 *
 * The one file that knows every kind of device. A bundle of a program that names its device's class instead
 * (`CpuDevice`) leaves it out, and with it all kinds that the program has no use for.
 */
import type { Backend } from "../tensor/backend.ts";
import { setDefaultDevice, setDefaultOpener } from "../tensor/backend.ts";
import { chooseDevice } from "./choose.ts";
import type { CpuOptions } from "./cpu/cpu-device.ts";
import { CpuDevice } from "./cpu/cpu-device.ts";
import { environmentVariable } from "./environment.ts";
import { devices } from "./info.ts";
import { ReferenceDevice } from "./reference/reference.ts";
import { listAdapters, resolveAdapterOptions } from "./webgpu/gpu/adapter.ts";
import { spreadChoices } from "./webgpu/gpu/describe.ts";
import type { WebGpuOptions } from "./webgpu/webgpu-device.ts";
import { WebGpuDevice } from "./webgpu/webgpu-device.ts";

/** Options of every kind of device; each takes what concerns it. */
export type DeviceOptions = WebGpuOptions & CpuOptions;

/**
 * Opens the device of this name: `auto` (a real GPU, else `cpu`), `webgpu`, `cpu` or `reference`. `HICO_DEVICE`,
 * `HICO_ADAPTER` and `HICO_THREADS` stand in for what is not given.
 *
 * @throws Error where what was asked for is not there; the message lists what is.
 */
export async function device(name?: string, options: DeviceOptions = {}): Promise<Backend> {
  const asked = name ?? environmentVariable("HICO_DEVICE") ?? "auto";
  if (asked === "reference") return new ReferenceDevice();
  if (asked === "cpu") return CpuDevice.open(options);
  const resolved = resolveAdapterOptions(options);
  if (asked === "webgpu") return WebGpuDevice.open(resolved);
  const adapter = options.adapter ?? environmentVariable("HICO_ADAPTER");
  const realOnly = adapter === undefined && options.software === undefined && !options.forceFallback;
  const adapters = await listAdapters({ ...resolved, realOnly }).then(
    (found) => found.map((f) => f.info),
    (error: unknown) => {
      // Why there are no adapters matters to whom asked for one: it says what to install.
      if (!realOnly) throw error;
      return [];
    },
  );
  const choice = chooseDevice({ device: asked, adapter: adapter ?? options.software, adapters, devices });
  return choice.device === "webgpu" ? WebGpuDevice.open(resolved) : CpuDevice.open(options);
}

/**
 * The real GPUs that can be opened here, by the names that `HICO_ADAPTER` and `adapter` take, the preferred one first:
 * to spread processes over them.
 */
export async function gpuChoices(): Promise<string[]> {
  const found = await listAdapters({ realOnly: true }).catch(() => []);
  return spreadChoices(found.map(({ info }) => info));
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
