/**
 * Gives the peers of the benchmark the same WebGPU as ours: `navigator.gpu` and the WebGPU classes as globals.
 *
 * Deno and browsers have them. In Node they come from Dawn (`webgpu`). The adapter is chosen by its Vulkan driver,
 * before the first request, since every runtime makes one Vulkan instance and keeps it.
 */
import { hasProcess, isNode } from "../src/device/environment.ts";
import { findSoftwareDriver, type SoftwareDriver, withSoftwareDriver } from "../src/device/software-vulkan.ts";

/** A software driver by name, or "system": whatever the machine offers. */
export type AdapterChoice = SoftwareDriver | "system";

let installed: { readonly choice: AdapterChoice; readonly info: Promise<GPUAdapterInfo> } | undefined;

/**
 * Installs the globals once, for adapters of the driver, and says what the adapter is.
 * @param choice the driver; left out, that of the first call, else the one the runtime works best with: SwiftShader in
 *   Node, lavapipe in Deno, "system" in browsers.
 * @throws Error if there is no such adapter, or another one is already installed.
 */
export function installWebGpu(choice?: AdapterChoice): Promise<GPUAdapterInfo> {
  if (installed && choice !== undefined && choice !== installed.choice) {
    throw new Error(`installWebGpu: this process is on "${installed.choice}" already; use another for "${choice}"`);
  }
  if (!installed) {
    const chosen = choice ?? (!hasProcess ? "system" : isNode ? "swiftshader" : "lavapipe");
    installed = { choice: chosen, info: install(chosen) };
  }
  return installed.info;
}

/** What `installWebGpu` installed. @throws Error before it was called. */
export function chosenAdapter(): AdapterChoice {
  if (!installed) throw new Error("chosenAdapter: call installWebGpu() first");
  return installed.choice;
}

/** A fresh adapter of the installed choice; an adapter can make one device. Installs the default if need be. */
export async function requestAdapter(): Promise<GPUAdapter> {
  await installWebGpu();
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("no WebGPU adapter, though there was one before");
  return adapter;
}

async function install(choice: AdapterChoice): Promise<GPUAdapterInfo> {
  const request = async () => {
    const scope = globalThis as { navigator?: { gpu?: GPU } };
    if (!scope.navigator?.gpu && isNode) await installDawn();
    const adapter = await scope.navigator?.gpu?.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) throw new Error(`no WebGPU adapter on "${choice}" (navigator.gpu: ${Boolean(scope.navigator?.gpu)})`);
    return adapter.info;
  };
  return choice === "system" ? request() : withSoftwareDriver(await findSoftwareDriver(choice), request);
}

async function installDawn(): Promise<void> {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  // Node 20 has no navigator; jax-js reads userAgent from the one it finds.
  if (!("navigator" in globalThis)) {
    const value = { userAgent: `Node.js/${process.versions.node}` };
    Object.defineProperty(globalThis, "navigator", { value, configurable: true, writable: true });
  }
  Object.defineProperty(globalThis.navigator, "gpu", { value: create([]), configurable: true });
}
