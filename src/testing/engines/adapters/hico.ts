/** This engine as the suite sees it: the self check runs on a device, the oracle on the reference device in float64. */
import { gradients } from "../../../autograd/grad.ts";
import type { Backend } from "../../../tensor/backend.ts";
import { tensor } from "../../../tensor/create.ts";
import { topologicalOrder } from "../../../tensor/node.ts";
import { compile } from "../../../tensor/program/compile.ts";
import { readValues, realize } from "../../../tensor/program/realize.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { Variable } from "../../../tensor/variable.ts";
import type { EngineAdapter, PlainArray } from "../protocol.ts";
import { COMPOSED, MEANINGS } from "../suite/operations.ts";
import type { EngineTable } from "../table-engine.ts";
import { tableEngine } from "../table-engine.ts";

/** This engine's own operations on `device`, with variables and `compile`. */
export function hicoEngine(device: Backend, version: string): EngineAdapter {
  return tableEngine<Tensor>({
    ...table(device, version),
    operations: Object.fromEntries(Object.entries(MEANINGS).filter(([name]) => !COMPOSED.has(name))),
    variables: {
      make: (initial) => new Variable(initial, { device }),
      assign: (variable, value) => void (variable as Variable).assign(value),
    },
    compile(f) {
      const compiled = compile((...all) => f(all));
      return async ([first, ...rest]) => {
        if (![first, ...rest].some((one) => one instanceof Variable)) await place(first, device);
        return compiled(first, ...rest);
      };
    },
  });
}

/** All operations of the suite on `device`; what is carried is carried as a value. */
export function meanings(device: Backend): EngineAdapter {
  return tableEngine(table(device, ""));
}

function table(device: Backend, version: string): EngineTable<Tensor> {
  return {
    name: `hico-webgpu ${device.kind}`,
    version,
    operations: MEANINGS,
    array: ({ data, shape, dtype }) => {
      const values = Array.from(data);
      return tensor(values, { shape, dtype });
    },
    async read(arrays) {
      const plain = (n: number, data: PlainArray["data"]): PlainArray => {
        const { shape, dtype } = arrays[n];
        return { data, shape, dtype: dtype as "f32" };
      };
      if (arrays.every(({ node }) => isPlaced(node))) {
        await realize(arrays);
        return Promise.all(arrays.map(async (one, n) => plain(n, await readValues(one))));
      }
      const storages = await device.realize(
        arrays.map(({ node }) => node),
        [],
      );
      const found: PlainArray[] = [];
      for (const [n, storage] of storages.entries()) found.push(plain(n, await device.read(storage)));
      for (const storage of storages) storage.dispose();
      return found;
    },
    vjp(f, inputs, cotangents) {
      const outputs = f(inputs);
      return { outputs, gradients: gradients(outputs, cotangents, inputs) };
    },
  };
}

/** Gives an array memory on a device, which says where all that is computed with it is computed. */
async function place({ node }: Tensor, device: Backend): Promise<void> {
  const [storage] = await device.realize([node], []);
  node.become({ kind: "storage", storage });
}

/** Whether a value depends on memory of a device: then it is computed there, after what waits to be assigned. */
function isPlaced(node: Tensor["node"]): boolean {
  return topologicalOrder([node]).some(({ op }) => op.kind === "storage" || op.kind === "variable");
}
