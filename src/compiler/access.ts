/** How movement ops move indices: from a position in the result to the position in the input, and where there is none. */
import type { MovementOp, Node } from "../tensor/node.ts";
import { isMovement } from "../tensor/node.ts";
import type { Shape } from "../tensor/shape.ts";
import type { IntExpr } from "./int-expr.ts";
import { add, div, flatten, int, scale, sub, unflatten } from "./int-expr.ts";

/** `0 ≤ expr < size` and `expr` a multiple of `step`; elsewhere the value read is 0. */
export interface Condition {
  readonly expr: IntExpr;
  readonly size: number;
  readonly step: number;
}

interface Access {
  readonly index: readonly IntExpr[];
  readonly conditions: readonly Condition[];
}

/** The position in the input that position `index` of the result of `op` reads. */
export function moveIndex(op: MovementOp, from: Shape, to: Shape, index: readonly IntExpr[]): Access {
  switch (op.kind) {
    case "reshape":
      return { index: reshapeIndex(from, to, index), conditions: [] };
    case "permute": {
      const moved = new Array<IntExpr>(from.length);
      op.order.forEach((axis, i) => (moved[axis] = index[i]));
      return { index: moved, conditions: [] };
    }
    case "expand":
      return { index: index.map((e, i) => (from[i] === 1 ? int(0) : e)), conditions: [] };
    case "slice":
      return { index: index.map((e, i) => add(scale(e, op.step[i]), int(op.start[i]))), conditions: [] };
    case "pad": {
      const conditions: Condition[] = [];
      const moved = index.map((e, i) => {
        const shifted = sub(e, int(op.low[i]));
        const span = (from[i] - 1) * op.step[i] + 1;
        if (shifted.min < 0 || shifted.max >= span || op.step[i] > 1) {
          conditions.push({ expr: shifted, size: span, step: op.step[i] });
        }
        return div(shifted, op.step[i]);
      });
      return { index: moved, conditions };
    }
    case "window": {
      const place = index[index.length - 1];
      const moved = from.map((_, a) =>
        a === op.axis ? add(scale(index[a], op.stride), scale(place, op.dilation)) : index[a],
      );
      return { index: moved, conditions: [] };
    }
    case "unwindow": {
      const place = index[index.length - 1];
      const shifted = sub(index[op.axis], scale(place, op.dilation));
      const span = (from[op.axis] - 1) * op.stride + 1;
      const moved = index.map((e, a) => (a === op.axis ? div(shifted, op.stride) : e));
      return { index: moved, conditions: [{ expr: shifted, size: span, step: op.stride }] };
    }
  }
}

/** Axes that keep their size at either end keep their index; only the middle goes through the flat index. */
function reshapeIndex(from: Shape, to: Shape, index: readonly IntExpr[]): IntExpr[] {
  let front = 0;
  while (front < from.length && front < to.length && from[front] === to[front]) front++;
  let back = 0;
  while (
    back < from.length - front &&
    back < to.length - front &&
    from[from.length - 1 - back] === to[to.length - 1 - back]
  )
    back++;
  const flat = flatten(index.slice(front, to.length - back), to.slice(front, to.length - back));
  return [
    ...index.slice(0, front),
    ...unflatten(flat, from.slice(front, from.length - back)),
    ...index.slice(to.length - back),
  ];
}

/** Follows movement ops from `node` at `index` to the first node that is none. */
export function resolve(node: Node, index: readonly IntExpr[]): { producer: Node; access: Access } {
  const conditions: Condition[] = [];
  let at = node;
  let position = index;
  while (isMovement(at.op)) {
    const access = moveIndex(at.op, at.inputs[0].shape, at.shape, position);
    conditions.push(...access.conditions);
    position = access.index;
    at = at.inputs[0];
  }
  return { producer: at, access: { index: position, conditions } };
}
