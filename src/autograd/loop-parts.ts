/** What of a step is the body of a loop, what comes before the loop, and what indices in the body must be within. */
import { inBounds, valuesBehind } from "../tensor/bounds.ts";
import type { Bounds } from "../tensor/bounds.ts";
import type { Node } from "../tensor/node.ts";
import { isMovement, topologicalOrder } from "../tensor/node.ts";
import { gradientTarget } from "../tensor/program/history.ts";
import { Tensor } from "../tensor/tensor.ts";

interface LoopParts {
  /** Computed before the loop. */
  readonly constants: readonly Node[];
  /** Whether the body computes indices that must be checked: a loop checks none, and indices of the host's come before it. */
  readonly unchecked: boolean;
  /** A value that a leaf stands for, with its indices held to what the body asks of them. */
  held(leaf: Node, value: Tensor): Tensor;
  /** What stands for a node in the body: what is checked before the loop need not be checked in it. */
  enter(node: Node): Node | undefined;
}

/**
 * @param leaves what a step is given
 * @param whole those of which all values are there before the loop runs
 */
export function partsOf(roots: readonly Node[], leaves: readonly Node[], whole: ReadonlySet<Node>): LoopParts {
  const given = new Set(leaves);
  const varies = new Set<Node>();
  for (const node of topologicalOrder(roots, (n) => (given.has(n) ? [] : n.inputs))) {
    if (given.has(node) || node.inputs.some((n) => varies.has(n))) varies.add(node);
  }
  const constants: Node[] = [];
  const demands = new Map<Node, Bounds[]>();
  let unchecked = false;
  // Views and constants are built again in the body, unless a gradient is asked for at this very node.
  const rebuilt = (node: Node): boolean => {
    const { op } = node;
    return (op.kind === "full" || op.kind === "iota" || isMovement(op)) && gradientTarget(node) === undefined;
  };
  const inputsOf = (node: Node): readonly Node[] =>
    given.has(node) || !(varies.has(node) || rebuilt(node)) ? [] : node.inputs;
  for (const node of topologicalOrder(roots, inputsOf)) {
    const { op } = node;
    if (varies.has(node)) {
      if (op.kind !== "inBounds") continue;
      const base = valuesBehind(node.inputs[0]);
      if (whole.has(base)) demands.set(base, [...(demands.get(base) ?? []), op.bounds]);
      else unchecked = true;
    } else if (!rebuilt(node)) constants.push(node);
  }
  return {
    constants,
    unchecked,
    held: (leaf, value) => (demands.get(leaf) ?? []).reduce((t, bounds) => new Tensor(inBounds(t.node, bounds)), value),
    enter: (node) => (node.op.kind === "inBounds" && varies.has(node) ? node.inputs[0] : undefined),
  };
}
