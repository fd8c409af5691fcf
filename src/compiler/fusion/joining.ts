/**
 * Where a node is computed, when it is met: in the kernel of something it reads, or in one of its own.
 *
 * A pointwise node joins a kernel whose elements it reads one by one: the epilogue of a product, a step after a
 * reduction, a longer elementwise chain. A reduction joins an earlier one over the same rows as a further pass, or takes
 * along the elementwise work that it reads.
 */
import type { Node } from "../../tensor/node.ts";
import { isMovement, producerOf } from "../../tensor/node.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { Draft } from "./draft.ts";
import type { Group, GroupSpace } from "./group.ts";
import { identity, levelOf, rowOfFlat, sameSpace } from "./group.ts";
import { mergeIfPossible } from "./merging.ts";
import type { Read } from "./reads.ts";
import { isGiven, isPointwise, readsOf } from "./reads.ts";

/** A reduction shares the kernel of the elementwise work it reads only where that leaves enough to do side by side. */
const MIN_ROWS = 64;
const SMALL_SPACE = 4096;

/** Which kernel a pointwise node would rather join: the one whose values would otherwise go through memory. */
const PREFERENCE: Readonly<Record<Group["kind"], number>> = { reduce: 0, matmul: 1, loop: 2, fused: 3 };

export function place(draft: Draft, node: Node): void {
  if (isGiven(node) || isMovement(node.op)) return;
  if (node.op.kind === "pick") draft.join(node, draft.groupOf.get(node.inputs[0])!);
  else if (isPointwise(node)) placePointwise(draft, node);
  else if (node.op.kind === "reduce") placeReduce(draft, node);
  else {
    const kind = node.op.kind === "matmul" ? "matmul" : "fused";
    const group = draft.open(kind, sizeOf(node.shape), node, { root: node });
    draft.dependOn(group, node.inputs.map(producerOf));
  }
}

function placePointwise(draft: Draft, node: Node): void {
  const reads = readsOf(node);
  const ranked = candidates(draft, node, reads);
  const home = ranked.find((g) => pointwiseMayJoin(draft, node, reads, g));
  if (home) draft.join(node, home);
  const group = home ?? draft.open("loop", sizeOf(node.shape), node);
  draft.dependOn(
    group,
    reads.map((r) => r.producer),
  );
  for (const other of ranked) if (other !== group && draft.groups.has(other)) mergeIfPossible(draft, group, other);
}

/** Kernels a pointwise node reads from, the best one first. A copy stands alone: it is asked for because of its memory. */
function candidates(draft: Draft, node: Node, reads: readonly Read[]): Group[] {
  if (node.op.kind === "contiguous") return [];
  const found = new Set<Group>();
  for (const read of reads) {
    const source = draft.groupOf.get(read.producer);
    if (source) found.add(source);
  }
  return [...found].sort((a, b) => PREFERENCE[a.kind] - PREFERENCE[b.kind]);
}

/** Whether a pointwise node may be computed within a kernel it reads from. */
export function pointwiseMayJoin(draft: Draft, node: Node, reads: readonly Read[], group: Group): boolean {
  if (group.kind === "fused" || !draft.hasRoom(group, 1)) return false;
  return fitsSpace(draft, node, reads, group) && !waitsForItself(draft, reads, group) && draft.canBind(group, [node]);
}

/** Whether every read from within the group is of the element (or row) being computed. */
export function fitsSpace(draft: Draft, node: Node, reads: readonly Read[], group: Group): boolean {
  const size = sizeOf(node.shape);
  const level = size === group.size ? "full" : size === group.space?.rows ? "row" : undefined;
  if (!level) return false;
  for (const read of reads) {
    if (draft.groupOf.get(read.producer) !== group) continue;
    if (!read.flat || read.guarded) return false;
    const producerLevel = levelOf(read.producer, group);
    if (producerLevel === undefined) return false;
    const expected = level === producerLevel ? identity(size) : level === "full" ? rowOfFlat(group.space!) : undefined;
    if (read.flat.key !== expected?.key) return false;
  }
  return true;
}

/** Whether something that is read waits for this kernel: waiting for it in turn would be waiting forever. */
function waitsForItself(draft: Draft, reads: readonly Read[], group: Group): boolean {
  return reads.some(({ producer }) => {
    const source = draft.groupOf.get(producer);
    return source !== undefined && source !== group && draft.waitsFor(source, group);
  });
}

function placeReduce(draft: Draft, node: Node): void {
  if (node.op.kind !== "reduce") return;
  const { shape } = node.inputs[0];
  const rows = sizeOf(node.shape);
  const size = sizeOf(shape);
  const space: GroupSpace = { shape, axes: node.op.axes, rows, columns: size / rows };
  const [read] = readsOf(node);
  const source = draft.groupOf.get(read.producer);
  if (source && reduceMayJoin(draft, node, read, source, space)) {
    if (source.kind === "loop") {
      source.kind = "reduce";
      source.space = space;
    }
    draft.join(node, source);
    return;
  }
  const group = draft.open("reduce", size, node, { space });
  draft.dependOn(group, [read.producer]);
  if (source?.kind === "reduce" && isTrailing(space)) mergeIfPossible(draft, group, source);
}

/** Whether a reduction may be a pass of the kernel it reads from. */
function reduceMayJoin(draft: Draft, node: Node, read: Read, source: Group, space: GroupSpace): boolean {
  if (read.guarded || !draft.hasRoom(source, 1)) return false;
  const joins =
    source.kind === "reduce"
      ? isFurtherPass(read, source, space)
      : source.kind === "loop" && takesLoopAlong(read, source, space);
  return joins && draft.canBind(source, [node]);
}

/** A reduction over the rows of an earlier one, of its elements or its results: a further pass over the same rows. */
export function isFurtherPass(read: Read, source: Group, space: GroupSpace): boolean {
  if (source.size !== space.rows * space.columns || !sameSpace(source.space!, space)) return false;
  const expected = levelOf(read.producer, source) === "full" ? identity(source.size) : rowOfFlat(space);
  return read.flat?.key === expected.key;
}

/** A reduction of what a loop computes, element by element: the loop becomes the value that is reduced. */
export function takesLoopAlong(read: Read, source: Group, space: GroupSpace): boolean {
  const size = space.rows * space.columns;
  if (!isTrailing(space) || source.size !== size || read.flat?.key !== identity(size).key) return false;
  return space.rows >= MIN_ROWS || size <= SMALL_SPACE;
}

/** Whether the reduced axes are the last ones: the elements of a row are neighbours in memory. */
function isTrailing({ shape, axes }: GroupSpace): boolean {
  return axes[0] === shape.length - axes.length;
}
