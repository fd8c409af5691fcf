/** Which kind of device is asked for, by name, options and environment: known before the code of any kind is loaded. */
import { checkOptions } from "../tensor/door/door.ts";
import type { DeviceName } from "./choose.ts";
import { chooseDevice } from "./choose.ts";
import type { CpuOptions } from "./cpu/cpu-device.ts";
import { environmentVariable } from "./environment.ts";
import { listAdapters, resolveAdapterOptions } from "./webgpu/gpu/adapter.ts";
import { spreadChoices } from "./webgpu/gpu/describe.ts";
import type { WebGpuOptions } from "./webgpu/webgpu-device.ts";

/** Devices that this build has. */
export const devices: readonly DeviceName[] = ["webgpu", "cpu", "reference"];

/** Options of every kind of device; each takes what concerns it. */
export type DeviceOptions = WebGpuOptions & CpuOptions;

const OPTIONS: Readonly<Record<keyof DeviceOptions, true>> = {
  threads: true,
  adapter: true,
  powerPreference: true,
  realOnly: true,
  forceFallback: true,
  software: true,
  toggles: true,
  bindGroupCapacity: true,
  maxSubmitsInFlight: true,
  profile: true,
  autotune: true,
  checkIndices: true,
};

/** @throws Error where there is no such device; the message lists what is. */
export async function askedDevice(
  name: string | undefined,
  options: DeviceOptions,
): Promise<{ readonly kind: DeviceName; readonly options: DeviceOptions }> {
  checkOptions("device", options, Object.keys(OPTIONS));
  const asked = name ?? environmentVariable("HICO_DEVICE") ?? "auto";
  if (asked === "reference" || asked === "cpu") return { kind: asked, options };
  const resolved = resolveAdapterOptions(options);
  if (asked === "webgpu") return { kind: asked, options: resolved };
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
  return { kind: choice.device, options: choice.device === "webgpu" ? resolved : options };
}

/**
 * The real GPUs that can be opened here, by the names that `HICO_ADAPTER` and `adapter` take, the preferred one first:
 * to spread processes over them.
 */
export async function gpuChoices(): Promise<string[]> {
  const found = await listAdapters({ realOnly: true }).catch(() => []);
  return spreadChoices(found.map(({ info }) => info));
}
