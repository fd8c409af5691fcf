/**
 * Large graphs in parts: a graph of any size becomes plans of bounded size, run one after the other.
 *
 * What planning costs grows faster than the number of nodes, and how deep a kernel's expressions nest grows with it.
 * Nodes are cut in the order they are computed; what a part leaves to later ones is a tensor in memory. Leaves,
 * constants and a few views of anything are not kept but repeated in every part that reads them.
 */
import type { Storage } from "../tensor/backend.ts";
import { Node, isMovement, topologicalOrder } from "../tensor/node.ts";

/** More nodes than these are planned in parts. A training step of a large model has a few thousand. */
const MAX_PLAN_NODES = 16384;
/** Nodes of a part: planning takes longest per node where a plan is large. */
const PART_NODES = 2048;
/** Views of views that are repeated rather than kept. */
const REPEATED_VIEWS = 4;

/** A part of a graph: its results are the leaves `kept` of later parts. */
interface GraphPart {
  /** Nodes to compute, over leaves of the whole graph and of earlier parts. */
  readonly outputs: readonly Node[];
  /** For each output the leaf that stands for it in later parts; its storage is set once the part has run. */
  readonly kept: readonly Node[];
}

interface GraphParts {
  readonly parts: readonly GraphPart[];
  /** The graph's roots, over what the parts leave: the last plan. */
  readonly roots: readonly Node[];
}

/** The parts that come before the last plan of `roots`; undefined where one plan will do. */
export function graphParts(
  roots: readonly Node[],
  limit = MAX_PLAN_NODES,
  partNodes = Math.min(limit, PART_NODES),
): GraphParts | undefined {
  const order = topologicalOrder(roots);
  if (order.length <= limit) return undefined;
  const partOf = new Map<Node, number>();
  const views = new Map<Node, number>();
  let part = 0;
  let inPart = 0;
  for (const node of order) {
    const depth = repeatedViews(node, views);
    if (depth !== undefined) views.set(node, depth);
    // A fused op's results are picked where it runs.
    if (node.op.kind === "pick") partOf.set(node, partOf.get(node.inputs[0])!);
    else {
      if (inPart >= partNodes) [part, inPart] = [part + 1, 0];
      inPart++;
      partOf.set(node, part);
    }
  }

  const last = part;
  /** Nodes of a part that later parts read, with the leaf they are there. */
  const leafOf = new Map<Node, Node>();
  const outputs: Node[][] = Array.from({ length: last + 1 }, () => []);
  const keep = (node: Node): void => {
    if (leafOf.has(node)) return;
    leafOf.set(node, new Node({ kind: "storage", storage: NOT_YET }, [], node.shape, node.dtype));
    outputs[partOf.get(node)!].push(node);
  };
  const keepBehind = (node: Node, reader: number): void => {
    let at = node;
    while (views.has(at) && at.inputs.length > 0) at = at.inputs[0];
    if (!views.has(at) && partOf.get(at)! < reader) keep(at);
  };
  for (const node of order) {
    const reader = partOf.get(node)!;
    if (!views.has(node)) for (const input of node.inputs) keepBehind(input, reader);
  }
  for (const root of roots) keepBehind(root, last);

  /** Nodes as the part being written has them. */
  let local = new Map<Node, Node>();
  let current = 0;
  const rewrite = (root: Node): Node => {
    for (const node of topologicalOrder([root], (n) => (local.has(n) || isKept(n) ? [] : n.inputs))) {
      if (local.has(node)) continue;
      const inputs = node.inputs.map((n) => local.get(n)!);
      const same = inputs.every((n, i) => n === node.inputs[i]);
      if (isKept(node)) local.set(node, leafOf.get(node)!);
      else local.set(node, same ? node : new Node(node.op, inputs, node.shape, node.dtype, node.stopped));
    }
    return local.get(root)!;
  };
  const isKept = (node: Node): boolean => leafOf.has(node) && partOf.get(node)! < current;

  const parts: GraphPart[] = [];
  for (; current < last; current++) {
    local = new Map();
    const wanted = outputs[current];
    if (wanted.length > 0) parts.push({ outputs: wanted.map(rewrite), kept: wanted.map((n) => leafOf.get(n)!) });
  }
  local = new Map();
  return { parts, roots: roots.map(rewrite) };
}

/** How many views lie between a node and what it is a view of, where it is repeated; 0 for leaves and constants. */
function repeatedViews(node: Node, views: ReadonlyMap<Node, number>): number | undefined {
  const { kind } = node.op;
  if (kind === "data" || kind === "storage" || kind === "variable" || kind === "full" || kind === "iota") return 0;
  if (!isMovement(node.op) && kind !== "alias" && kind !== "detach") return undefined;
  const depth = (views.get(node.inputs[0]) ?? 0) + 1;
  return depth <= REPEATED_VIEWS ? depth : undefined;
}

/** Stands in leaves of parts that have not run. */
const NOT_YET = undefined as unknown as Storage;
