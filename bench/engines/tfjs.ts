/**
 * TensorFlow.js on its WebAssembly backend. The step is its own idiom: variables, and an SGD optimizer's `minimize`.
 *
 * The packages are its core and the backend; `@tensorflow/tfjs` only gathers them with others (layers, converters, WebGL)
 * that the step does not use. The binaries lie in the package. In Node the backend has one thread, by its own choice
 * (https://github.com/tensorflow/tfjs/issues/3830). Deno does not load its gradients, whose imports leave out extensions.
 */
import * as tf from "@tensorflow/tfjs-core";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { type ArrayData, oneHot, transposed, type Workload } from "../workloads.ts";
import type { Engine, TrainingRun } from "./engine.ts";
import { lossOf, type TfTensors } from "./tfjs-models.ts";

export function tfjs(): Engine {
  return { name: "tfjs-wasm", adapter: "wasm", available: openTfjs, prepare };
}

/** Starts the backend, once a process; `true`, or why it does not start. */
export async function openTfjs(): Promise<true | string> {
  if (tf.getBackend() === "wasm") return true;
  setWasmPaths(dirname(fileURLToPath(import.meta.resolve("@tensorflow/tfjs-backend-wasm"))) + sep);
  try {
    // Gradients come apart from the core; `@tensorflow/tfjs` loads the same file.
    createRequire(import.meta.url)("@tensorflow/tfjs-core/dist/register_all_gradients.js");
    if (!(await tf.setBackend("wasm"))) return "tfjs does not start its wasm backend";
    await tf.ready();
    return true;
  } catch (error) {
    return (error as Error).message;
  }
}

async function prepare(workload: Workload): Promise<TrainingRun> {
  const open = await openTfjs();
  if (open !== true) throw new Error(open);
  const put = ({ shape, data }: ArrayData) => tf.tensor(data, [...shape]);
  const parameters: Record<string, tf.Variable> = {};
  for (const [name, array] of Object.entries(workload.parameters)) {
    const start = put(array.shape.length === 2 ? transposed(array) : array);
    parameters[name] = tf.variable(start);
    start.dispose();
  }
  const input = put(workload.input);
  const targets = put(oneHot(workload));
  const lossFunction = lossOf(workload);
  const optimizer = tf.train.sgd(workload.learningRate);
  let loss: tf.Scalar | undefined;
  return {
    async step() {
      loss?.dispose();
      loss = optimizer.minimize(
        () => lossFunction(parameters as TfTensors, input, targets),
        true,
        Object.values(parameters),
      ) as tf.Scalar;
    },
    async loss() {
      if (!loss) throw new Error("tfjs: loss() before the first step()");
      return (await loss.data())[0];
    },
    dispose() {
      for (const held of [...Object.values(parameters), input, targets, optimizer, loss]) held?.dispose();
    },
  };
}
