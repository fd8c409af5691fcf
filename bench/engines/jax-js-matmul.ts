/** jax-js's matrix product: `np.matmul` under `jit`, the form its own benchmarks use. */
import { blockUntilReady, init, jit, numpy as np } from "@jax-js/jax";
import { waitFor } from "../../src/device/webgpu/gpu/wait.ts";
import { installWebGpu } from "../webgpu-environment.ts";
import type { MatmulEngine } from "./matmul-engine.ts";

export function jaxJsMatmul(device: "wasm" | "webgpu"): MatmulEngine {
  return {
    name: `jax-js-${device}`,
    adapter: device,
    async available() {
      try {
        if (device === "webgpu") await installWebGpu();
      } catch (error) {
        return (error as Error).message;
      }
      return (await init(device)).includes(device) ? true : `jax-js found no ${device} backend`;
    },
    async prepare({ rows, inner, columns, a, b }) {
      await init(device);
      const left = np.array(a, { shape: [rows, inner], device });
      const right = np.array(b, { shape: [inner, columns], device });
      const product = jit((x: np.Array, y: np.Array) => np.matmul(x, y));
      let latest: np.Array | undefined;
      return {
        async multiply() {
          latest?.dispose();
          latest = product(left.ref, right.ref);
          await waitFor(blockUntilReady(latest));
        },
        async result() {
          if (!latest) throw new Error("jax-js: result() before the first multiply()");
          return (await waitFor(latest.ref.data())) as Float32Array;
        },
        dispose() {
          for (const array of [left, right, latest]) array?.dispose();
          product.dispose();
        },
      };
    },
  };
}
