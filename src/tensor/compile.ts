/**
 * `compile(f)`: traces a function once for each set of shapes, and replays the plan afterwards.
 *
 * Inputs become leaves that are refilled before every run; so are learning rates and random counters. Assignments made
 * while tracing belong to the plan. Nothing of `f` itself runs again, so it must not depend on anything but its inputs
 * and on variables.
 */
import type { Assignment, CompiledStep, Storage } from "./backend.ts";
import * as build from "./build.ts";
import type { HostArray } from "./dtype.ts";
import type { Node } from "./node.ts";
import { deviceOf, exclusively, forget, pendingList, realize, realizeInitials, settle } from "./realize.ts";
import { formatShape } from "./shape.ts";
import { Tensor } from "./tensor.ts";

/** What a compiled function may return. */
export type Outputs = Tensor | readonly Tensor[] | Readonly<Record<string, Tensor>> | void;

interface Traced {
  readonly step: CompiledStep;
  wrap(storages: readonly Storage[]): Outputs;
}

/** A function of tensors that is planned once for each combination of input shapes and dtypes. */
export function compile<I extends readonly Tensor[], O extends Outputs>(
  f: (...inputs: I) => O,
): (...inputs: I) => Promise<O> {
  const traces = new Map<string, Promise<Traced>>();
  return async (...inputs: I): Promise<O> => {
    const key = inputs.map((t) => t.dtype + formatShape(t.shape)).join(";");
    const values: (HostArray | Storage)[] = [];
    for (const input of inputs) {
      const op = input.node.op;
      values.push(op.kind === "data" && !op.refresh ? op.data : (await realize([input]))[0]);
    }
    let trace = traces.get(key);
    if (!trace) {
      trace = exclusively(() => traceFunction(f, inputs));
      traces.set(key, trace);
      trace.catch(() => traces.delete(key));
    }
    const traced = await trace;
    return exclusively(async () => {
      const storages = await traced.step.run(values);
      return traced.wrap(storages) as O;
    });
  };
}

/** A traced function: leaves in place of its inputs, results, and the assignments it made. */
export interface TracedGraph {
  readonly leaves: readonly Node[];
  readonly outputs: readonly Node[];
  readonly assignments: readonly Assignment[];
  /** The function's result from the storages of `outputs`. */
  rebuild(storages: readonly Storage[]): Outputs;
}

/** Calls `f` on leaves of the inputs' shapes. The assignments it makes are taken back: nothing waits to run. */
export function traceGraph<I extends readonly Tensor[]>(f: (...inputs: I) => Outputs, inputs: I): TracedGraph {
  if (pendingList().length > 0) throw new Error("traceGraph: assignments wait to run; realize them first");
  const leaves = inputs.map((t) => build.makeNode({ kind: "data", data: new Uint8Array(0) }, [], t.shape, t.dtype));
  try {
    const { nodes, rebuild } = flattenOutputs(f(...(leaves.map((n) => new Tensor(n)) as unknown as I)));
    return { leaves, outputs: nodes, assignments: pendingList(), rebuild };
  } finally {
    forget(pendingList());
  }
}

async function traceFunction(f: (...inputs: never) => Outputs, inputs: readonly Tensor[]): Promise<Traced> {
  // Assignments made before belong to a plan of their own.
  const before = pendingList();
  if (before.length > 0) {
    const roots = before.map((a) => a.value);
    const device = await deviceOf(roots);
    await realizeInitials(device, roots, before);
    await device.realize([], before);
    settle(before);
    forget(before);
  }
  const {
    leaves,
    outputs: nodes,
    assignments,
    rebuild,
  } = traceGraph(f as (...inputs: readonly Tensor[]) => Outputs, inputs);
  const roots = [...nodes, ...assignments.map((a) => a.value)];
  const device = await deviceOf([...roots, ...inputs.map((t) => t.node)]);
  await realizeInitials(device, roots, assignments);
  const step = await device.compile(leaves, nodes, assignments);
  return {
    step: {
      run: async (buffers) => {
        const storages = await step.run(buffers);
        for (const { variable } of assignments) variable.version++;
        return storages;
      },
    },
    wrap: rebuild,
  };
}

function flattenOutputs(result: Outputs): { nodes: Node[]; rebuild(storages: readonly Storage[]): Outputs } {
  const leaf = (storage: Storage) =>
    new Tensor(build.makeNode({ kind: "storage", storage }, [], storage.shape, storage.dtype));
  if (result === undefined) return { nodes: [], rebuild: () => undefined };
  if (result instanceof Tensor) return { nodes: [result.node], rebuild: (s) => leaf(s[0]) };
  if (Array.isArray(result)) {
    return { nodes: (result as Tensor[]).map((t) => t.node), rebuild: (s) => s.map(leaf) };
  }
  const record = result as Readonly<Record<string, Tensor>>;
  const names = Object.keys(record);
  for (const name of names) {
    if (!(record[name] instanceof Tensor)) throw new Error(`compile: output "${name}" is not a tensor`);
  }
  return {
    nodes: names.map((n) => record[n].node),
    rebuild: (s) => Object.fromEntries(names.map((n, i) => [n, leaf(s[i])])),
  };
}
