/**
 * The schedule: which nodes are computed together in one kernel.
 *
 * Nodes are visited from the inputs on. A pointwise node joins the kernel of an input it reads element by element
 * (the epilogue of a matmul, a step after a reduction, a longer elementwise chain), unless that would make the kernel
 * wait for itself. A reduction over the space of an earlier reduction joins it as a further pass over the rows, which
 * is what makes softmax or layer normalisation one kernel. Afterwards, elementwise kernels with a single cheap or
 * single-use result are dissolved into the kernels that read it (the prologues).
 */
import type { Node } from "../tensor/node.ts";
import { producerOf } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { ScheduleLimits } from "./fusion/draft.ts";
import { Draft } from "./fusion/draft.ts";
import type { Group } from "./fusion/group.ts";
import { dissolveLoops, recomputeCheap } from "./fusion/inlining.ts";
import { place } from "./fusion/joining.ts";
import { storeParts } from "./fusion/parts.ts";
import type { Graph } from "./graph.ts";

export interface KernelSchedule {
  /** In no particular order; every node that is stored or folded away is in exactly one, or in `inlined`. */
  readonly groups: readonly Group[];
  readonly groupOf: ReadonlyMap<Node, Group>;
  /** Nodes that are computed wherever they are read. */
  readonly inlined: ReadonlySet<Node>;
  /** Members that others read, and results of the graph: they get memory. */
  readonly stored: ReadonlySet<Node>;
}

export function schedule(graph: Graph, limits: ScheduleLimits): KernelSchedule {
  const draft = new Draft(graph, limits);
  for (const node of graph.nodes) place(draft, node);
  storeParts(draft);
  writeOutViews(draft);
  dissolveLoops(draft);
  recomputeCheap(draft);
  return { groups: [...draft.groups], groupOf: draft.groupOf, inlined: draft.inlined, stored: storedNodes(draft) };
}

/** Results that are bare views, constants or leaves need a kernel that writes them out. */
function writeOutViews(draft: Draft): void {
  for (const node of draft.results) {
    if (draft.groupOf.has(node) || sizeOf(node.shape) === 0) continue;
    const group = draft.open("loop", sizeOf(node.shape), node);
    draft.dependOn(group, [producerOf(node)]);
  }
}

function storedNodes(draft: Draft): Set<Node> {
  const stored = new Set<Node>();
  for (const [node, group] of draft.groupOf) {
    if (!draft.inlined.has(node) && draft.groups.has(group) && draft.isStored(node, group)) stored.add(node);
  }
  return stored;
}
