/**
 * jax-js (`@jax-js/jax`), the strongest peer: wasm and WebGPU backends, each with `jit` and without.
 *
 * With `jit`, one compiled function is the whole step: value, gradients and the SGD update, parameters in and out, so
 * that it fuses the update with the last use of each gradient. Without, the same functions run operation by operation.
 *
 * The wasm backend uses threads where there is a global `Worker` (Deno, browsers) and one thread in Node.
 */
import { blockUntilReady, defaultDevice, init, jit, numpy as np, valueAndGrad } from "@jax-js/jax";
import { type ArrayData, oneHot, transposed, type Workload } from "../workloads.ts";
import { waitFor as waitPolitely } from "../../src/device/webgpu/gpu/wait.ts";
import { installWebGpu } from "../webgpu-environment.ts";
import type { AdapterKind, Engine, TrainingRun } from "./engine.ts";
import { type Arrays, lossOf } from "./jax-js-models.ts";

/**
 * Dawn under Node spins on the main thread while a promise is pending and takes that core from a software driver. By
 * default the peer is given our engine's way of waiting; BENCH_PEER_WAITING=own measures it as its users get it.
 */
const waitFor: typeof waitPolitely = process.env.BENCH_PEER_WAITING === "own" ? (promise) => promise : waitPolitely;

type Backend = Extract<AdapterKind, "wasm" | "webgpu">;

/** @param compiled true for `jit` of the whole step, false for eager operations. */
export function jaxJs(backend: Backend, compiled: boolean): Engine {
  return {
    name: `jax-js-${backend}-${compiled ? "jit" : "eager"}`,
    adapter: backend,
    async available() {
      if (backend === "webgpu") {
        try {
          await installWebGpu();
        } catch (error) {
          return (error as Error).message;
        }
      }
      const found = await init(backend);
      return found.includes(backend) ? true : `jax-js found no ${backend} backend`;
    },
    prepare: (workload) => prepare(workload, backend, compiled),
  };
}

async function prepare(workload: Workload, device: Backend, compiled: boolean): Promise<TrainingRun> {
  await init(device);
  const put = ({ shape, data }: ArrayData) => np.array(data, { shape: [...shape], device });
  let parameters: Arrays = {};
  for (const [name, array] of Object.entries(workload.parameters)) {
    parameters[name] = put(array.shape.length === 2 ? transposed(array) : array);
  }
  const input = put(workload.input);
  const targets = put(oneHot(workload));
  const valueAndGradients = valueAndGrad(lossOf(workload, device));
  const rate = workload.learningRate;
  const train = (p: Arrays, x: np.Array, y: np.Array): [Arrays, np.Array] => {
    const copies = Object.fromEntries(Object.entries(p).map(([name, array]) => [name, array.ref]));
    const [value, gradients] = valueAndGradients(copies, x, y) as [np.Array, Arrays];
    const updated: Arrays = {};
    for (const name of Object.keys(p)) updated[name] = p[name].sub(gradients[name].mul(rate));
    return [updated, value];
  };
  const trainCompiled = compiled ? jit(train) : undefined;
  let loss: np.Array | undefined;
  return {
    async step() {
      // Constants made inside the model follow the default device, which another engine may have set since.
      defaultDevice(device);
      loss?.dispose();
      [parameters, loss] = (trainCompiled ?? train)(parameters, input.ref, targets.ref) as [Arrays, np.Array];
      const results = [...Object.values(parameters), loss];
      // jax-js works when it is asked for a result. On WebGPU asking for the buffers submits without waiting.
      if (device === "webgpu") await Promise.all(results.map((array) => waitFor(array.ref.gpuBuffer())));
      else await blockUntilReady(results);
    },
    async loss() {
      if (!loss) throw new Error("jax-js: loss() before the first step()");
      return Number((await waitFor(loss.ref.data()))[0]);
    },
    dispose() {
      for (const array of [...Object.values(parameters), input, targets]) array.dispose();
      loss?.dispose();
      trainCompiled?.dispose();
    },
  };
}
