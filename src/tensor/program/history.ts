/**
 * Which computed values keep what they were computed from: those through which a gradient can flow, to a trainable
 * variable or a tensor that asked with `requireGrad()`. All others let go of it, so that a value carried from step to
 * step does not drag its history along.
 */
import { isFloat } from "../dtype.ts";
import type { Node } from "../node.ts";
import { topologicalOrder } from "../node.ts";
import { assignedTo, variables } from "./pending.ts";
import type { Tensor } from "../tensor.ts";

/** Tensors that asked for a gradient, by node; weak, so that asking does not keep them alive. */
export const gradientTargets = new WeakMap<Node, WeakRef<Tensor>>();

/** Results of compiled functions, and arguments in them, through which a gradient would flow, were they not compiled. */
export const compiledEdges = new WeakSet<Node>();

/**
 * The inputs that reverse mode looks through: none past a stop, or past the value a variable was assigned. A fused op is
 * none of its results, of which the first may be of integers.
 */
export function differentiableInputs(node: Node): readonly Node[] {
  const { op, inputs } = node.formula;
  if (node.stopped || op.kind === "detach" || (op.kind !== "fused" && !isFloat(node.dtype)) || assignedTo.has(node))
    return [];
  return inputs;
}

/** The tensor whose `grad` a cotangent of this node is. */
export function gradientTarget(node: Node): Tensor | undefined {
  const state = node.op.kind === "variable" ? node.op.variable : assignedTo.get(node);
  if (!state) return gradientTargets.get(node)?.deref();
  const held = variables.get(state)?.deref();
  return held?.trainable ? held : undefined;
}

/** Those of `roots` through which a gradient can flow. */
export function keepsHistory(roots: readonly Node[]): Set<Node> {
  const flows = new Set<Node>();
  // A computed value knows by itself: its history was kept or not.
  const inputsOf = (node: Node) => (node.remembers ? [] : differentiableInputs(node));
  for (const node of topologicalOrder(roots, inputsOf)) {
    const reached = node.remembers || compiledEdges.has(node) || gradientTarget(node) !== undefined;
    if (reached || inputsOf(node).some((n) => flows.has(n))) flows.add(node);
  }
  return new Set(roots.filter((n) => flows.has(n)));
}
