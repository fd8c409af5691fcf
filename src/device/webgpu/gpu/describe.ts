/**
 * What an adapter is and can do, as plain data: for `hico info`, for choosing a device, and (as an `AdapterProfile`)
 * for kernels, which assume nothing that is not in it.
 */
import type { AdapterProfile } from "../../../shaders/kernel.ts";
import type { GPUAdapter } from "../../../shaders/webgpu.ts";

/** The features that the engine has a use for; asked for where the adapter has them. */
export const usefulFeatures = ["shader-f16", "subgroups", "timestamp-query"] as const;

/** The limits that matter to compute kernels; the adapter's own values are asked for. */
export const usefulLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxUniformBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxBindGroups",
  "maxBindingsPerBindGroup",
] as const;

export type LimitName = (typeof usefulLimits)[number];

/** An adapter, described. Text fields are empty where the runtime does not tell. */
export interface AdapterDescription {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** "vulkan", "metal", "d3d12", ..., where the runtime tells (Node). */
  readonly backend: string | undefined;
  /** WebGPU's own word: the adapter is a fallback one. */
  readonly isFallback: boolean;
  /** True when the adapter computes on the CPU: SwiftShader, lavapipe (llvmpipe), WARP, or a fallback adapter. */
  readonly isSoftware: boolean;
  /** 0 where the runtime does not tell. */
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  /** All features of the adapter, sorted. */
  readonly features: readonly string[];
  /** Limits in bytes, invocations or counts, as named by WebGPU. */
  readonly limits: Readonly<Record<LimitName, number>>;
  /** How many adapters of the same name come before it where the runtime opens the first of a name only (Dawn). */
  readonly hiddenBehind?: number;
}

/** Names of CPU-backed drivers, wherever in an adapter's description they stand. */
const softwareNames = /swiftshader|llvmpipe|lavapipe|softpipe|\bwarp\b|microsoft basic render/i;

/** True when an adapter's names are those of a CPU-backed driver. */
export function namesSoftware(...names: readonly string[]): boolean {
  return names.some((name) => softwareNames.test(name));
}

/**
 * @param name the driver's own name of the adapter and `backend`, where the runtime tells.
 */
export function describeAdapter(adapter: GPUAdapter, name = "", backend?: string): AdapterDescription {
  const info = adapter.info as GPUAdapterInfo & { readonly isFallbackAdapter?: boolean };
  const { vendor = "", architecture = "", description = "" } = info;
  const device = name !== "" ? name : (info.device ?? "");
  const isFallback = info.isFallbackAdapter ?? false;
  const limits = Object.fromEntries(usefulLimits.map((limit) => [limit, Number(adapter.limits[limit])]));
  return {
    vendor,
    architecture,
    device,
    description,
    backend,
    isFallback,
    isSoftware: isFallback || namesSoftware(vendor, architecture, device, description),
    subgroupMinSize: info.subgroupMinSize ?? 0,
    subgroupMaxSize: info.subgroupMaxSize ?? 0,
    features: [...adapter.features].sort(),
    limits: limits as Record<LimitName, number>,
  };
}

/** The profile that lowerings see of a device with these limits and features. */
export function profileOf(
  isSoftware: boolean,
  limits: Readonly<Record<LimitName, number>>,
  features: ReadonlySet<string>,
): AdapterProfile {
  return {
    kind: isSoftware ? "cpu" : "gpu",
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
    maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupBytes: limits.maxComputeWorkgroupStorageSize,
    maxBindingBytes: Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
    subgroups: features.has("subgroups"),
    f16: features.has("shader-f16"),
  };
}

/** A name for people: the device's or the driver's, whichever says more. */
export function adapterName(description: AdapterDescription): string {
  const { device, description: driver, vendor, architecture } = description;
  // wgpu gives the device's number as its name.
  const named = /^\d+$/.test(device) ? "" : device;
  return named || driver || [vendor, architecture].filter((part) => part !== "").join(" ") || "unnamed adapter";
}

/** What measured times are of: another driver may make another kernel the fastest. */
export function adapterAndDriver(description: AdapterDescription): string {
  const { description: driver, backend } = description;
  return [adapterName(description), driver, backend].filter((part) => part).join(", ");
}

/**
 * True when `wanted` is part of one of the adapter's names, in any case. "lavapipe" fits llvmpipe, as Mesa's driver
 * calls itself.
 */
export function fitsAdapter(info: AdapterDescription, wanted: string): boolean {
  const names = [info.vendor, info.architecture, info.device, info.description].join(" ").toLowerCase();
  const part = wanted.toLowerCase();
  return names.includes(part) || (part === "lavapipe" && names.includes("llvmpipe"));
}

/** The adapters that `part` of a name fits (all, without it): real GPUs first, else in the order given. */
export function fittingAdapters<Info extends AdapterDescription>(adapters: readonly Info[], part?: string): Info[] {
  const fitting = adapters.filter((info) => part === undefined || part === "" || fitsAdapter(info, part));
  return [...fitting.filter((info) => !info.isSoftware), ...fitting.filter((info) => info.isSoftware)];
}

/**
 * The first real GPU that fits `wanted` (any, without it), else the first adapter that does, else undefined. A number
 * after a name counts those that it fits: "nvidia:1" is the second, ":1" the second of all.
 */
export function pickAdapter(adapters: readonly AdapterDescription[], wanted?: string): AdapterDescription | undefined {
  const [first] = fittingAdapters(adapters, wanted);
  if (first !== undefined) return first;
  const [, part, number] = /^(.*):(\d+)$/s.exec(wanted ?? "") ?? [];
  return number === undefined ? undefined : fittingAdapters(adapters, part)[Number(number)];
}

/**
 * The names by which adapters are asked for, in `pickAdapter`'s order: a number after those that share a name.
 * For example "NVIDIA H200:0", "NVIDIA H200:1", "llvmpipe".
 */
export function adapterChoices(adapters: readonly AdapterDescription[]): string[] {
  const names = fittingAdapters(adapters).map(adapterName);
  return names.map((name, i) => {
    const same = names.map((other, j) => (other === name ? j : -1)).filter((j) => j >= 0);
    return same.length === 1 ? name : `${name}:${same.indexOf(i)}`;
  });
}

/** The names of the real GPUs that processes can be spread over: one each, those of one name that cannot be opened left out. */
export function spreadChoices(adapters: readonly AdapterDescription[]): string[] {
  const found = fittingAdapters(adapters);
  return adapterChoices(found).filter((_, i) => !found[i]!.isSoftware && !found[i]!.hiddenBehind);
}

/** Why an adapter that stands behind another of its name cannot be had, and what helps. */
export function onlyFirstOf(info: AdapterDescription): string {
  return (
    `Dawn opens adapters by name, and ${(info.hiddenBehind ?? 0) + 1} or more are called "${adapterName(info)}": show this process the ` +
    "one GPU that it is to have (Slurm's --gres=gpu:1, docker run --gpus device=1)"
  );
}

/** The number in CUDA_VISIBLE_DEVICES, by which Slurm gives a job its GPU; undefined outside a Slurm job. */
function givenNumber(environment: (name: string) => string | undefined): number | undefined {
  const given = /^\d+/.exec(environment("CUDA_VISIBLE_DEVICES") ?? "")?.[0];
  return given === undefined || environment("SLURM_JOB_ID") === undefined ? undefined : Number(given);
}

/**
 * The adapters with the one first that a scheduler gave this process: Slurm numbers a job's GPUs in
 * CUDA_VISIBLE_DEVICES. Where the process sees no more than its own, there is nothing to choose.
 */
export function givenFirst<Info extends { readonly info: AdapterDescription }>(
  found: readonly Info[],
  environment: (name: string) => string | undefined,
): Info[] {
  const own = found.filter(({ info }) => !info.isSoftware)[givenNumber(environment) ?? -1];
  return own === undefined || own.info.hiddenBehind ? [...found] : [own, ...found.filter((other) => other !== own)];
}

/**
 * Why the GPU that a scheduler gave this process cannot be had where it sees several: taking another in its place would
 * crowd two jobs onto one. Undefined where it can be had, or where there is nothing to choose.
 */
export function givenButNotHad(
  adapters: readonly AdapterDescription[],
  environment: (name: string) => string | undefined,
): string | undefined {
  const number = givenNumber(environment);
  const real = adapters.filter((info) => !info.isSoftware);
  if (number === undefined || real.length < 2) return undefined;
  const named = `CUDA_VISIBLE_DEVICES=${number}, as Slurm set it`;
  const own = real[number];
  if (own === undefined) {
    const choices = adapterChoices(real).map((name) => `"${name}"`);
    return `${named}, is none of the ${real.length} GPUs that this process sees: choose one by HICO_ADAPTER (${choices.join(", ")})`;
  }
  return own.hiddenBehind ? `${named}: ${onlyFirstOf(own)}` : undefined;
}
