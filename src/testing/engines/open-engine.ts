/** Engines that the suite has adapters for, by name. */
import { device as open } from "../../device/open.ts";
import { hicoEngine } from "./adapters/hico.ts";
import { jaxJsEngine } from "./adapters/jax-js.ts";
import { tfjsEngine } from "./adapters/tfjs.ts";
import { torchEngine } from "./adapters/torch.ts";
import type { EngineAdapter } from "./protocol.ts";

/** Names of engines that `openEngine` knows. */
export const ENGINES = ["hico", "jax-js", "tfjs", "torch"] as const;

/** A name among `ENGINES`. */
export type EngineName = (typeof ENGINES)[number];

/**
 * The adapter of an engine: this package on one of its devices; jax-js or TensorFlow.js as the user's project has it (found from
 * the folder where the process was started); or the PyTorch of a Python, in a process of its own that `close` ends.
 *
 * `options.backend`: where it computes, by the engine's own names (hico: cpu, webgpu, reference; jax-js: wasm, cpu,
 * webgpu; tfjs: wasm, cpu; torch: cpu, cuda, mps). `options.python`: the Python that has PyTorch; default `python3`.
 *
 * @throws Error where the engine is not installed, saying what installs it; where it has no such backend; where `python`
 * is named for an engine that needs none.
 */
export async function openEngine(
  name: EngineName,
  options: { readonly backend?: string; readonly python?: string } = {},
): Promise<EngineAdapter> {
  const { backend = "cpu", python } = options;
  if (python !== undefined && name !== "torch") throw new Error(`${name} needs no Python: --python is for torch`);
  if (name === "jax-js") return jaxJsEngine(options.backend);
  if (name === "tfjs") return tfjsEngine(options.backend);
  if (name === "torch") return torchEngine(options);
  if (backend !== "cpu" && backend !== "webgpu" && backend !== "reference")
    throw new Error(`hico has no backend ${backend} here; there is cpu, webgpu, reference`);
  const device = await open(backend);
  return { ...hicoEngine(device, ""), close: () => device.close() };
}
