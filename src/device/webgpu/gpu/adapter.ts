/**
 * Finding WebGPU adapters: Dawn through the `webgpu` package under Node, `navigator.gpu` in Deno and browsers.
 *
 * A software driver is taken only when it is asked for by name; what "auto" takes is decided in ../choose.ts.
 */
import { environmentVariable, importLate, isNode } from "../../environment.ts";
import { isWorkerThread } from "../../native-environment.ts";
import type { SoftwareDriver } from "../../software-vulkan.ts";
import { adapterChoices, describeAdapter, givenButNotHad, givenFirst, onlyFirstOf, pickAdapter } from "./describe.ts";
import type { AdapterDescription } from "./describe.ts";
import { GpuError } from "./errors.ts";
import { gpuFileHere, vulkanLoaderHere } from "./vulkan-loader.ts";
import type { GPU, GPUAdapter } from "../../../shaders/webgpu.ts";

/** Which adapter is wanted. */
export interface AdapterOptions {
  /**
   * Part of the adapter's name, in any case, and a number where several have it ("nvidia:1" is the second); or
   * "swiftshader" or "lavapipe", which also find that driver.
   */
  readonly adapter?: string;
  /** Default "high-performance". */
  readonly powerPreference?: "low-power" | "high-performance";
  /** Software adapters are of no use to who asks: none need be looked for where the machine has no GPU (Node). */
  readonly realOnly?: boolean;
  /** Ask WebGPU for its fallback adapter. */
  readonly forceFallback?: boolean;
  /** Use this software Vulkan driver and no other (Node and Deno). */
  readonly software?: SoftwareDriver;
  /** Dawn's toggles, Node only: https://dawn.googlesource.com/dawn/+/refs/heads/main/src/dawn/native/Toggles.cpp */
  readonly toggles?: { readonly enable?: readonly string[]; readonly disable?: readonly string[] };
}

/** An adapter with its description. `gpu` must stay referenced as long as anything made from it. */
interface FoundAdapter {
  readonly gpu: GPU;
  readonly adapter: GPUAdapter;
  readonly info: AdapterDescription;
}

interface DawnModule {
  create(options: string[]): GPU;
}

/** "swiftshader" and "lavapipe" given as an adapter's name mean the driver; HICO_ADAPTER stands in for no choice. */
export function resolveAdapterOptions(options: AdapterOptions = {}): AdapterOptions {
  const wanted =
    options.software ?? options.adapter ?? (options.forceFallback ? undefined : environmentVariable("HICO_ADAPTER"));
  const driver = wanted?.toLowerCase();
  if (driver === "swiftshader" || driver === "lavapipe") return { ...options, adapter: undefined, software: driver };
  return { ...options, adapter: wanted };
}

/** Dawn's options. Timestamps are rounded to 0.1 ms unless told otherwise. */
function dawnOptions(options: AdapterOptions, more: readonly string[] = []): string[] {
  const enable = ["allow_unsafe_apis", ...(options.toggles?.enable ?? [])];
  const disable = ["timestamp_quantization", ...(options.toggles?.disable ?? [])];
  return [`enable-dawn-features=${enable.join(",")}`, `disable-dawn-features=${disable.join(",")}`, ...more];
}

let dawn: Promise<DawnModule> | undefined;

function loadDawn(): Promise<DawnModule> {
  dawn ??= importLate<DawnModule>("webgpu").catch((error: unknown) => {
    dawn = undefined;
    const missing = /ERR_MODULE_NOT_FOUND|MODULE_NOT_FOUND/.test((error as { code?: string }).code ?? "");
    const where = `${process.platform}-${process.arch}`;
    throw new GpuError(
      missing
        ? `the package "webgpu" (WebGPU for Node, an optional dependency) is not installed: npm i webgpu. ` +
            "The devices cpu and reference work without it."
        : `the package "webgpu" (WebGPU for Node) does not load on ${where}: ${(error as Error).message}`,
      [],
      { cause: error },
    );
  });
  return dawn;
}

/** Dawn's names of the adapters, which it tells only in the error for a name that it does not have. */
async function dawnAdapters(module: DawnModule, options: AdapterOptions): Promise<{ name: string; backend: string }[]> {
  try {
    await module.create(dawnOptions(options, ["adapter=\u0001"])).requestAdapter();
  } catch (error) {
    return [...String((error as Error).message).matchAll(/backend: '([^']*)', name: '(.*)'/g)].map((match) => ({
      backend: match[1]!,
      name: match[2]!,
    }));
  }
  return [];
}

function requestOptions(options: AdapterOptions): GPURequestAdapterOptions {
  return {
    powerPreference: options.powerPreference ?? "high-performance",
    ...(options.forceFallback ? { forceFallbackAdapter: true } : {}),
  };
}

async function listUnderNode(options: AdapterOptions): Promise<FoundAdapter[]> {
  // A software driver brings its loader along.
  if (options.software === undefined && !(await vulkanLoaderHere())) return [];
  if (options.realOnly && !(await gpuFileHere())) return [];
  const module = await loadDawn();
  const found: FoundAdapter[] = [];
  for (const { name, backend } of await dawnAdapters(module, options)) {
    if (backend === "null") continue;
    const gpu = module.create(dawnOptions(options, [`adapter=${name}`, `backend=${backend}`]));
    const adapter = await gpu.requestAdapter(requestOptions(options)).catch(() => null);
    if (adapter === null) continue;
    // Dawn opens the first adapter of a name, so that a second one of it is listed and cannot be had.
    const hiddenBehind = found.filter(({ info }) => info.device === name && info.backend === backend).length;
    const info = describeAdapter(adapter, name, backend);
    found.push({ gpu, adapter, info: hiddenBehind === 0 ? info : { ...info, hiddenBehind } });
  }
  return found;
}

async function listFromNavigator(options: AdapterOptions): Promise<FoundAdapter[]> {
  const gpu = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (gpu === undefined) return [];
  const found: FoundAdapter[] = [];
  const requests: GPURequestAdapterOptions[] = options.forceFallback
    ? [requestOptions(options)]
    : [requestOptions(options), { powerPreference: "low-power" }, { forceFallbackAdapter: true }];
  for (const request of requests) {
    const adapter = await gpu.requestAdapter(request).catch(() => null);
    if (adapter === null) continue;
    const info = describeAdapter(adapter);
    // WebGPU has no list of adapters: the same one may answer several requests.
    if (!found.some((other) => JSON.stringify(other.info) === JSON.stringify(info))) found.push({ gpu, adapter, info });
  }
  return found;
}

/** Every adapter to be had, the preferred one first. With `software`, that driver's only. */
export async function listAdapters(options: AdapterOptions = {}): Promise<FoundAdapter[]> {
  const list = isNode ? listUnderNode : listFromNavigator;
  if (options.software === undefined) return givenFirst(await list(options), environmentVariable);
  const { findSoftwareDriver, withSoftwareDriver } = await import("../../software-vulkan.ts");
  return withSoftwareDriver(await findSoftwareDriver(options.software), () => list(options));
}

/**
 * The adapter that fits the options; without any, the first real GPU, else the first adapter.
 * @throws GpuError that lists what there is, when nothing fits.
 */
export async function requestAdapter(given: AdapterOptions = {}): Promise<FoundAdapter> {
  const options = resolveAdapterOptions(given);
  const found = await listAdapters(options);
  // Where the machine was not asked for adapters, the package may be missing as well.
  if (isNode && found.length === 0) await loadDawn();
  const wanted = options.software ?? options.adapter;
  const infos = found.map(({ info }) => info);
  const notHad = wanted === undefined ? givenButNotHad(infos, environmentVariable) : undefined;
  if (notHad !== undefined) throw new GpuError(notHad);
  const picked = pickAdapter(infos, wanted);
  const chosen = found.find(({ info }) => info === picked);
  if (chosen?.info.hiddenBehind) throw new GpuError(`adapter "${wanted}": ${onlyFirstOf(chosen.info)}`);
  if (chosen !== undefined) return chosen;
  const choices = adapterChoices(infos);
  const there = choices.length === 0 ? "there is none" : `there is ${choices.map((name) => `"${name}"`).join(", ")}`;
  const oldMesa = options.software === "lavapipe" && isNode;
  const worker = isNode && options.software !== undefined && (await isWorkerThread());
  throw new GpuError(
    `no WebGPU adapter${wanted === undefined ? "" : ` fits "${wanted}"`}: ${there}. ` +
      (oldMesa ? "Dawn needs a Mesa newer than Debian 12's for lavapipe (scripts/lavapipe.sh). " : "") +
      (worker
        ? "A worker thread names a driver to Vulkan only where it shares its environment with the main thread: "
        : "") +
      (worker ? "new Worker(file, { env: SHARE_ENV }). " : "") +
      (wanted === undefined ? "Without a GPU, ask for a software driver: HICO_ADAPTER=swiftshader. " : "") +
      "`hico info` shows what was found.",
  );
}
