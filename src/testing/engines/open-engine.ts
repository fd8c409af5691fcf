/** Engines that the suite has adapters for, by name. */
import { CpuDevice } from "../../device/cpu/cpu-device.ts";
import { hicoEngine } from "./adapters/hico.ts";
import { jaxJsEngine } from "./adapters/jax-js.ts";
import type { EngineAdapter } from "./protocol.ts";

/** Names of engines that `openEngine` knows. */
export const ENGINES = ["hico", "jax-js"] as const;

/** A name among `ENGINES`. */
export type EngineName = (typeof ENGINES)[number];

/**
 * The adapter of an engine: this package's cpu device, or a library that the user's project has (found from the folder
 * where the process was started).
 *
 * `backend`: where it computes, by the engine's own names (jax-js: wasm, cpu, webgpu).
 *
 * @throws Error where the engine is not installed, saying what installs it.
 */
export async function openEngine(
  name: EngineName,
  options: { readonly backend?: string } = {},
): Promise<EngineAdapter> {
  if (name === "jax-js") return jaxJsEngine(options.backend);
  const device = await CpuDevice.open();
  return { ...hicoEngine(device, ""), close: () => device.close() };
}
