/**
 * `checkpoint(f)`: gradient checkpointing. What `f` computes on the way is not kept for the backward pass, but computed
 * again when that comes to it (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174).
 *
 * The function runs once, when it is called; the graph that it leaves is kept in mind. Its gradient is taken of a copy of
 * that graph whose inputs wait for the cotangent: a copy of the inputs themselves would be the same expressions, which a
 * plan computes once and keeps. Draws of random numbers are part of the graph, so dropout meets the same masks; effects
 * (running statistics) happen once.
 */
import * as build from "../tensor/build.ts";
import { isFloat } from "../tensor/dtype.ts";
import { requireFunction, requireTensor } from "../tensor/door/door.ts";
import type { FusedOp } from "../tensor/fused.ts";
import { Node, topologicalOrder } from "../tensor/node.ts";
import type { Op } from "../tensor/node.ts";
import { gradientTarget } from "../tensor/program/history.ts";
import { Tensor } from "../tensor/tensor.ts";
import { alias, gradients } from "./grad.ts";
import { waitingFor } from "./waiting.ts";

/** A node as it was when the function had run: computing it makes it a leaf. */
interface Kept {
  readonly node: Node;
  readonly op: Op;
  readonly inputs: readonly Node[];
}

/**
 * A function that computes what `f` computes, with the same gradients to the bit, and keeps only its inputs and results
 * for the backward pass: memory for one more forward pass (torch.utils.checkpoint.checkpoint).
 *
 * ```ts
 * const blocks = layers.map((layer) => checkpoint((x: Tensor) => layer.forward(x)));
 * ```
 *
 * It takes tensors of any shapes and dtypes and gives what `f` gives, a tensor or an array of tensors, inside `compile` or
 * not. Variables that `f` uses need not be among its inputs. Gradients of gradients go through it.
 *
 * @throws Error where an input or a result is no tensor.
 */
export function checkpoint<I extends readonly Tensor[], O extends Tensor | readonly Tensor[]>(
  f: (...inputs: I) => O,
): (...inputs: I) => O {
  requireFunction("checkpoint", f);
  return (...inputs) => {
    inputs.forEach((x, i) => requireTensor("checkpoint", `input ${i}`, x));
    const first = new Node({ kind: "full", value: 0 }, [], [], "f32").id;
    const own = inputs.map(alias);
    const given: unknown = f(...(own as unknown as I));
    const results: readonly unknown[] = Array.isArray(given) ? given : [given];
    results.forEach((y, i) => requireTensor("checkpoint", Array.isArray(given) ? `result ${i}` : "the result", y));
    const outputs = recomputed(first, inputs, own, results as readonly Tensor[]);
    return (Array.isArray(given) ? outputs : outputs[0]) as O;
  };
}

/** Results equal to `ys` whose gradient computes them once more. `first`: nodes of smaller ids were there before. */
function recomputed(first: number, inputs: readonly Tensor[], own: readonly Tensor[], ys: readonly Tensor[]): Tensor[] {
  const mine = new Map(own.map((t, i) => [t.node, inputs[i].node]));
  // What was there before is a leaf, and so is every variable and every draw, which is not drawn again.
  const isDraw = ({ op }: Node): boolean => op.kind === "data" && op.refresh !== undefined;
  const isLeaf = (node: Node): boolean =>
    mine.has(node) ||
    node.id < first ||
    node.op.kind === "variable" ||
    isDraw(node) ||
    gradientTarget(node) !== undefined;
  const order = topologicalOrder(
    ys.map((t) => t.node),
    (node) => (isLeaf(node) ? [] : node.formula.inputs),
  );
  const kept: Kept[] = order.flatMap((node) => (isLeaf(node) ? [] : [{ node, ...partsOf(node) }]));
  const leaves = order.filter(isLeaf);
  const later = new Set(leaves.filter((node) => mine.has(node) || isDraw(node)));
  const values = ys.map((y) => y.detach());
  const floating = values.flatMap((y, i) => (isFloat(y.dtype) ? [i] : []));
  if (floating.length === 0) return values;
  const op: FusedOp = {
    name: "checkpoint",
    outputs: (all) => all.slice(leaves.length),
    decompose: (all) => all.slice(leaves.length),
    vjp(all, _, cotangents) {
      const asked = floating.flatMap((at, k) => (cotangents[k] ? [{ y: ys[at], dy: cotangents[k] }] : []));
      if (asked.length === 0) return [];
      const late = waitingFor([asked[0].dy]);
      const copies = leaves.map((node, i) => alias(later.has(node) ? late(all[i]) : all[i]));
      const copyOf = copied(kept, new Map(leaves.map((node, i) => [node, copies[i].node])));
      const again = asked.map(({ y }) => new Tensor(copyOf(y.node)));
      const targets = copies.flatMap((t, i) => (isFloat(t.dtype) ? [i] : []));
      const found = gradients(
        again,
        asked.map(({ dy }) => dy),
        targets.map((i) => copies[i]),
      );
      const result: (Tensor | undefined)[] = all.map(() => undefined);
      targets.forEach((i, k) => {
        result[i] = found[k];
      });
      return result;
    },
  };
  const operands = [...leaves.map((node) => mine.get(node) ?? node), ...floating.map((i) => values[i].node)];
  build.fused(op, operands, {}).forEach((node, k) => {
    values[floating[k]] = new Tensor(node);
  });
  return values;
}

const partsOf = (node: Node): { op: Op; inputs: readonly Node[] } => {
  const { op, inputs } = node.formula;
  return { op, inputs };
};

/** Copies of nodes over other leaves. What depends on no leaf stays what it is. */
function copied(kept: readonly Kept[], leaves: ReadonlyMap<Node, Node>): (node: Node) => Node {
  const copies = new Map(leaves);
  for (const { node, op, inputs } of kept) {
    if (inputs.some((n) => copies.has(n))) {
      const own = inputs.map((n) => copies.get(n) ?? n);
      copies.set(node, new Node(op, own, node.shape, node.dtype, node.stopped));
    }
  }
  return (node) => copies.get(node) ?? node;
}
