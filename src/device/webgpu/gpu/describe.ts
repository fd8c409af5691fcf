/**
 * What an adapter is and can do, as plain data: for `hico info`, for choosing a device, and (as an `AdapterProfile`)
 * for kernels, which assume nothing that is not in it.
 */
import type { AdapterProfile } from "../../../shaders/kernel.ts";

/** The features that the engine has a use for; asked for where the adapter has them. */
export const usefulFeatures = [
  "shader-f16",
  "subgroups",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
] as const;

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

/**
 * True when `wanted` is part of one of the adapter's names, in any case. "lavapipe" fits llvmpipe, as Mesa's driver
 * calls itself.
 */
export function fitsAdapter(info: AdapterDescription, wanted: string): boolean {
  const names = [info.vendor, info.architecture, info.device, info.description].join(" ").toLowerCase();
  const part = wanted.toLowerCase();
  return names.includes(part) || (part === "lavapipe" && names.includes("llvmpipe"));
}

/** The first real GPU that fits `wanted` (any, without it), else the first adapter that does, else undefined. */
export function pickAdapter(adapters: readonly AdapterDescription[], wanted?: string): AdapterDescription | undefined {
  const fitting = adapters.filter((info) => wanted === undefined || fitsAdapter(info, wanted));
  return fitting.find((info) => !info.isSoftware) ?? fitting[0];
}
