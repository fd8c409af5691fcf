/** What realization has to know of variables: which assignments wait, and which variable a graph leaf belongs to. */
import type { Node, VariableState } from "./node.ts";
import type { Variable } from "./variable.ts";

/** Assignments that the next realization will run. */
export const pendingAssignments = new Map<VariableState, Node>();

/** Variables by their state, for `backward` (weak: a variable nobody holds needs no gradient). */
export const variables = new WeakMap<VariableState, WeakRef<Variable>>();
