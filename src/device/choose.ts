/**
 * Which device "auto" means, as a pure function of what was found, and why: the same words serve `hico info`.
 *
 * A software Vulkan adapter is slower than plain WebAssembly on the same CPU, so "auto" never takes one unless it was
 * asked for by name.
 */
import type { AdapterDescription } from "./webgpu/gpu/describe.ts";
import { adapterChoices, adapterName, onlyFirstOf, pickAdapter } from "./webgpu/gpu/describe.ts";

/** Devices of the design; which of them exist is told to `chooseDevice`. */
export const deviceNames = ["webgpu", "cpu", "reference"] as const;

export type DeviceName = (typeof deviceNames)[number];

/** What there is to choose from, and what was asked for. */
interface DeviceQuery {
  /** From `--device` or HICO_DEVICE; undefined and "auto" leave the choice to this function. */
  readonly device?: string;
  /** From `--adapter` or HICO_ADAPTER: part of an adapter's name, with ":NUMBER" where several have it; or a software driver's. */
  readonly adapter?: string;
  /** WebGPU adapters, the preferred one first. */
  readonly adapters: readonly AdapterDescription[];
  /** Devices that this build has. */
  readonly devices: readonly DeviceName[];
}

/** The device to take. `adapter` is set when it is `webgpu`. */
export interface DeviceChoice {
  readonly device: DeviceName;
  readonly adapter: AdapterDescription | undefined;
  /** One sentence for people. */
  readonly reason: string;
}

/**
 * @throws Error when what was asked for does not exist; the message lists what does.
 */
export function chooseDevice({ device = "auto", adapter, adapters, devices }: DeviceQuery): DeviceChoice {
  if (device !== "auto" && !(devices as readonly string[]).includes(device)) {
    throw new Error(`there is no device "${device}"; choose one of auto, ${devices.join(", ")}`);
  }
  if (device === "cpu" || device === "reference") return { device, adapter: undefined, reason: "it was asked for" };
  const found = pickAdapter(adapters, adapter);
  if (adapter !== undefined || device === "webgpu") {
    if (found === undefined) {
      const list = adapterChoices(adapters)
        .map((name) => `"${name}"`)
        .join(", ");
      throw new Error(
        `no WebGPU adapter${adapter === undefined ? "" : ` fits "${adapter}"`}: ` +
          `${adapters.length === 0 ? "there is none" : `there is ${list}`}; ` +
          "HICO_ADAPTER=swiftshader asks for a software one",
      );
    }
    if (found.hiddenBehind) throw new Error(`adapter "${adapter}": ${onlyFirstOf(found)}`);
    const asked = adapter === undefined ? "the device webgpu was asked for" : `the adapter "${adapter}" was asked for`;
    return { device: "webgpu", adapter: found, reason: `${asked}: ${adapterName(found)}` };
  }
  if (found !== undefined && !found.isSoftware) {
    return { device: "webgpu", adapter: found, reason: `${adapterName(found)} is a real GPU` };
  }
  const none =
    found === undefined
      ? "there is no WebGPU adapter"
      : `there is no real GPU (${adapterName(found)} computes on the CPU; HICO_ADAPTER takes it all the same)`;
  if (devices.includes("cpu")) return { device: "cpu", adapter: undefined, reason: none };
  return { device: "reference", adapter: undefined, reason: `${none}, and this build has no device "cpu"` };
}
