/** What a node reads, and which element of it for its own element: what decides whether two nodes may share a kernel. */
import { elementwise } from "../../tensor/elementwise.ts";
import type { Node } from "../../tensor/node.ts";
import { isMovement, producerOf } from "../../tensor/node.ts";
import { sameShape, sizeOf } from "../../tensor/shape.ts";
import { resolve } from "../access.ts";
import type { IntExpr } from "../int-expr.ts";
import { flatten, loopVariable, unflatten } from "../int-expr.ts";
import { memo } from "../memo.ts";

/** One read of a node: the first non-movement node behind an operand, and the place read. */
export interface Read {
  readonly producer: Node;
  /** Flat index in the producer as a function of the reader's flat index "i"; absent where data decides it. */
  readonly flat?: IntExpr;
  readonly guarded: boolean;
}

/** Whether an element of the result follows from single elements of the inputs. */
export function isPointwise(node: Node): boolean {
  switch (node.op.kind) {
    case "elementwise":
    case "cast":
    case "bits":
    case "concat":
    case "gather":
    case "contiguous":
      return true;
    default:
      return false;
  }
}

/** Leaves and constants: known before any kernel runs. */
export function isGiven(node: Node): boolean {
  switch (node.op.kind) {
    case "data":
    case "storage":
    case "variable":
      return true;
    default:
      return isConstant(node);
  }
}

/** Values that follow from the position alone: they lie in no buffer. */
export function isConstant(node: Node): boolean {
  return node.op.kind === "full" || node.op.kind === "iota";
}

/** Arithmetic of one element, about in float operations. */
export function costOf(node: Node): number {
  switch (node.op.kind) {
    case "elementwise":
      return elementwise(node.op.name).cost ?? 1;
    case "bits":
      return 60;
    case "gather":
      return 2;
    case "concat":
      return node.inputs.length;
    default:
      return 0;
  }
}

/** What a pointwise node or a reduction reads, in the space of the elements it runs over. */
export const readsOf = memo(new WeakMap<Node, Read[]>(), (node): Read[] => {
  const { op, inputs } = node;
  if (op.kind === "reduce") return [readOf(inputs[0], inputs[0])];
  if (!isPointwise(node)) return inputs.map(placeUnknown);
  const { kind } = op;
  return inputs.map((input, k) =>
    kind === "bits" || kind === "concat" || (kind === "gather" && k === 0) ? placeUnknown(input) : readOf(input, node),
  );
});

/** How `input` is read by what runs over the elements of `space`. */
export function readOf(input: Node, space: Node): Read {
  const place = loopVariable("i", sizeOf(space.shape));
  // What is no view is read at the element itself.
  if (!isMovement(input.op) && sameShape(input.shape, space.shape))
    return { producer: input, flat: place, guarded: false };
  const index = unflatten(place, space.shape);
  const { producer, access } = resolve(input, index);
  return { producer, flat: flatten(access.index, producer.shape), guarded: access.conditions.length > 0 };
}

function placeUnknown(input: Node): Read {
  return { producer: producerOf(input), guarded: true };
}
