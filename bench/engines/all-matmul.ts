/** Every engine of the matrix-product benchmark; ratios are to the first, a plain kernel. */
import { jaxJsMatmul } from "./jax-js-matmul.ts";
import type { MatmulEngine } from "./matmul-engine.ts";
import { oursMatmul } from "./ours-matmul.ts";
import { plainMatmul } from "./plain-matmul.ts";
import { tfjsMatmul } from "./tfjs-matmul.ts";

export const matmulEngines: readonly (() => MatmulEngine)[] = [
  () => plainMatmul(true),
  () => plainMatmul(false),
  () => oursMatmul("webgpu"),
  () => oursMatmul("cpu"),
  () => jaxJsMatmul("webgpu"),
  () => jaxJsMatmul("wasm"),
  () => tfjsMatmul(),
];
