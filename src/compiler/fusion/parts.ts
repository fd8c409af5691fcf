/**
 * Tensors of one size that are joined: where one kernel computes all of them, it stores each in its place, and none is
 * read and written once more.
 */
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Draft } from "./draft.ts";
import type { Group } from "./group.ts";
import { identity } from "./group.ts";
import { mayMerge } from "./merging.ts";
import { readOf } from "./reads.ts";

export function storeParts(draft: Draft): void {
  for (const node of draft.graph.nodes) {
    const host = node.op.kind === "concat" && hostOf(draft, node);
    if (host && draft.hasRoom(host, 1) && draft.canBind(host, [node])) draft.move(node, host);
  }
}

/** The kernel that computes all parts element by element, made of several where need be. */
function hostOf(draft: Draft, { inputs }: Node): Group | undefined {
  const size = sizeOf(inputs[0].shape);
  const groups = inputs.map((part) => {
    const { producer, flat } = readOf(part, part);
    const isSame = sizeOf(part.shape) === size && sizeOf(producer.shape) === size;
    return isSame && flat!.key === identity(size).key ? draft.groupOf.get(producer) : undefined;
  });
  const host = groups.find((g) => g?.kind === "reduce") ?? groups[0];
  if (host?.size !== size || host.kind === "matmul" || host.kind === "fused") return undefined;
  for (const group of groups) {
    if (!group) return undefined;
    // Those before may have taken it in.
    if (group === host || !draft.groups.has(group)) continue;
    if (!mayMerge(draft, host, group)) return undefined;
    draft.merge(host, group);
  }
  return host;
}
