/** This engine as the suite sees it: the self check runs on a device, the oracle on the reference device in float64. */
import { gradients } from "../../../autograd/grad.ts";
import type { Backend } from "../../../tensor/backend.ts";
import { tensor } from "../../../tensor/create.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { EngineAdapter } from "../protocol.ts";
import { COMPOSED, MEANINGS } from "../suite/operations.ts";
import { tableEngine } from "../table-engine.ts";

/** This engine's own operations on `device`. */
export function hicoEngine(device: Backend, version: string): EngineAdapter {
  const all = meanings(device, version);
  return { ...all, operations: new Set([...all.operations].filter((name) => !COMPOSED.has(name))) };
}

/** All operations of the suite on `device`. */
export function meanings(device: Backend, version = ""): EngineAdapter {
  return tableEngine<Tensor>({
    name: `hico-webgpu ${device.kind}`,
    version,
    operations: MEANINGS,
    array: ({ data, shape, dtype }) => {
      const values = Array.from(data);
      return tensor(values, { shape, dtype });
    },
    async read(arrays) {
      const storages = await device.realize(
        arrays.map(({ node }) => node),
        [],
      );
      const found = [];
      for (const [n, storage] of storages.entries()) {
        const { shape, dtype } = arrays[n];
        found.push({ data: await device.read(storage), shape, dtype: dtype as "f32" });
      }
      for (const storage of storages) storage.dispose();
      return found;
    },
    vjp(f, inputs, cotangents) {
      const outputs = f(inputs);
      return { outputs, gradients: gradients(outputs, cotangents, inputs) };
    },
  });
}
