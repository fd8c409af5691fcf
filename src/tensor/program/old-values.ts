/**
 * Old values of variables that may still be asked for.
 *
 * A run that assigns a variable writes over its memory. Where nodes are left that were built on the value and are no
 * part of the run, the run copies it first, and the leaf they were built on stands for the copy from then on: whoever
 * reads it later reads what it meant when it was written. What `compile` traces and what an optimizer builds is asked
 * for with the assignments or never, so a training step copies nothing.
 */
import type { Assignment } from "../backend.ts";
import type { Node, VariableState } from "../node.ts";

/** Notes a leaf of a variable. Leaves of versions that are gone are forgotten. */
export function noteLeaf(variable: VariableState, leaf: Node): void {
  variable.leaves = variable.leaves.filter(({ op }) => op.kind === "variable" && op.version >= variable.stored);
  variable.leaves.push(leaf);
}

/**
 * Leaves that stand for what these assignments are about to write over, and that somebody outside of the run reads.
 *
 * @param order all nodes of the run, inputs before users
 * @param computed those that have values after it
 */
export function oldValuesRead(
  assignments: readonly Assignment[],
  order: readonly Node[] = [],
  computed: ReadonlySet<Node> = new Set(),
): Node[] {
  const within = new Map<Node, number>();
  for (const { counts, inputs } of order) {
    if (counts) for (const input of inputs) within.set(input, (within.get(input) ?? 0) + 1);
  }
  const asked = new Set<Node>();
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i];
    if (computed.has(node)) continue;
    if (node.users > (within.get(node) ?? 0)) asked.add(node);
    if (asked.has(node)) for (const input of node.inputs) asked.add(input);
  }
  return assignments.flatMap(({ variable }) =>
    variable.leaves.filter(
      (leaf) =>
        leaf.op.kind === "variable" &&
        leaf.op.version === variable.stored &&
        (asked.has(leaf) || leaf.users > (within.get(leaf) ?? 0)),
    ),
  );
}
