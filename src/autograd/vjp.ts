/**
 * The gradient of every node kind: cotangents of the inputs from the cotangent of the result, as tensor expressions.
 *
 * Since the rules are made of ordinary ops they can be differentiated again. Elementwise rules live in their table,
 * fused ops' with the op.
 */
import * as build from "../tensor/build.ts";
import { arange } from "../tensor/create.ts";
import { isFloat } from "../tensor/dtype.ts";
import { elementwiseRow } from "../tensor/elementwise/table.ts";
import type { Node } from "../tensor/node.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import { scatterAddZeros } from "../tensor/scatter.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Sums a cotangent of a broadcast result back to the operand's shape. */
function sumTo(dy: Tensor, shape: Shape): Tensor {
  const extra = dy.rank - shape.length;
  const axes = dy.shape.flatMap((n, i) => (i < extra || (shape[i - extra] === 1 && n !== 1) ? [i] : []));
  return axes.length === 0 ? dy.reshape(shape) : dy.sum(axes).reshape(shape);
}

/** Cotangents of `node.inputs`, given that of its one result. `undefined`: no gradient flows to that input. */
export function vjp(node: Node, dy: Tensor): (Tensor | undefined)[] {
  const { op, inputs: sources } = node.formula;
  const inputs = sources.map((n) => new Tensor(n));
  switch (op.kind) {
    case "elementwise": {
      const row = elementwiseRow(op.name);
      if (!row.grad) return [];
      const cotangents = row.grad(dy, new Tensor(node), inputs[0], inputs[1], inputs[2]);
      return cotangents.map((c, i) => (c ? sumTo(c, inputs[i].shape) : undefined));
    }
    case "cast":
      return isFloat(inputs[0].dtype) && isFloat(node.dtype) ? [dy.cast(inputs[0].dtype)] : [];
    case "reduce":
      return [reduceVjp(op.name, op.axes, inputs[0], new Tensor(node), dy)];
    case "reshape":
      return [dy.reshape(inputs[0].shape)];
    case "permute": {
      const inverse = op.order.map((_, i) => op.order.indexOf(i));
      return [dy.permute(inverse)];
    }
    case "expand":
      return [sumTo(dy, inputs[0].shape)];
    case "slice":
      return [new Tensor(build.pad(...sliceAdjoint(dy, op.start, op.step, inputs[0].shape)))];
    case "pad": {
      const { low, step } = op;
      return [new Tensor(build.slice(dy.node, low, inputs[0].shape, step))];
    }
    case "window":
      return [new Tensor(build.unwindow(dy.node, op.axis, inputs[0].shape[op.axis], op.stride, op.dilation)).sum(-1)];
    case "unwindow": {
      // (s, k) read (t, k) with t·stride + k·dilation = s: the window of each k along s, at its own k.
      const [t, size] = [inputs[0].shape[op.axis], dy.shape[dy.rank - 1]];
      const columns = Array.from({ length: size }, (_, k) => {
        const start = dy.shape.map((_, i) => (i === op.axis ? k * op.dilation : i === dy.rank - 1 ? k : 0));
        const count = dy.shape.map((n, i) => (i === op.axis ? t : i === dy.rank - 1 ? 1 : n));
        const step = dy.shape.map((_, i) => (i === op.axis ? op.stride : 1));
        return build.slice(dy.node, start, count, step);
      });
      return [new Tensor(build.concat(columns, dy.rank - 1))];
    }
    case "matmul": {
      const [a, b] = inputs;
      // The gradient of a transposed operand is computed in the layout of what was transposed (a weight, often), so
      // that the transpositions cancel.
      const da = isTransposed(sources[0]) ? b.matmul(dy.transpose()).transpose() : dy.matmul(b.transpose());
      const db = isTransposed(sources[1]) ? dy.transpose().matmul(a).transpose() : a.transpose().matmul(dy);
      return [da, db];
    }
    case "gather":
      return [scatterAddZeros(inputs[0].shape, op.axis, inputs[1], dy), undefined];
    case "concat": {
      let at = 0;
      return inputs.map((part) => {
        const start = at;
        at += part.shape[op.axis];
        return dy.slice(...part.shape.map((_, i) => (i === op.axis ? ([start, at] as const) : null)));
      });
    }
    case "alias":
    case "inBounds":
    case "contiguous":
      return [dy];
    case "data":
    case "storage":
    case "variable":
    case "full":
    case "iota":
    case "bits":
    case "detach":
      return [];
    case "fused":
    case "pick":
      throw new Error("internal: fused ops are differentiated as a whole");
  }
}

/** Whether a matrix operand is another tensor with its last two axes exchanged, possibly repeated over a batch. */
function isTransposed(node: Node): boolean {
  const at = node.op.kind === "expand" ? node.inputs[0] : node;
  if (at.op.kind !== "permute") return false;
  const { order } = at.op;
  const last = order.length - 1;
  return order[last] === last - 1 && order[last - 1] === last && order.slice(0, -2).every((a, i) => a === i);
}

/** Arguments of the pad that undoes a slice; a negative step is a flip first. */
function sliceAdjoint(
  dy: Tensor,
  start: readonly number[],
  step: readonly number[],
  shape: Shape,
): [Node, number[], Shape, number[]] {
  const flipped = step.flatMap((s, i) => (s < 0 ? [i] : []));
  const low = start.map((s, i) => (step[i] < 0 ? s + (dy.shape[i] - 1) * step[i] : s));
  return [(flipped.length ? dy.flip(flipped) : dy).node, low, shape, step.map(Math.abs)];
}

function reduceVjp(name: string, axes: readonly number[], x: Tensor, y: Tensor, dy: Tensor): Tensor {
  const kept = x.shape.map((n, i) => (axes.includes(i) ? 1 : n));
  const spread = (t: Tensor) => t.reshape(kept).expand(x.shape);
  switch (name) {
    case "sum":
      return spread(dy);
    case "prod":
      return spread(dy).mul(productOfOthers(x, axes));
    default: {
      const ties = x.eq(spread(y)).cast(x.dtype);
      return ties.mul(spread(dy.div(ties.sum(axes))));
    }
  }
}

/** For every element the product of the others along `axes`, exact also where elements are 0. */
function productOfOthers(x: Tensor, axes: readonly number[]): Tensor {
  const others = x.shape.flatMap((_, i) => (axes.includes(i) ? [] : [i]));
  const order = [...others, ...axes];
  const moved = x.permute(order);
  const count = sizeOf(axes.map((a) => x.shape[a]));
  const rows = moved.reshape([-1, 1, count]).expand([x.size / count, count, count]);
  const diagonal = arange(count).unsqueeze(0).eq(arange(count).unsqueeze(1));
  const product = diagonal.where(1, rows).prod(-1).reshape(moved.shape);
  return product.permute(order.map((_, i) => order.indexOf(i)));
}
