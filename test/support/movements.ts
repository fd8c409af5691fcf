/** Random movement ops for a given shape. Shared by the tests of views and the random graphs. */
import * as build from "../../src/tensor/build.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import type { Range } from "../../src/tensor/methods/arguments.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { Draw } from "./draw.ts";

export const MOVEMENTS = [
  "reshape",
  "permute",
  "transpose",
  "expand",
  "slice",
  "index",
  "flip",
  "pad",
  "spread",
  "window",
  "unwindow",
  "squeeze",
  "flatten",
] as const;
export type MovementKind = (typeof MOVEMENTS)[number];

export interface Movement {
  readonly name: string;
  apply(x: Tensor): Tensor;
}

const NOTHING: Movement = { name: "nothing", apply: (x) => x };

export function drawMovement(draw: Draw, kind: MovementKind, shape: Shape): Movement {
  const rank = shape.length;
  const size = sizeOf(shape);
  switch (kind) {
    case "reshape": {
      const to = draw.shuffled(split(draw, size));
      if (draw.chance(0.3)) to.splice(draw.int(0, to.length), 0, 1);
      const asked = size > 0 && to.length > 0 && draw.chance(0.3) ? to.map((n, i) => (i === 0 ? -1 : n)) : to;
      return { name: `reshape ${asked.join("×")}`, apply: (x) => x.reshape(asked) };
    }
    case "permute": {
      const order = draw.shuffled(shape.map((_, i) => i));
      return { name: `permute ${order.join()}`, apply: (x) => x.permute(order) };
    }
    case "transpose": {
      if (rank < 2) return NOTHING;
      const [a, b] = [draw.int(-rank, rank - 1), draw.int(-rank, rank - 1)];
      return { name: `transpose ${a} ${b}`, apply: (x) => x.transpose(a, b) };
    }
    case "expand": {
      const to = [
        ...Array.from({ length: draw.int(0, 1) }, () => draw.int(1, 3)),
        ...shape.map((n) => (n === 1 ? draw.int(1, 4) : n)),
      ];
      return { name: `expand ${to.join("×")}`, apply: (x) => x.expand(to) };
    }
    case "slice": {
      const ranges = shape.map((n): Range => {
        if (draw.chance(0.3)) return null;
        const [from, to] = [draw.int(-n - 1, n + 1), draw.int(-n - 1, n + 1)];
        const bounds = [draw.chance(0.3) ? null : from, draw.chance(0.3) ? null : to] as const;
        return draw.chance(0.4) ? bounds : [...bounds, draw.pick([1, 2, 3, -1, -2, -3])];
      });
      return { name: `slice ${JSON.stringify(ranges)}`, apply: (x) => x.slice(...ranges) };
    }
    case "index": {
      const axis = draw.int(0, Math.max(0, rank - 1));
      if (rank === 0 || shape[axis] === 0) return NOTHING;
      const at = draw.int(-shape[axis], shape[axis] - 1);
      return {
        name: `index ${at} of axis ${axis}`,
        apply: (x) => x.slice(...shape.map((_, i): Range => (i === axis ? at : null))),
      };
    }
    case "flip": {
      const axes = rank === 0 ? [] : draw.subset(shape.map((_, i) => i));
      return { name: `flip ${axes.join()}`, apply: (x) => x.flip(axes) };
    }
    case "pad": {
      const widths = shape.map(() => [draw.int(0, 2), draw.int(0, 2)] as const);
      return { name: `pad ${JSON.stringify(widths)}`, apply: (x) => x.pad(widths) };
    }
    case "spread": {
      // Zeros between elements: the adjoint of a slice with a step.
      const step = shape.map(() => draw.int(1, 3));
      const low = shape.map(() => draw.int(0, 2));
      const to = shape.map((n, i) => low[i] + Math.max(0, n - 1) * step[i] + 1 + draw.int(0, 2));
      return {
        name: `spread from ${low.join()} by ${step.join()} in ${to.join("×")}`,
        apply: (x) => new Tensor(build.pad(x.node, low, to, step)),
      };
    }
    case "window": {
      const axis = draw.int(0, Math.max(0, rank - 1));
      if (rank === 0 || shape[axis] === 0) return NOTHING;
      const [length, dilation] = [draw.int(1, Math.min(4, shape[axis])), draw.int(1, 2)];
      if ((length - 1) * dilation + 1 > shape[axis]) return NOTHING;
      const stride = draw.int(1, 3);
      return {
        name: `window ${length} stride ${stride} dilation ${dilation} of axis ${axis}`,
        apply: (x) => x.window(axis, length, stride, dilation),
      };
    }
    case "unwindow": {
      const axis = draw.int(0, Math.max(0, rank - 2));
      if (rank < 2 || size === 0) return NOTHING;
      const [stride, dilation] = [draw.int(1, 3), draw.int(1, 2)];
      const length = (shape[axis] - 1) * stride + (shape[rank - 1] - 1) * dilation + 1 + draw.int(0, 2);
      return {
        name: `unwindow to ${length} stride ${stride} dilation ${dilation} of axis ${axis}`,
        apply: (x) => new Tensor(build.unwindow(x.node, axis, length, stride, dilation)),
      };
    }
    case "squeeze": {
      if (draw.chance(0.5)) {
        const axis = draw.int(-rank - 1, rank);
        return { name: `unsqueeze ${axis}`, apply: (x) => x.unsqueeze(axis) };
      }
      return { name: "squeeze", apply: (x) => x.squeeze() };
    }
    case "flatten": {
      const from = rank === 0 ? 0 : draw.int(0, rank - 1);
      return { name: `flatten from ${from}`, apply: (x) => x.flatten(from) };
    }
  }
}

/** Factors whose product is `size`. */
function split(draw: Draw, size: number): number[] {
  if (size === 0) return [0, draw.int(1, 3)];
  const factors: number[] = [];
  let rest = size;
  for (let d = 2; rest > 1; ) {
    if (rest % d === 0) {
      rest /= d;
      if (factors.length > 0 && draw.chance(0.5)) factors[draw.int(0, factors.length - 1)] *= d;
      else factors.push(d);
    } else d++;
  }
  return factors;
}
