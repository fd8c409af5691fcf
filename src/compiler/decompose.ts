/**
 * Rewrites a graph for a device: identities go, and fused ops the device has no kernel for become their decomposition.
 *
 * The user's nodes are never changed; the result shares what did not need rewriting.
 */
import type { Bounds } from "../tensor/bounds.ts";
import type { FusedOp } from "../tensor/fused.ts";
import { Node, topologicalOrder } from "../tensor/node.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Whether the device lowers this fused op itself, for these operands. */
export type CanLower = (op: FusedOp, node: Node) => boolean;

/** Told of indices that must lie in bounds. */
export type OnBounds = (index: Node, bounds: Bounds) => void;

/**
 * Nodes equal to `roots`, without `alias` and `detach`, and without fused ops that `canLower` refuses. Where
 * `bounded` is given, it is told of the nodes `inBounds`, and they go too.
 */
export function decompose(roots: readonly Node[], canLower: CanLower, bounded?: OnBounds): Node[] {
  const rewritten = new Map<Node, Node>();
  /** Results of decomposed fused nodes. */
  const parts = new Map<Node, Node[]>();

  const rewriteOne = (node: Node): Node => {
    const inputs = node.inputs.map((n) => rewritten.get(n)!);
    const op = node.op;
    if (op.kind === "alias" || op.kind === "detach") return inputs[0];
    if (op.kind === "inBounds" && bounded) {
      bounded(inputs[0], op.bounds);
      return inputs[0];
    }
    if (op.kind === "pick") {
      const results = parts.get(node.inputs[0]);
      if (results) return results[op.index];
    }
    if (op.kind === "fused" && !canLower(op.fused, node)) {
      const results = op.fused
        .decompose(
          inputs.map((n) => new Tensor(n)),
          op.attrs,
        )
        .map((t) => t.node);
      // A decomposition may use fused ops in turn.
      parts.set(node, decompose(results, canLower, bounded));
      return node;
    }
    return inputs.every((n, i) => n === node.inputs[i]) ? node : new Node(op, inputs, node.shape, node.dtype);
  };

  for (const node of topologicalOrder(roots)) rewritten.set(node, rewriteOne(node));
  return roots.map((n) => rewritten.get(n)!);
}
