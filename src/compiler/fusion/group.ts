/** A group: nodes that are computed together in one kernel, and the space that the kernel runs over. */
import type { Node } from "../../tensor/node.ts";
import type { Shape } from "../../tensor/shape.ts";
import { sizeOf } from "../../tensor/shape.ts";
import type { IntExpr } from "../int-expr.ts";
import { flatten, loopVariable, unflatten } from "../int-expr.ts";
import { memo } from "../memo.ts";

export interface GroupSpace {
  /** Shape that is reduced, and the axes reduced away. */
  readonly shape: Shape;
  readonly axes: readonly number[];
  readonly rows: number;
  readonly columns: number;
}

/** The nodes of one kernel. */
export interface Group {
  readonly id: number;
  kind: "loop" | "reduce" | "matmul" | "fused";
  readonly members: Set<Node>;
  /** Elements of the iteration space: results of a loop or matmul, rows × columns of a reduction. */
  size: number;
  space?: GroupSpace;
  /** The matmul or fused node. */
  readonly root?: Node;
}

/** Whether a value of a group is one an element of its space or one a row. */
type Level = "row" | "full";

/** The level of a member of a group; undefined for what a fused op or a kernel of another size holds. */
export function levelOf(node: Node, group: Group): Level | undefined {
  const size = sizeOf(node.shape);
  if (node.op.kind === "reduce" && group.kind === "reduce") return "row";
  if (size === group.size) return "full";
  return size === group.space?.rows ? "row" : undefined;
}

/** Whether two reductions have the same rows, made of the same elements. */
export function sameSpace(a: GroupSpace, b: GroupSpace): boolean {
  return a.rows === b.rows && a.columns === b.columns && rowOfFlat(a).key === rowOfFlat(b).key;
}

/** The index of a reader that reads element "i" for its element "i" of that many. */
export const identity = memo(new Map<number, IntExpr>(), (size) => loopVariable("i", size));

/** The row of the space that flat element "i" of the reduced shape belongs to. */
export const rowOfFlat = memo(new WeakMap<GroupSpace, IntExpr>(), ({ shape, axes }) => {
  const index = unflatten(loopVariable("i", sizeOf(shape)), shape);
  const kept = <T>(list: readonly T[]): T[] => list.filter((_, axis) => !axes.includes(axis));
  return flatten(kept(index), kept(shape));
});
