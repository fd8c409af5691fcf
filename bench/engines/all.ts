/** Every engine the benchmark knows, in the order of its tables; ratios are to the first that runs. */
import type { Engine } from "./engine.ts";
import { jaxJs } from "./jax-js.ts";
import { ours, oursWithOwnCell } from "./ours.ts";
import { tfjs } from "./tfjs.ts";

export interface EngineEntry {
  readonly name: string;
  /** Whether it runs when `--engines` is not given; eager engines take seconds a step. */
  readonly byDefault: boolean;
  readonly make: () => Engine;
}

export const engines: readonly EngineEntry[] = [
  { name: "ours-webgpu", byDefault: true, make: () => ours("webgpu") },
  { name: "ours-cpu", byDefault: true, make: () => ours("cpu") },
  { name: "jax-js-webgpu-jit", byDefault: true, make: () => jaxJs("webgpu", true) },
  { name: "jax-js-wasm-jit", byDefault: true, make: () => jaxJs("wasm", true) },
  { name: "tfjs-wasm", byDefault: true, make: tfjs },
  { name: "ours-cpu-own-cell", byDefault: false, make: () => oursWithOwnCell("cpu") },
  { name: "ours-webgpu-own-cell", byDefault: false, make: () => oursWithOwnCell("webgpu") },
  { name: "jax-js-webgpu-eager", byDefault: false, make: () => jaxJs("webgpu", false) },
  { name: "jax-js-wasm-eager", byDefault: false, make: () => jaxJs("wasm", false) },
];
