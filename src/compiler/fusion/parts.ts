/**
 * Tensors of one size that are joined: where one kernel computes all of them, it stores each in its place, and none is
 * read and written once more.
 */
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { resolve } from "../access.ts";
import { flatten, loopVariable, unflatten } from "../int-expr.ts";
import type { Draft } from "./draft.ts";
import type { Group } from "./group.ts";
import { identity } from "./group.ts";
import { mayMerge } from "./merging.ts";

export function storeParts(draft: Draft): void {
  for (const node of draft.graph.nodes) {
    if (node.op.kind !== "concat") continue;
    const host = hostOf(draft, node);
    if (host) draft.move(node, host);
  }
}

/** The kernel that computes all parts element by element, made of several where need be, if it may store them so. */
function hostOf(draft: Draft, node: Node): Group | undefined {
  const size = sizeOf(node.inputs[0].shape);
  const groups = node.inputs.map((part) => {
    const { producer, access } = resolve(part, unflatten(loopVariable("i", size), part.shape));
    const isSame = sizeOf(part.shape) === size && sizeOf(producer.shape) === size;
    return isSame && flatten(access.index, producer.shape).key === identity(size).key
      ? draft.groupOf.get(producer)
      : undefined;
  });
  const host = groups.find((g) => g?.kind === "reduce") ?? groups[0];
  if (host?.size !== size) return undefined;
  for (const group of groups) {
    if (!group || (group.kind !== "loop" && group.kind !== "reduce")) return undefined;
    // Those before may have taken it in.
    if (group === host || !draft.groups.has(group)) continue;
    if (!mayMerge(draft, host, group)) return undefined;
    draft.merge(host, group);
  }
  return draft.hasRoom(host, 1) && draft.canBind(host, [node]) ? host : undefined;
}
