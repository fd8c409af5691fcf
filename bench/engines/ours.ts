/**
 * Our engine: `compile` of the whole step, parameters as variables that the plan assigns in place.
 *
 * The batch is put on the device once and given to the compiled step as inputs, as the peers have it.
 */
import { type Backend, compile, device, setDefaultDevice, tensor, type Variable, variable } from "../../src/index.ts";
import { WebGpuDevice } from "../../src/index.ts";
import { chosenAdapter, installWebGpu } from "../webgpu-environment.ts";
import type { Workload } from "../workloads.ts";
import type { AdapterKind, Engine, TrainingRun } from "./engine.ts";
import type { Loss } from "./ours-models.ts";
import { lossOf, ownCell, stepOf } from "./ours-models.ts";

const opened = new Map<string, Promise<Backend>>();

/** @param kind the device's name, as `device()` takes it. */
export function ours(kind: Extract<AdapterKind, "webgpu" | "cpu">): Engine {
  return {
    name: `ours-${kind}`,
    adapter: kind,
    available: () => available(kind),
    prepare: (workload) => prepare(workload, kind, lossOf(workload)),
  };
}

/** The gru workload alone, with a cell of the user's own for `scan`. */
export function oursWithOwnCell(kind: Extract<AdapterKind, "webgpu" | "cpu">): Engine {
  return {
    ...ours(kind),
    name: `ours-${kind}-own-cell`,
    async prepare(workload) {
      if (workload.name !== "gru") throw new Error(`${workload.name} has no cell: --workloads gru`);
      return prepare(workload, kind, ownCell(workload));
    },
  };
}

/** Whether the device can be had, or why not. */
export async function available(kind: AdapterKind): Promise<true | string> {
  try {
    await open(kind);
    return true;
  } catch (error) {
    return (error as Error).message;
  }
}

/** One device a kind for the whole process, on the adapter that the peers use. */
export function open(kind: AdapterKind): Promise<Backend> {
  let found = opened.get(kind);
  if (!found) {
    found = openOnChosenAdapter(kind);
    opened.set(kind, found);
  }
  return found;
}

async function openOnChosenAdapter(kind: AdapterKind): Promise<Backend> {
  if (kind !== "webgpu") return device(kind);
  await installWebGpu();
  const adapter = chosenAdapter();
  return device(kind, adapter === "system" ? {} : { software: adapter });
}

async function prepare(workload: Workload, kind: AdapterKind, ofWorkload: Loss): Promise<TrainingRun> {
  const backend = await open(kind);
  setDefaultDevice(backend);
  const parameters: Record<string, Variable> = {};
  for (const [name, { shape, data }] of Object.entries(workload.parameters)) {
    // Copied: the engine assigns in place, and another engine starts from the same numbers.
    parameters[name] = variable(tensor(data.slice(), { shape }), { name, device: backend });
  }
  const input = await tensor(workload.input.data, { shape: workload.input.shape }).realize();
  const labels = await tensor(workload.labels, { shape: [workload.batch] }).realize();
  const train = compile(stepOf(workload, parameters, ofWorkload));
  let loss: typeof input | undefined;
  return {
    async step() {
      loss = await train(input, labels);
    },
    async loss() {
      if (!loss) throw new Error("ours: loss() before the first step()");
      return loss.item();
    },
    stats: () => (backend instanceof WebGpuDevice ? { ...backend.counters } : {}),
    dispose() {
      loss = undefined;
      for (const held of [...Object.values(parameters), input, labels]) held.dispose();
      if (backend instanceof WebGpuDevice) backend.trim();
    },
  };
}
