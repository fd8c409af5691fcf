/**
 * Realization: the one door from the lazy graph to a device.
 *
 * A call takes its place in one queue at the moment it is made: the nodes it asks for and the assignments made before
 * it are fixed then, and run when their turn comes. Whatever is asked for is computed together with these assignments
 * in one plan: reading the loss of a training step runs the whole step.
 */
import type { Assignment, Backend, Storage } from "../backend.ts";
import { defaultDevice } from "../backend.ts";
import type { HostArray } from "../dtype.ts";
import { keepsHistory } from "./history.ts";
import { Node, topologicalOrder, uncounted } from "../node.ts";
import { onLongProgram } from "./long-programs.ts";
import { noteLeaf, oldValuesRead } from "./old-values.ts";
import type { Sealed } from "./pending.ts";
import { assignedTo, sealPending, unreadInitials } from "./pending.ts";
import type { Tensor } from "../tensor.ts";
import { refusedInTrace, tracing } from "./trace.ts";

export { forget, pendingList } from "./pending.ts";

let queue: Promise<unknown> = Promise.resolve();

/** Runs `work` after everything asked for before it: the graph is looked at by one realization at a time. */
export function exclusively<T>(work: () => Promise<T>): Promise<T> {
  const result = queue.then(work, work);
  queue = result.catch(() => undefined);
  return result;
}

/** Computes the tensors, and all pending assignments, in one plan. Returns their storages. */
export function realize(tensors: readonly Tensor[]): Promise<Storage[]> {
  if (!Array.isArray(tensors)) throw new TypeError("realize: takes an array of tensors: realize([x])");
  return enqueue("realize", tensors, (storages) => storages);
}

/** The tensor's values. Reading begins before anything asked for later runs, so it is this moment's value. */
export async function readValues(tensor: Tensor): Promise<HostArray> {
  const { values } = await enqueue("read", [tensor], ([storage]) => ({ values: storage.device.read(storage) }));
  return values;
}

/** What a run that nobody asked for could not compute: told by the next that somebody does. */
let untold: Error | undefined;

onLongProgram((recent) => {
  const sealed = sealPending();
  const part = new Set(topologicalOrder(sealed.map((a) => a.value)));
  const tops = recent.filter((n) => n.users === 0 && n.inputs.length > 0 && !n.traced && !part.has(n));
  void exclusively(() => execute(tops, sealed)).catch((error: Error) => {
    untold ??= error;
  });
});

async function enqueue<T>(op: string, tensors: readonly Tensor[], use: (storages: Storage[]) => T): Promise<T> {
  if (tracing()) throw refusedInTrace(op);
  const nodes = tensors.map((t) => t.node);
  for (const node of nodes) node.traced?.check(node);
  const sealed = sealPending();
  return exclusively(async () => {
    const result = use(await execute(nodes, sealed));
    if (!untold) return result;
    const error = untold;
    untold = undefined;
    throw error;
  });
}

/**
 * Computes nodes and sealed assignments. To be called in the queue.
 *
 * Where something fails, the assignments that can run still do: an error of one tensor takes nothing from another.
 */
export async function execute(nodes: readonly Node[], sealed: readonly Sealed[]): Promise<Storage[]> {
  try {
    return await attempt(nodes, sealed);
  } catch (error) {
    const left = sealed.filter((a) => !isSettled(a));
    if (left.length > 0) await salvage(left);
    throw error;
  }
}

/** Runs what can be run of assignments; the variables of the others keep their values. */
async function salvage(sealed: readonly Sealed[]): Promise<void> {
  const tries = async (nodes: readonly Node[], assignments: readonly Sealed[]) => {
    try {
      await attempt(nodes, assignments);
      return true;
    } catch {
      return false;
    }
  };
  if (await tries([], sealed)) return;
  // All values first, each on its own: no assignment may change what another one reads.
  const good: Sealed[] = [];
  for (const assignment of sealed) if (await tries([assignment.value], [])) good.push(assignment);
  await tries([], good);
  settle(sealed.filter((a) => !isSettled(a)));
}

async function attempt(nodes: readonly Node[], sealed: readonly Sealed[]): Promise<Storage[]> {
  await realizeEarlierInitials(sealed);
  const parts = await byDevice(nodes, sealed);
  const found = new Map<Node, Storage>();
  for (const part of parts) {
    await realizeInitials(part.device, [...part.nodes, ...part.sealed.map((a) => a.value)], part.sealed);
    const storages = await run(part.device, part.nodes, part.sealed);
    part.nodes.forEach((node, i) => found.set(node, storages[i]));
  }
  return nodes.map((n) => found.get(n)!);
}

interface Part {
  readonly device: Backend;
  readonly nodes: Node[];
  readonly sealed: Sealed[];
}

/** What runs on which device: mostly everything on one. */
async function byDevice(nodes: readonly Node[], sealed: readonly Sealed[]): Promise<Part[]> {
  const values = sealed.map((a) => a.value);
  const devices = new Set<Backend>();
  for (const node of topologicalOrder([...nodes, ...values])) {
    const device = homeOf(node);
    if (device) devices.add(device);
  }
  for (const { variable } of sealed) if (variable.device) devices.add(variable.device);
  if (devices.size <= 1) {
    const [device] = devices.size === 1 ? devices : [await defaultDevice()];
    return [{ device, nodes: [...nodes], sealed: [...sealed] }];
  }
  const parts = new Map<Backend, Part>();
  const partOf = (device: Backend) => {
    const part = parts.get(device) ?? { device, nodes: [], sealed: [] };
    parts.set(device, part);
    return part;
  };
  for (const assignment of sealed) {
    const at = assignment.variable.device;
    partOf(await deviceOf([assignment.value], [at])).sealed.push(assignment);
  }
  for (const node of nodes) partOf(await deviceOf([node])).nodes.push(node);
  return [...parts.values()];
}

async function run(device: Backend, nodes: readonly Node[], sealed: readonly Sealed[]): Promise<Storage[]> {
  // A variable's leaf is its memory, unless this very run writes over it: then its value is copied first.
  const overwritten = new Set(sealed.map((a) => a.variable));
  const inPlace = ({ op }: Node) => op.kind === "storage" || (op.kind === "variable" && !overwritten.has(op.variable));
  const asked = nodes.filter((n) => !inPlace(n));
  const values = sealed.map((a) => a.value);
  const order = sealed.length > 0 ? topologicalOrder([...asked, ...values]) : [];
  const wanted = [...new Set([...asked, ...oldValuesRead(sealed, order, new Set([...asked, ...values]))])];
  const missing = wanted.length > 0 || sealed.length > 0;
  if (missing) {
    const storages = await device.realize(wanted, sealed);
    settle(sealed);
    const assigned = new Set(values);
    // What the run computed on its way from the values it assigned has had them.
    for (const node of order) if (node.inputs.some((n) => assigned.has(n))) node.uncount();
    const remembered = keepsHistory(wanted);
    wanted.forEach((node, i) => {
      if (assigned.has(node)) return;
      becomeStorage(node, storages[i], remembered.has(node));
    });
    const results = new Map(wanted.map((node, i) => [node, storages[i]]));
    return nodes.map((n) => results.get(n) ?? leafStorage(n));
  }
  return nodes.map(leafStorage);
}

function becomeStorage(node: Node, storage: Storage, remembered: boolean): void {
  // The old value of a variable goes on as a tensor; its gradient is the variable's still.
  if (node.op.kind === "variable") assignedTo.set(node, node.op.variable);
  node.become({ kind: "storage", storage }, remembered);
}

/** Copies old values that somebody may still ask for, before a compiled step makes these assignments. */
export async function keepOldValues(assignments: readonly Assignment[]): Promise<void> {
  for (const leaf of oldValuesRead(assignments)) {
    if (leaf.op.kind !== "variable" || !leaf.op.variable.storage) continue;
    const copy = uncounted(() => new Node({ kind: "contiguous" }, [leaf], leaf.shape, leaf.dtype));
    const [storage] = await (await deviceOf([leaf])).realize([copy], []);
    becomeStorage(leaf, storage, false);
  }
}

/** After a run: assigned variables are leaves again, of the version their assignment made. */
function settle(sealed: readonly Sealed[]): void {
  for (const { variable, value, version } of sealed) {
    variable.stored = version;
    value.become({ kind: "variable", variable, version });
    noteLeaf(variable, value);
  }
}

function isSettled({ variable, version }: Sealed): boolean {
  return variable.stored >= version;
}

function leafStorage(node: Node): Storage {
  if (node.op.kind === "storage") return node.op.storage;
  if (node.op.kind === "variable") {
    checkVersion(node);
    return node.op.variable.storage!;
  }
  throw new Error(`internal: ${node.op.kind} has no value`);
}

/** A leaf of a variable can be read only until the next assignment of the variable runs. */
export function checkVersion(node: Node): void {
  const op = node.op;
  if (op.kind !== "variable" || op.version === op.variable.stored) return;
  throw new Error(
    `a tensor was built from variable "${op.variable.name}" before it was assigned, and its old value is gone; ` +
      "read it before the assignment runs, or compute both with realize([...])",
  );
}

/**
 * First values that read a variable which is about to change. Of those that read what an assignment on its way will give
 * another variable, the values that change are copied as for any other reader.
 */
export async function realizeEarlierInitials(assignments: readonly Assignment[]): Promise<void> {
  const waiting = assignments.length > 0 ? unreadInitials() : [];
  if (waiting.length === 0) return;
  const changing = new Set(assignments.map((a) => a.variable));
  const earlier = waiting.filter((state) => {
    let reads = false;
    for (const { op } of topologicalOrder([state.initial!])) {
      if (op.kind !== "variable") continue;
      if (op.version !== op.variable.stored) return false;
      reads ||= changing.has(op.variable);
    }
    return reads;
  });
  for (const variable of earlier)
    await giveFirstValues(await deviceOf([variable.initial!], [variable.device]), [variable]);
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
  await giveFirstValues(device, [...fresh]);
}

async function giveFirstValues(device: Backend, list: readonly Assignment["variable"][]): Promise<void> {
  if (list.length === 0) return;
  await realizeInitials(
    device,
    list.map((v) => v.initial!),
  );
  // Some may have got theirs meanwhile, as first values of first values.
  const left = list.filter((v) => !v.storage);
  if (left.length > 0)
    await device.realize(
      [],
      left.map((variable) => ({ variable, value: variable.initial! })),
    );
  for (const variable of list) variable.initial = undefined;
}

function homeOf({ op }: Node): Backend | undefined {
  return op.kind === "storage" ? op.storage.device : op.kind === "variable" ? op.variable.device : undefined;
}

/** The one device of `homes` and of the leaves of `roots`; the default device where none of them lives anywhere. */
export async function deviceOf(roots: readonly Node[], homes: readonly (Backend | undefined)[] = []): Promise<Backend> {
  let found: Backend | undefined;
  for (const device of [...homes, ...topologicalOrder(roots).map(homeOf)]) {
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
