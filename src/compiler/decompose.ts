/**
 * Rewrites a graph for a device: identities go, fused ops the device has no kernel for become their decomposition, and
 * very long sums and products become sums of parts.
 *
 * The user's nodes are never changed; the result shares what did not need rewriting.
 */
import type { Bounds } from "../tensor/bounds.ts";
import { convertValues } from "../tensor/door/host-values.ts";
import type { DType } from "../tensor/dtype.ts";
import type { FusedOp } from "../tensor/fused.ts";
import type { LongProduct } from "./long.ts";
import { inPartsIfLong } from "./long.ts";
import { Node, isMovement, topologicalOrder } from "../tensor/node.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Whether the device lowers this fused op itself, for these operands. */
export type CanLower = (op: FusedOp, node: Node) => boolean;

/** Told of indices that must lie in bounds. */
type OnBounds = (index: Node, bounds: Bounds) => void;

/**
 * Nodes equal to `roots`, without `alias` and `detach`, and without fused ops that `canLower` refuses. Where
 * `bounded` is given, as devices of 32 bits do, it is told of the nodes `inBounds`, and they go too; casts of float64
 * host data are made on the host. `longProduct` is a matrix product of a long inner axis, where kernels should not do it.
 */
export function decompose(
  roots: readonly Node[],
  canLower: CanLower,
  bounded?: OnBounds,
  longProduct?: LongProduct,
): Node[] {
  const rewritten = new Map<Node, Node>();
  /** Results of decomposed fused nodes. */
  const parts = new Map<Node, Node[]>();

  const rewriteOne = (node: Node): Node => {
    const inputs = node.inputs.map((n) => rewritten.get(n)!);
    const op = node.op;
    if (op.kind === "alias" || op.kind === "detach") return inputs[0];
    if (op.kind === "cast" && bounded) {
      const narrow = narrowed(node.inputs[0], node.dtype);
      if (narrow) return narrow;
    }
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
      // A decomposition may use fused ops in turn. What it is made from stays as it is.
      for (const input of inputs) rewritten.set(input, input);
      parts.set(node, rewrite(results));
      return node;
    }
    const parted = bounded && inPartsIfLong(node, inputs, longProduct);
    if (parted) return parted;
    return inputs.every((n, i) => n === node.inputs[i]) ? node : new Node(op, inputs, node.shape, node.dtype);
  };

  const rewrite = (wanted: readonly Node[]): Node[] => {
    const order = topologicalOrder(wanted, (n) => (rewritten.has(n) ? [] : n.inputs));
    for (const node of order) if (!rewritten.has(node)) rewritten.set(node, rewriteOne(node));
    return wanted.map((n) => rewritten.get(n)!);
  };
  return rewrite(roots);
}

const narrowData = new WeakMap<Node, Map<DType, Node>>();

/** Float64 host data, or views of it, as another dtype; undefined for what is no such data or changes between runs. */
function narrowed(x: Node, dtype: DType): Node | undefined {
  const { op } = x;
  if (x.dtype !== "f64" || dtype === "f64" || x.traced) return undefined;
  if (op.kind === "data") {
    if (op.refresh) return undefined;
    const known = narrowData.get(x) ?? new Map<DType, Node>();
    narrowData.set(x, known);
    let node = known.get(dtype);
    if (!node) {
      node = new Node({ kind: "data", data: convertValues(op.data, dtype, true) }, [], x.shape, dtype);
      known.set(dtype, node);
    }
    return node;
  }
  if (op.kind !== "alias" && op.kind !== "detach" && !isMovement(op)) return undefined;
  const inner = narrowed(x.inputs[0], dtype);
  return inner && isMovement(op) ? new Node(op, [inner], x.shape, dtype) : inner;
}
