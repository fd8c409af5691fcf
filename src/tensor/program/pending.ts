/**
 * Assignments in the order of the program.
 *
 * `assign` puts a value on the waiting list. The next call that runs anything seals the list: sealed assignments have
 * their place in the queue, and what is built from then on reads the variables' next version.
 */
import type { Assignment } from "../backend.ts";
import { counting, countUsers, type Node, type VariableState } from "../node.ts";
import { cutLongPrograms, startedAnew } from "./long-programs.ts";
import { type Trace, tracing } from "./trace.ts";
import type { Variable } from "../variable.ts";

/** Assignments that the next run will take along. */
export const pendingAssignments = new Map<VariableState, Node>();

/** Which variable a node is the assigned value of. */
export const assignedTo = new WeakMap<Node, VariableState>();

/** Variables by their state, for `backward` (weak: a variable nobody holds needs no gradient). */
export const variables = new WeakMap<VariableState, WeakRef<Variable>>();

/** An assignment with its place in the order: the version it makes. */
export interface Sealed extends Assignment {
  readonly version: number;
}

/** From now on the variable stands for `node`. */
export function makePending(variable: VariableState, node: Node): void {
  const trace: Trace | undefined = tracing();
  if (trace) {
    node.traced = trace;
    trace.name(node, `variable "${variable.name}" as a traced function assigned it`);
  }
  if (!trace && counting() && pendingAssignments.has(variable)) cutLongPrograms();
  assignedTo.set(node, variable);
  if (!trace) {
    // What comes before the assignment is asked for with it; were it dropped, by who has used it since.
    node.count();
    const before = pendingAssignments.get(variable);
    if (before && before.users > 0) countUsers(before.inputs, true);
  }
  pendingAssignments.set(variable, node);
}

/** The assignments waiting to run, in the order they were made. */
export function pendingList(): Assignment[] {
  return [...pendingAssignments].map(([variable, value]) => ({ variable, value }));
}

/** To be called before an update that assigns several variables, of which what is built counts for nobody. */
export function beforeUpdate(): void {
  if (!tracing() && counting() && pendingAssignments.size > 0) cutLongPrograms();
}

/** Takes all waiting assignments off the list and gives them their place in the order. */
export function sealPending(): Sealed[] {
  const list = pendingList().map((a) => ({ ...a, version: ++a.variable.version }));
  pendingAssignments.clear();
  startedAnew();
  return list;
}

/** Takes assignments off the waiting list, unless the variable was assigned again meanwhile. */
export function forget(assignments: readonly Assignment[]): void {
  for (const { variable, value } of assignments) {
    if (pendingAssignments.get(variable) === value) pendingAssignments.delete(variable);
  }
}

/** Variables without memory whose first value reads other variables: it is that of the moment they were made. */
const unread = new Set<WeakRef<VariableState>>();

/** Notes a variable whose first value reads others. */
export function noteInitial(variable: VariableState): void {
  unread.add(new WeakRef(variable));
}

/** Variables whose first value is still to be computed and reads others. */
export function unreadInitials(): VariableState[] {
  return [...unread].flatMap((ref) => {
    const state = ref.deref();
    if (state?.initial && !state.storage) return [state];
    unread.delete(ref);
    return [];
  });
}
