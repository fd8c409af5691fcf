/** Two kernels as one: where both run over the same elements and no third one has to run between them. */
import type { Node } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Draft } from "./draft.ts";
import type { Group } from "./group.ts";
import { identity, levelOf, rowOfFlat, sameSpace } from "./group.ts";
import { readsOf } from "./reads.ts";

export function mergeIfPossible(draft: Draft, group: Group, other: Group): void {
  // A loop becomes part of a reduction or product, never the other way round.
  const [host, guest] = group.kind === "loop" && other.kind !== "loop" ? [other, group] : [group, other];
  if (mayMerge(draft, host, guest)) draft.merge(host, guest);
}

export function mayMerge(draft: Draft, host: Group, guest: Group): boolean {
  if (!spacesAgree(host, guest) || !draft.hasRoom(host, guest.members.size)) return false;
  if (holdsCopy(host) || holdsCopy(guest)) return false;
  if (draft.separated(host, guest)) return false;
  if (!readsElementByElement(draft, guest.members, host, host)) return false;
  if (!readsElementByElement(draft, host.members, guest, host)) return false;
  // The matmul itself must not need what its epilogue computes.
  if (host.kind === "matmul" && draft.waitsFor(host, guest)) return false;
  return draft.canBind(host, [...guest.members]);
}

/** Whether the guest's elements are the host's elements or rows. */
export function spacesAgree(host: Group, guest: Group): boolean {
  if (host.kind === "fused" || guest.kind === "fused" || guest.kind === "matmul") return false;
  if (guest.kind === "reduce" && !(host.kind === "reduce" && sameSpace(host.space!, guest.space!))) return false;
  return guest.size === host.size || guest.size === host.space?.rows;
}

function holdsCopy(group: Group): boolean {
  return [...group.members].some((m) => m.op.kind === "contiguous");
}

/** Whether all that `readers` read of `source` is of the element, or the row of the host, that they compute. */
function readsElementByElement(draft: Draft, readers: ReadonlySet<Node>, source: Group, host: Group): boolean {
  for (const reader of readers) {
    for (const read of readsOf(reader)) {
      if (draft.groupOf.get(read.producer) !== source) continue;
      const size = sizeOf(reader.op.kind === "reduce" ? reader.inputs[0].shape : reader.shape);
      const producerSize = sizeOf(read.producer.shape);
      if (size < producerSize) return false;
      const expected = size === producerSize ? identity(size) : host.space ? rowOfFlat(host.space) : undefined;
      if (!read.flat || read.guarded || read.flat.key !== expected?.key) return false;
      if (source === host && host.kind === "reduce" && levelOf(read.producer, host) === undefined) return false;
    }
  }
  return true;
}
