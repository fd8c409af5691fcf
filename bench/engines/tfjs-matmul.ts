/** TensorFlow.js's matrix product on its WebAssembly backend. */
import * as tf from "@tensorflow/tfjs-core";
import type { MatmulEngine } from "./matmul-engine.ts";
import { openTfjs } from "./tfjs.ts";

export function tfjsMatmul(): MatmulEngine {
  return {
    name: "tfjs-wasm",
    adapter: "wasm",
    available: openTfjs,
    async prepare({ rows, inner, columns, a, b }) {
      const left = tf.tensor2d(a, [rows, inner]);
      const right = tf.tensor2d(b, [inner, columns]);
      let latest: tf.Tensor | undefined;
      return {
        async multiply() {
          latest?.dispose();
          latest = tf.matMul(left, right);
        },
        async result() {
          if (!latest) throw new Error("tfjs: result() before the first multiply()");
          return (await latest.data()) as Float32Array;
        },
        dispose() {
          for (const held of [left, right, latest]) held?.dispose();
        },
      };
    },
  };
}
