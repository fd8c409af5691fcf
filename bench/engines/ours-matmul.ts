/** Our engine's matrix product: a compiled function of two tensors on the device. */
import { compile, setDefaultDevice, tensor, type Tensor } from "../../src/index.ts";
import type { MatmulEngine } from "./matmul-engine.ts";
import { available, open } from "./ours.ts";

export function oursMatmul(kind: "webgpu" | "cpu"): MatmulEngine {
  return {
    name: `ours-${kind}`,
    adapter: kind,
    available: () => available(kind),
    async prepare({ rows, inner, columns, a, b }) {
      const backend = await open(kind);
      setDefaultDevice(backend);
      const left = await tensor(a, { shape: [rows, inner] }).realize();
      const right = await tensor(b, { shape: [inner, columns] }).realize();
      const product = compile((x: Tensor, y: Tensor) => x.matmul(y));
      let latest: Tensor | undefined;
      return {
        async multiply() {
          latest = await product(left, right);
          await backend.synchronize();
        },
        async result() {
          if (!latest) throw new Error("ours: result() before the first multiply()");
          return (await latest.read()) as Float32Array;
        },
        dispose() {
          for (const held of [left, right, latest]) held?.dispose();
        },
      };
    },
  };
}
