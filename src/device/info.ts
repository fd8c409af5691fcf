/**
 * What `hico info` tells: the runtime, its WebGPU adapters, the software drivers at hand, what the cpu device makes of
 * this machine, and the choice of device.
 */
import type { AdapterProfile } from "../shaders/kernel.ts";
import { fusesMultiplyAdd } from "../wasm/assembler/features.ts";
import { devices } from "./asked.ts";
import type { DeviceChoice, DeviceName } from "./choose.ts";
import { chooseDevice } from "./choose.ts";
import { chooseThreads, prepareEngine } from "./cpu/engine.ts";
import type { Width } from "./cpu/wide.ts";
import { chooseWidth } from "./cpu/wide.ts";
import { environmentVariable } from "./environment.ts";
import { surveySoftwareDrivers } from "./software-vulkan.ts";
import { listAdapters, resolveAdapterOptions } from "./webgpu/gpu/adapter.ts";
import type { AdapterDescription, LimitName } from "./webgpu/gpu/describe.ts";
import {
  adapterChoices,
  fittingAdapters,
  onlyFirstOf,
  profileOf,
  usefulFeatures,
  usefulLimits,
} from "./webgpu/gpu/describe.ts";

/** A machine as the engine sees it. */
export interface SystemDescription {
  /** For example "Node 20.20.2 on linux-x64". */
  readonly runtime: string;
  readonly adapters: readonly (AdapterDescription & { readonly profile: AdapterProfile })[];
  /** Why there is no list of adapters, where WebGPU itself failed. */
  readonly adapterError: string | undefined;
  readonly softwareDrivers: Awaited<ReturnType<typeof surveySoftwareDrivers>>;
  /** The cpu device here: threads it takes, multiply-add in one rounding, memory shared between threads, width. */
  readonly cpu: {
    readonly threads: number;
    readonly fusedMultiplyAdd: boolean;
    readonly sharedMemory: boolean;
    /** Whether pairs of 128-bit vectors are computed as ones of 256, and why. */
    readonly width: Width;
  };
  readonly devices: readonly DeviceName[];
  /** What was asked for, by option or environment variable. */
  readonly asked: { readonly device: string; readonly adapter: string | undefined };
  /** Undefined when what was asked for is not there; `choiceError` says so. */
  readonly choice: DeviceChoice | undefined;
  readonly choiceError: string | undefined;
}

function runtime(): string {
  const { versions, platform, arch } = process as typeof process & { versions: { deno?: string; node: string } };
  return `${versions.deno === undefined ? `Node ${versions.node}` : `Deno ${versions.deno}`} on ${platform}-${arch}`;
}

/** Looks at the machine. Options fall back to HICO_DEVICE, HICO_ADAPTER and HICO_THREADS. */
export async function describeSystem(
  options: { device?: string; adapter?: string; threads?: number } = {},
): Promise<SystemDescription> {
  const device = options.device ?? environmentVariable("HICO_DEVICE") ?? "auto";
  const adapter = options.adapter ?? environmentVariable("HICO_ADAPTER");
  let adapters: SystemDescription["adapters"] = [];
  let adapterError: string | undefined;
  try {
    const found = await listAdapters(resolveAdapterOptions({ adapter }));
    adapters = found.map(({ info }) => {
      const granted = new Set<string>(usefulFeatures.filter((name) => info.features.includes(name)));
      return { ...info, profile: profileOf(info.isSoftware, info.limits, granted) };
    });
  } catch (error) {
    adapterError = (error as Error).message;
  }
  let choice: DeviceChoice | undefined;
  let choiceError: string | undefined;
  try {
    choice = chooseDevice({ device, adapter, adapters, devices });
  } catch (error) {
    choiceError = (error as Error).message;
  }
  return {
    runtime: runtime(),
    cpu: await describeCpu(options.threads),
    adapters,
    adapterError,
    softwareDrivers: await surveySoftwareDrivers(),
    devices,
    asked: { device, adapter },
    choice,
    choiceError,
  };
}

async function describeCpu(threads?: number): Promise<SystemDescription["cpu"]> {
  const features = await prepareEngine();
  const width = await chooseWidth(features);
  return {
    threads: await chooseThreads(threads, features),
    fusedMultiplyAdd: fusesMultiplyAdd(features),
    sharedMemory: features.threads,
    width,
  };
}

function formatLimit(name: LimitName, value: number): string {
  if (!/Size$|BindingSize$|StorageSize$/.test(name)) return String(value);
  if (value >= 2 ** 20) return `${+(value / 2 ** 20).toFixed(1)} MiB`;
  return value >= 2 ** 10 ? `${+(value / 2 ** 10).toFixed(1)} KiB` : `${value} bytes`;
}

function formatAdapter(adapter: SystemDescription["adapters"][number], number: number, name: string): string {
  const { backend, isSoftware, isFallback, vendor, architecture, description, profile } = adapter;
  const kind = [backend, isSoftware ? "computes on the CPU" : "GPU", isFallback ? "fallback" : undefined];
  const sizes = [adapter.subgroupMinSize, adapter.subgroupMaxSize];
  const lines = [
    `  ${number}. ${name}${adapter.hiddenBehind ? ", which cannot be opened: " + onlyFirstOf(adapter) : ""} (${kind.filter((word) => word !== undefined).join(", ")})`,
    `     vendor        ${vendor || "?"}`,
    `     architecture  ${architecture || "?"}`,
    `     driver        ${description || "?"}`,
    `     subgroups     ${sizes[1] === 0 ? "size not told" : `${sizes[0]} to ${sizes[1]} invocations`}`,
    `     features      ${usefulFeatures
      .map((name) => `${name} ${adapter.features.includes(name) ? "yes" : "no"}`)
      .join(", ")}`,
    `     profile       ${Object.entries(profile)
      .map(([key, value]) => `${key} ${value}`)
      .join(", ")}`,
    "     limits",
    ...usefulLimits.map((name) => `       ${name.padEnd(34)} ${formatLimit(name, adapter.limits[name])}`),
  ];
  return lines.join("\n");
}

/** The description as text for people. */
export function formatSystem(system: SystemDescription): string {
  const { adapters, adapterError, softwareDrivers, cpu, asked, choice, choiceError } = system;
  const choices = adapterChoices(adapters);
  const list =
    adapters.length > 0
      ? fittingAdapters(adapters).map((adapter, i) => formatAdapter(adapter, i + 1, choices[i]!))
      : [`  none${adapterError === undefined ? "" : `: ${adapterError}`}`];
  return [
    system.runtime,
    "",
    "WebGPU adapters",
    ...list,
    "",
    "Software Vulkan drivers (used only when asked for: HICO_ADAPTER=NAME or --adapter NAME)",
    ...softwareDrivers.map(({ name, found, detail }) => `  ${name.padEnd(12)} ${found ? "found: " : "no: "}${detail}`),
    "",
    `The cpu device takes ${cpu.threads} thread${cpu.threads === 1 ? "" : "s"} (HICO_THREADS or --threads; ` +
      `${cpu.sharedMemory ? "memory can be shared" : "this engine shares no memory"}), ` +
      `fused multiply-add: ${cpu.fusedMultiplyAdd ? "yes" : "no (results differ from engines that have it in the last bits)"}`,
    `It computes in vectors of ${cpu.width.wide ? 256 : 128} bits: ${cpu.width.reason}`,
    "",
    `Devices of this build: ${system.devices.join(", ")}`,
    `Device "${asked.device}" takes: ${
      choice === undefined ? `nothing: ${choiceError}` : `${choice.device}, because ${choice.reason}`
    }`,
  ].join("\n");
}
