/**
 * What a device runs of a loop: the body as a graph over what is read of its results, and where its values go.
 *
 * A value that is kept for every step is written where it is kept, and the step that follows reads it there; one that
 * is only carried alternates between two places.
 */
import type { Loop } from "../tensor/program/body.ts";
import { buildBody, placeholder } from "../tensor/program/body.ts";
import type { Node } from "../tensor/node.ts";
import { topologicalOrder, uncounted } from "../tensor/node.ts";
import { nodeBytes } from "./plan.ts";
import type { FusedKernel } from "./kernels.ts";
import type { Graph } from "./graph.ts";

/** A value that every step makes. */
export interface LoopValue {
  /** The node of the body's graph. */
  readonly node: Node;
  readonly bytes: number;
  /** Results of the loop, by number, that hold the value of every step. */
  readonly kept: readonly number[];
  /** Results that hold the value of the last step. */
  readonly last: readonly number[];
  /** Whether the step that follows reads it. */
  readonly carried: boolean;
}

/** What a leaf of the body's graph is at a step. */
export type LoopLeaf =
  | { readonly kind: "whole"; readonly operand: number }
  /** `bytes` of the operand for every step. */
  | { readonly kind: "step"; readonly operand: number; readonly bytes: number }
  /** The operand at the first step, then what the step before made of the value. */
  | { readonly kind: "carry"; readonly operand: number; readonly value: number };

export interface LoopParts {
  readonly loop: Loop;
  readonly graph: Graph;
  /** In the order of the graph's leaves. */
  readonly leaves: readonly LoopLeaf[];
  readonly values: readonly LoopValue[];
  /** Copies once the loop has run, from a result to another: all of it, or its last step. */
  readonly copies: readonly { readonly from: number; readonly to: number; readonly lastOnly: boolean }[];
}

/** @param graphOf the graph of the body as the device makes it */
export function loopParts(kernel: FusedKernel, graphOf: (outputs: readonly Node[]) => Graph): LoopParts {
  const loop = kernel.fused.loop!;
  const { body, constants, xs, carries } = loop;
  const read = (result: number): boolean => kernel.outputs[result]?.node !== undefined;
  const places = body.leaves.map(placeholder);
  const roots = uncounted(() => buildBody(body, places));
  const stateOf = new Map(places.slice(constants + xs).map((n, i) => [n, i]));
  const wanted = new Set<number>();
  roots.forEach((_, i) => {
    if (i < carries ? read(i) || read(carries + i) : read(carries + i)) wanted.add(i);
  });
  // A carry that nobody reads is needed where it has a part in what is.
  for (let known = -1; known !== wanted.size; ) {
    known = wanted.size;
    for (const n of topologicalOrder([...wanted].map((i) => roots[i]))) {
      const state = stateOf.get(n);
      if (state !== undefined) wanted.add(state);
    }
  }
  const order = [...wanted].sort((a, b) => a - b);
  const graph = graphOf(order.map((i) => roots[i]));
  const values: LoopValue[] = [];
  const numberOf = new Map<number, number>();
  const byNode = new Map<Node, number[]>();
  order.forEach((root, k) => byNode.set(graph.outputs[k], [...(byNode.get(graph.outputs[k]) ?? []), root]));
  for (const [node, found] of byNode) {
    for (const root of found) numberOf.set(root, values.length);
    values.push({
      node,
      bytes: nodeBytes(node),
      kept: found.map((i) => carries + i).filter(read),
      last: found.filter((i) => i < carries && read(i)),
      carried: found.some((i) => i < carries),
    });
  }
  const number = new Map(places.map((n, i) => [n, i]));
  const leaves = graph.leaves.map(({ source }): LoopLeaf => {
    const operand = number.get(source)!;
    if (operand < constants) return { kind: "whole", operand };
    if (operand < constants + xs) return { kind: "step", operand, bytes: nodeBytes(source) };
    return { kind: "carry", operand, value: numberOf.get(operand - constants - xs)! };
  });
  const copies = values.flatMap(({ kept: [first, ...same], last }) => [
    ...same.map((to) => ({ from: first, to, lastOnly: false })),
    ...(first === undefined
      ? last.slice(1).map((to) => ({ from: last[0], to, lastOnly: false }))
      : last.map((to) => ({ from: first, to, lastOnly: true }))),
  ]);
  return { loop, graph, leaves, values, copies };
}

/** Whether every step of the loop's tensors begins at a word of four bytes, which is as fine as GPUs copy. */
export function stepsAreWords({ body: { leaves, steps } }: Loop): boolean {
  return [...leaves, ...steps].every(({ dtype }) => dtype !== "f16");
}
