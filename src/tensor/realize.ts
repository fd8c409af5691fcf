/**
 * Realization: the one door from the lazy graph to a device.
 *
 * Whatever is asked for is computed together with every pending assignment of a variable, in one plan: reading the
 * loss of a training step runs the whole step.
 */
import type { Assignment, Backend, Storage } from "./backend.ts";
import { defaultDevice } from "./backend.ts";
import { hostArray } from "./dtype.ts";
import type { Node } from "./node.ts";
import { topologicalOrder } from "./node.ts";
import { sizeOf } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import { pendingAssignments } from "./pending.ts";

let queue: Promise<unknown> = Promise.resolve();

/** Runs `work` after everything asked for before it: the graph is looked at by one realization at a time. */
export function exclusively<T>(work: () => Promise<T>): Promise<T> {
  const result = queue.then(work, work);
  queue = result.catch(() => undefined);
  return result;
}

/** Computes the tensors, and all pending assignments, in one plan. Returns their storages. */
export function realize(tensors: readonly Tensor[]): Promise<Storage[]> {
  return exclusively(async () => {
    const nodes = tensors.map((t) => t.node);
    const pending = pendingList();
    try {
      const device = await deviceOf([...nodes, ...pending.map((a) => a.value)]);
      await realizeInitials(device, [...nodes, ...pending.map((a) => a.value)], pending);
      return await run(device, nodes, pending);
    } finally {
      // After an error too: the variables keep their values, and one bad step does not poison every later one.
      forget(pending);
    }
  });
}

/** The assignments waiting to run, in the order they were made. */
export function pendingList(): Assignment[] {
  return [...pendingAssignments].map(([variable, value]) => ({ variable, value }));
}

/** Takes assignments off the waiting list, unless the variable was assigned again meanwhile. */
export function forget(assignments: readonly Assignment[]): void {
  for (const { variable, value } of assignments) {
    if (pendingAssignments.get(variable) === value) pendingAssignments.delete(variable);
  }
}

async function run(device: Backend, nodes: readonly Node[], pending: readonly Assignment[]): Promise<Storage[]> {
  // A variable's leaf is its memory, unless this very run writes over it: then its value is copied first.
  const overwritten = new Set(pending.map((a) => a.variable));
  const inPlace = ({ op }: Node) => op.kind === "storage" || (op.kind === "variable" && !overwritten.has(op.variable));
  const wanted = [...new Set(nodes)].filter((n) => !inPlace(n));
  const missing = wanted.length > 0 || pending.length > 0;
  if (missing) {
    const storages = await device.realize(wanted, pending);
    settle(pending);
    const assigned = new Set(pending.map((a) => a.value));
    wanted.forEach((node, i) => {
      if (!assigned.has(node)) node.become({ kind: "storage", storage: storages[i] });
    });
    const results = new Map(wanted.map((node, i) => [node, storages[i]]));
    return nodes.map((n) => results.get(n) ?? leafStorage(n));
  }
  return nodes.map(leafStorage);
}

/** After a run: assigned variables are leaves again, of the next version. */
export function settle(assignments: readonly Assignment[]): void {
  for (const { variable, value } of assignments) {
    variable.version++;
    value.become({ kind: "variable", variable, version: variable.version });
  }
}

function leafStorage(node: Node): Storage {
  if (node.op.kind === "storage") return node.op.storage;
  if (node.op.kind === "variable") {
    checkVersion(node);
    return node.op.variable.storage!;
  }
  throw new Error(`internal: node ${node.op.kind} was not realized`);
}

/** A leaf of a variable can be read only until the variable is next assigned. */
export function checkVersion(node: Node): void {
  const op = node.op;
  if (op.kind !== "variable" || op.version === op.variable.version) return;
  throw new Error(
    `a tensor was built from variable "${op.variable.name}" before it was assigned, and its old value is gone; ` +
      `compute both together with realize([...]), or read the tensor before the assignment runs`,
  );
}

/** Gives every variable of the graph that has no memory yet its first value. */
export async function realizeInitials(
  device: Backend,
  roots: readonly Node[],
  assignments: readonly Assignment[] = [],
): Promise<void> {
  const fresh = new Set<Assignment["variable"]>();
  for (const node of topologicalOrder(roots)) {
    if (node.op.kind !== "variable") continue;
    checkVersion(node);
    if (!node.op.variable.storage) fresh.add(node.op.variable);
  }
  for (const { variable } of assignments) if (!variable.storage) fresh.add(variable);
  if (fresh.size === 0) return;
  const list = [...fresh];
  await realizeInitials(
    device,
    list.map((v) => v.initial!),
  );
  await device.realize(
    [],
    list.map((variable) => ({ variable, value: variable.initial! })),
  );
  for (const variable of list) variable.initial = undefined;
}

/** The one device that the leaves of `roots` live on; the default device where none of them lives anywhere. */
export async function deviceOf(roots: readonly Node[]): Promise<Backend> {
  let found: Backend | undefined;
  for (const node of topologicalOrder(roots)) {
    const device =
      node.op.kind === "storage"
        ? node.op.storage.device
        : node.op.kind === "variable"
          ? node.op.variable.device
          : undefined;
    if (!device) continue;
    if (found && found !== device) {
      throw new Error(
        `tensors on ${found.name} and on ${device.name} meet in one computation; move one with to(tensor, device)`,
      );
    }
    found = device;
  }
  return found ?? (await defaultDevice());
}

/** A zeroed host array for a node's value. */
export function hostArrayFor(node: Node) {
  return hostArray(node.dtype, sizeOf(node.shape));
}
