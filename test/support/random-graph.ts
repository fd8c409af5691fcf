/**
 * Random graphs: programs of 3–40 steps over views, elementwise work, reductions, products, indexing, fused ops and
 * variables, as a list that can be printed, run on any device, and made smaller while it still fails.
 *
 * A program is drawn with its values at hand: each step is evaluated as it is added, and steps that would amplify
 * rounding (a comparison of nearly equal numbers, a logarithm near 0, values that grow without bound) are left out or
 * squashed. What a device may differ by is found by evaluating the graph once more with every value off by a little.
 */
import { gradients } from "../../src/autograd/grad.ts";
import { decompose } from "../../src/compiler/decompose.ts";
import { evaluate } from "../../src/device/reference/evaluate.ts";
import {
  crossEntropy,
  gruScan,
  infoNCE,
  l2Normalize,
  layerNorm,
  logSoftmax,
  logSumExp,
  packedAttention,
  softmax,
  topK,
} from "../../src/ops/index.ts";
import * as build from "../../src/tensor/build.ts";
import type { DType, HostArray } from "../../src/tensor/dtype.ts";
import { isFloat } from "../../src/tensor/dtype.ts";
import type { Node } from "../../src/tensor/node.ts";
import { topologicalOrder } from "../../src/tensor/node.ts";
import { sameShape, sizeOf } from "../../src/tensor/shape.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import { Generator, Tensor, Variable, concat, stack } from "../../src/tensor/index.ts";
import { Draw } from "./draw.ts";
import type { LeafData } from "./draw.ts";
import { drawMovement, MOVEMENTS } from "./movements.ts";
import { LAYER_RULES } from "./random-layers.ts";

export interface Step {
  readonly name: string;
  readonly inputs: readonly number[];
  /** The step's value from those of its inputs; absent for leaves. */
  readonly make?: (...inputs: Tensor[]) => Tensor;
  readonly leaf?: LeafData;
  /** A leaf that is a variable, and may be assigned. */
  readonly variable?: boolean;
}

export interface Program {
  readonly seed: number;
  readonly steps: readonly Step[];
  readonly outputs: readonly number[];
  /** Leaves the gradient of a weighted sum of all floating outputs is taken of. */
  readonly gradients: readonly number[];
  /** Whether derivatives go on: tangents of the outputs along drawn ones of those leaves, and gradients of the gradients. */
  readonly second: boolean;
  readonly assignments: readonly { readonly variable: number; readonly value: number }[];
}

/** What is known of a step's value while a program is drawn. */
interface Known {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly exact: HostArray;
  /** The same with every value on the way off by a little. */
  readonly noisy: HostArray;
}

const NOISE = 3e-6;
const MOST_ELEMENTS = 420;
/** Floats nearer than this to where an op is discontinuous are kept from it. */
const MARGIN = 2e-3;

function leafTensor(data: HostArray, shape: Shape, dtype: DType): Tensor {
  return new Tensor(build.makeNode({ kind: "data", data }, [], shape, dtype));
}

/** Values of nodes whose leaves are host data, in float64, with relative noise of NOISE after every op where asked for. */
export function evaluateGraph(roots: readonly Node[], noise?: Draw): HostArray[] {
  const plain = decompose(roots, () => false);
  const values = new Map<Node, HostArray>();
  for (const node of topologicalOrder(plain)) {
    const { op } = node;
    if (op.kind === "data") {
      values.set(node, isFloat(node.dtype) ? Float64Array.from(op.data) : op.data);
      continue;
    }
    const value = evaluate(
      node,
      node.inputs.map((n) => values.get(n)!),
    );
    if (noise && isFloat(node.dtype) && isRounded(node)) {
      for (let i = 0; i < value.length; i++) value[i] *= 1 + NOISE * (2 * noise.unit() - 1);
    }
    values.set(node, value);
  }
  return plain.map((n) => values.get(n)!);
}

/** Ops that hand on one of their operands as it is are exact everywhere: what equals their result must go on doing so. */
const EXACT = new Set(["neg", "abs", "sign", "maximum", "minimum", "relu", "floor", "ceil", "trunc", "round", "where"]);

function isRounded({ op }: Node): boolean {
  if (op.kind === "elementwise") return !EXACT.has(op.name);
  return op.kind === "matmul" || (op.kind === "reduce" && (op.name === "sum" || op.name === "prod"));
}

// --- drawing

class Drawer {
  readonly steps: Step[] = [];
  readonly known: Known[] = [];
  readonly used = new Set<number>();

  constructor(readonly draw: Draw) {}

  leaf(
    shape: Shape,
    dtype: DType = "f32",
    variable = false,
    domain: readonly [number, number] = [-2, 2],
    most = 9,
  ): number {
    const leaf = this.draw.data(shape, { dtype, domain, most });
    const exact = isFloat(dtype) ? Float64Array.from(leaf.data) : leaf.data;
    this.steps.push({
      name: `${variable ? "variable" : "data"} ${dtype}[${shape.join(", ")}]`,
      inputs: [],
      leaf,
      variable,
    });
    this.known.push({ shape, dtype, exact, noisy: exact });
    return this.steps.length - 1;
  }

  /** Adds a step unless its value is unusable; brings large values down. */
  add(name: string, inputs: readonly number[], make: (...inputs: Tensor[]) => Tensor): number | undefined {
    const leaves = (which: "exact" | "noisy") =>
      inputs.map((i) => leafTensor(this.known[i][which], this.known[i].shape, this.known[i].dtype));
    const result = make(...leaves("exact"));
    if (result.size > MOST_ELEMENTS || result.rank > 6) return undefined;
    const [exact] = evaluateGraph([result.node]);
    const [noisy] = evaluateGraph([make(...leaves("noisy")).node], this.draw);
    const { shape, dtype } = result;
    let largest = 0;
    for (const v of exact) largest = Math.max(largest, Math.abs(v));
    if (!(largest < 1e5) && isFloat(dtype)) return undefined;
    this.steps.push({ name, inputs, make });
    this.known.push({ shape, dtype, exact, noisy });
    inputs.forEach((i) => this.used.add(i));
    const at = this.steps.length - 1;
    if (!isFloat(dtype) || largest <= 6) return at;
    return this.draw.chance(0.5)
      ? this.add("tanh, to stay small", [at], (x) => x.tanh())
      : this.add("scaled, to stay small", [at], (x) => x.mul(2 ** -Math.ceil(Math.log2(largest / 2))));
  }

  /** A random earlier value for which the condition holds, later ones more often. */
  pick(condition: (k: Known) => boolean): number | undefined {
    const fitting = this.known.flatMap((k, i) => (condition(k) ? [i] : []));
    if (fitting.length === 0) return undefined;
    const late = Math.max(this.draw.unit(), this.draw.unit());
    return fitting[Math.floor(late * fitting.length)];
  }
  float(condition: (k: Known) => boolean = () => true): number | undefined {
    return this.pick((k) => k.dtype === "f32" && k.exact.length > 0 && condition(k));
  }
  /** A value of that shape: an earlier one, or a fresh leaf. */
  of(shape: Shape, dtype: DType = "f32"): number {
    const found = this.draw.chance(0.75) ? this.pick((k) => k.dtype === dtype && sameShape(k.shape, shape)) : undefined;
    return found ?? this.leaf(shape, dtype);
  }
  /** An operand that broadcasts with the shape. */
  partner(shape: Shape, dtype: DType): number {
    const found = this.draw.chance(0.6)
      ? this.pick(
          (k) =>
            k.dtype === dtype &&
            k.shape.length <= shape.length &&
            k.shape.every((n, i) => n === shape[shape.length - k.shape.length + i] || n === 1),
        )
      : undefined;
    return found ?? this.leaf(this.draw.broadcastable(shape), dtype);
  }
}

/** Every value away from where `distance` is 0, or exactly there and surely so. */
function clear(k: Known, distance: (v: number) => number = Math.abs): boolean {
  for (let i = 0; i < k.exact.length; i++) {
    const d = distance(k.exact[i]);
    if (d > MARGIN) continue;
    if (d !== 0 || k.exact[i] !== k.noisy[i]) return false;
  }
  return true;
}
const bounded = (most: number) => (k: Known) => {
  for (const v of k.exact) if (Math.abs(v) > most) return false;
  return true;
};
const fromWhole = (v: number) => Math.min(Math.abs(v - Math.round(v)), Math.abs(Math.abs(v % 1) - 0.5));

/** Whether the two, broadcast, differ clearly everywhere. */
function apart(a: Known, b: Known): boolean {
  const difference = (which: "exact" | "noisy") =>
    evaluateGraph([leafTensor(a[which], a.shape, a.dtype).sub(leafTensor(b[which], b.shape, b.dtype)).node])[0];
  const [exact, noisy] = [difference("exact"), difference("noisy")];
  return exact.every((v, i) => Math.abs(v) > MARGIN || (v === 0 && noisy[i] === 0));
}

/** Whether every row along the axis has its extremes clear of the rest (equal ones only where surely equal). */
function distinct(k: Known, axes: readonly number[]): boolean {
  const x = (which: "exact" | "noisy") => leafTensor(k[which], k.shape, k.dtype);
  const gaps = (which: "exact" | "noisy") =>
    evaluateGraph([x(which).sub(x(which).max(axes, true)).node, x(which).sub(x(which).min(axes, true)).node]);
  const [exact, noisy] = [gaps("exact"), gaps("noisy")];
  return exact.every((values, j) => values.every((v, i) => Math.abs(v) > MARGIN || (v === 0 && noisy[j][i] === 0)));
}

type Rule = (d: Drawer) => number | undefined | void;

const SMOOTH = ["neg", "tanh", "sigmoid", "silu", "gelu", "softplus", "erf", "sin", "cos", "atan", "square"] as const;
const KINKED = ["relu", "abs", "elu"] as const;
const ROUNDED = ["floor", "ceil", "round", "trunc"] as const;
const BINARY = ["add", "sub", "mul"] as const;
const COMPARE = ["lt", "le", "gt", "ge", "eq", "ne"] as const;
const INTEGER = ["add", "sub", "mul", "mod", "floorDiv", "maximum", "minimum", "bitAnd", "bitOr", "bitXor"] as const;

/** The steps a program is made of, with their weights. */
const RULES: readonly (readonly [weight: number, name: string, rule: Rule])[] = [
  [
    14,
    "unary",
    (d) => {
      const x = d.float();
      const name = d.draw.pick(SMOOTH);
      if (x !== undefined) return d.add(name, [x], (t) => t[name]());
    },
  ],
  [
    3,
    "exp",
    (d) => {
      const x = d.float(bounded(4));
      const name = d.draw.pick(["exp", "expm1"] as const);
      if (x !== undefined) return d.add(name, [x], (t) => t[name]());
    },
  ],
  [
    4,
    "positive",
    (d) => {
      const x = d.float();
      const name = d.draw.pick(["sqrt", "rsqrt", "log", "log1p", "reciprocal"] as const);
      if (x !== undefined) return d.add(`square + 0.4, ${name}`, [x], (t) => t.square().add(0.4)[name]());
    },
  ],
  [
    4,
    "kinked",
    (d) => {
      const x = d.float((k) => clear(k));
      const name = d.draw.pick(KINKED);
      if (x !== undefined) return d.add(name, [x], (t) => t[name]());
    },
  ],
  [
    2,
    "rounded",
    (d) => {
      const x = d.float((k) => clear(k, fromWhole));
      const name = d.draw.pick(ROUNDED);
      if (x !== undefined) return d.add(name, [x], (t) => t[name]());
    },
  ],
  [
    16,
    "binary",
    (d) => {
      const x = d.float();
      if (x === undefined) return;
      const y = d.partner(d.known[x].shape, "f32");
      const name = d.draw.pick(BINARY);
      return d.draw.chance(0.5) ? d.add(name, [x, y], (a, b) => a[name](b)) : d.add(name, [y, x], (a, b) => a[name](b));
    },
  ],
  [
    4,
    "number",
    (d) => {
      const x = d.float();
      const [name, by] = [d.draw.pick(BINARY), d.draw.pick([0, 1, -1, 0.5, 2, -0.75])];
      if (x !== undefined) return d.add(`${name} ${by}`, [x], (a) => a[name](by));
    },
  ],
  [
    3,
    "div and pow",
    (d) => {
      const x = d.float();
      if (x === undefined) return;
      const y = d.partner(d.known[x].shape, "f32");
      return d.draw.chance(0.6)
        ? d.add("div by square + 0.5", [x, y], (a, b) => a.div(b.square().add(0.5)))
        : d.add("square + 0.5 to the power of tanh", [x, y], (a, b) => a.square().add(0.5).pow(b.tanh()));
    },
  ],
  [
    3,
    "extreme of two",
    (d) => {
      const x = d.float();
      if (x === undefined) return;
      const y = d.partner(d.known[x].shape, "f32");
      const name = d.draw.pick(["maximum", "minimum"] as const);
      if (apart(d.known[x], d.known[y])) return d.add(name, [x, y], (a, b) => a[name](b));
    },
  ],
  [
    5,
    "select",
    (d) => {
      const x = d.float();
      if (x === undefined) return;
      const y = d.partner(d.known[x].shape, "f32");
      const name = d.draw.pick(COMPARE);
      if (!apart(d.known[x], d.known[y])) return;
      const c = d.add(name, [x, y], (a, b) => a[name](b));
      if (c === undefined) return;
      const z = d.partner(d.known[c].shape, "f32");
      return d.draw.chance(0.5)
        ? d.add("where", [c, x, z], (p, a, b) => p.where(a, b))
        : d.add("mask", [c, z], (p, a) => a.expand(p.shape).mask(p));
    },
  ],
  [
    3,
    "bools",
    (d) => {
      const x = d.pick((k) => k.dtype === "bool" && k.exact.length > 0);
      if (x === undefined) return;
      switch (d.draw.int(0, 3)) {
        case 0:
          return d.add("not", [x], (a) => a.not());
        case 1: {
          const y = d.partner(d.known[x].shape, "bool");
          return d.add("or", [x, y], (a, b) => a.or(b));
        }
        case 2: {
          const y = d.partner(d.known[x].shape, "bool");
          return d.add("and", [x, y], (a, b) => a.and(b));
        }
        default:
          return d.add("cast to f32", [x], (a) => a.cast("f32"));
      }
    },
  ],
  [
    3,
    "to integers",
    (d) => {
      const x = d.float((k) => clear(k, (v) => Math.abs(v - Math.round(v))));
      const to = d.draw.pick(["i32", "u32"] as const);
      if (x !== undefined)
        return d.add(`scaled by 4, cast to ${to}`, [x], (a) =>
          to === "u32" ? a.square().mul(4).floor().add(0.25).cast(to) : a.cast(to),
        );
    },
  ],
  [
    4,
    "integers",
    (d) => {
      const x = d.pick((k) => (k.dtype === "i32" || k.dtype === "u32") && k.exact.length > 0);
      if (x === undefined) return;
      const { shape, dtype } = d.known[x];
      if (d.draw.chance(0.3)) return d.add("mod 7, cast to f32", [x], (a) => a.mod(7).cast("f32"));
      const y = d.partner(shape, dtype);
      const name = d.draw.pick(INTEGER);
      return d.add(name, [x, y], (a, b) => a[name](b));
    },
  ],
  [
    18,
    "movement",
    (d) => {
      const x = d.pick((k) => k.exact.length > 0 && k.shape.length > 0);
      if (x === undefined) return;
      const move = drawMovement(d.draw, d.draw.pick(MOVEMENTS), d.known[x].shape);
      if (move.name !== "nothing") return d.add(move.name, [x], (t) => move.apply(t));
    },
  ],
  [
    9,
    "reduction",
    (d) => {
      const x = d.float((k) => k.shape.length > 0);
      if (x === undefined) return;
      const axes = d.draw.subset(d.known[x].shape.map((_, i) => i));
      const keep = d.draw.chance(0.5);
      const name = d.draw.pick(["sum", "mean", "variance", "sum", "mean", "max", "min", "prod"] as const);
      if ((name === "max" || name === "min") && !distinct(d.known[x], axes)) return;
      if (name === "prod" && sizeOf(axes.map((a) => d.known[x].shape[a])) > 6) return;
      return d.add(`${name} over ${axes.join()}${keep ? ", kept" : ""}`, [x], (t) => t[name](axes, keep));
    },
  ],
  [
    2,
    "standardise",
    (d) => {
      const x = d.float((k) => k.shape.length > 0);
      if (x === undefined) return;
      const axes = d.draw.subset(d.known[x].shape.map((_, i) => i));
      return d.add(`standardise over ${axes.join()}`, [x], (t) => {
        const centred = t.sub(t.mean(axes, true));
        return centred.mul(centred.square().mean(axes, true).add(0.3).rsqrt());
      });
    },
  ],
  [
    2,
    "integer reduction",
    (d) => {
      const x = d.pick(
        (k) =>
          (k.dtype === "i32" || k.dtype === "u32" || k.dtype === "bool") && k.exact.length > 0 && k.shape.length > 0,
      );
      if (x === undefined) return;
      const axes = d.draw.subset(d.known[x].shape.map((_, i) => i));
      if (d.known[x].dtype === "bool") {
        const name = d.draw.pick(["any", "all"] as const);
        return d.add(`${name} over ${axes.join()}`, [x], (t) => t[name](axes));
      }
      const name = d.draw.pick(["sum", "max", "min"] as const);
      return d.add(`${name} over ${axes.join()}`, [x], (t) => t[name](axes));
    },
  ],
  [
    2,
    "argmax",
    (d) => {
      const x = d.float((k) => k.shape.length > 0);
      if (x === undefined) return;
      const axis = d.draw.int(0, d.known[x].shape.length - 1);
      const name = d.draw.pick(["argmax", "argmin"] as const);
      if (distinct(d.known[x], [axis])) return d.add(`${name} over ${axis}`, [x], (t) => t[name](axis));
    },
  ],
  [
    4,
    "joining",
    (d) => {
      const x = d.pick((k) => k.exact.length > 0 && k.shape.length > 0);
      if (x === undefined) return;
      const { shape, dtype } = d.known[x];
      const axis = d.draw.int(0, shape.length - 1);
      if (d.draw.chance(0.3)) {
        const y = d.of(shape, dtype);
        return d.add(`stack along ${axis}`, [x, y, x].slice(0, d.draw.int(2, 3)), (...t) => stack(t, axis));
      }
      const others = Array.from({ length: d.draw.int(1, 3) }, () =>
        d.of(
          shape.map((n, i) => (i === axis && d.draw.chance(0.5) ? d.draw.int(1, 3) : n)),
          dtype,
        ),
      );
      return d.add(`concat along ${axis}`, d.draw.shuffled([x, ...others]), (...t) => concat(t, axis));
    },
  ],
  [
    4,
    "indexing",
    (d) => {
      const x = d.pick((k) => k.exact.length > 0 && k.shape.length > 0 && k.dtype !== "bool");
      if (x === undefined) return;
      const { shape, dtype } = d.known[x];
      const axis = d.draw.int(0, shape.length - 1);
      const count = d.draw.int(1, 5);
      const indexShape = shape.map((n, i) => (i === axis ? count : n));
      switch (d.draw.int(0, 2)) {
        case 0: {
          const index = d.add("index within", [d.leaf([count], "i32")], (t) => t.mod(shape[axis]));
          if (index === undefined) return;
          return d.add(`take along ${axis}`, [x, index], (t, i) => t.take(i, axis));
        }
        case 1: {
          if (sizeOf(indexShape) > MOST_ELEMENTS) return;
          const index = d.add("index within", [d.leaf(indexShape, "i32")], (t) => t.mod(shape[axis]));
          if (index === undefined) return;
          return d.add(`gather along ${axis}`, [x, index], (t, i) => t.gather(axis, i));
        }
        default: {
          if (sizeOf(indexShape) * shape[axis] > 3000) return;
          const index = d.add("index within", [d.leaf(indexShape, "i32")], (t) => t.mod(shape[axis]));
          if (index === undefined) return;
          const source = d.of(indexShape, dtype);
          return d.add(`scatterAdd along ${axis}`, [x, index, source], (t, i, s) => t.scatterAdd(axis, i, s));
        }
      }
    },
  ],
  [
    9,
    "product",
    (d) => {
      const x = d.float((k) => k.shape.length >= 2);
      if (x === undefined) return;
      const { shape } = d.known[x];
      const [m, k] = shape.slice(-2);
      switch (d.draw.int(0, 4)) {
        case 0:
          return d.add("product with its transpose", [x], (a) => a.matmul(a.transpose()));
        case 1: {
          const y = d.of(shape);
          return d.add("product with a transposed", [x, y], (a, b) => a.matmul(b.transpose()));
        }
        case 2: {
          const y = d.of([d.draw.int(1, 8), m]);
          return d.add("product from the left", [x, y], (a, b) => b.matmul(a));
        }
        case 3: {
          const [w, b] = [d.of([d.draw.int(1, 17), k]), d.leaf([1])];
          return d.add("layer", [x, w, b], (a, v, c) => a.matmul(v.transpose()).add(c).tanh());
        }
        default: {
          const y = d.of([k, d.draw.int(1, 17)]);
          return d.add("product", [x, y], (a, b) => a.matmul(b));
        }
      }
    },
  ],
  [
    5,
    "over an axis",
    (d) => {
      const x = d.float((k) => k.shape.length > 0);
      if (x === undefined) return;
      const axis = d.draw.int(0, d.known[x].shape.length - 1);
      switch (d.draw.int(0, 4)) {
        case 0:
          return d.add(`softmax over ${axis}`, [x], (t) => softmax(t, axis));
        case 1:
          return d.add(`logSoftmax over ${axis}`, [x], (t) => logSoftmax(t, axis));
        case 2:
          return d.add(`logSumExp over ${axis}`, [x], (t) => logSumExp(t, axis));
        case 3:
          return d.add(`l2Normalize of square + 0.1 over ${axis}`, [x], (t) => l2Normalize(t.square().add(0.1), axis));
        default:
          return d.add("layerNorm", [x], (t) => layerNorm(t, { epsilon: 0.3 }));
      }
    },
  ],
  [
    1,
    "crossEntropy",
    (d) => {
      const x = d.float((k) => k.shape.length > 0);
      if (x === undefined) return;
      const { shape } = d.known[x];
      const labels = d.add("labels", [d.leaf(shape.slice(0, -1), "i32")], (t) => t.mod(shape[shape.length - 1]));
      if (labels !== undefined)
        return d.add("crossEntropy", [x, labels], (t, l) =>
          crossEntropy(t, l, { labelSmoothing: 0.1, reduction: "none" }),
        );
    },
  ],
  [
    1,
    "topK",
    (d) => {
      const x = d.float((k) => k.shape.length > 0 && k.shape[k.shape.length - 1] <= 9);
      if (x === undefined) return;
      const { exact, shape } = d.known[x];
      const sorted = Float64Array.from(exact).sort();
      if (sorted.some((v, i) => i > 0 && v - sorted[i - 1] < MARGIN)) return;
      const k = d.draw.int(1, Math.min(3, shape[shape.length - 1]));
      return d.add(`topK ${k}`, [x], (t) => {
        const { values, indices } = topK(t, k);
        return values.add(indices.cast("f32").mul(0.25));
      });
    },
  ],
  [
    0.5,
    "infoNCE",
    (d) => {
      const x = d.float((k) => k.shape.length === 2 && k.shape[0] <= 12 && bounded(3)(k));
      if (x === undefined) return;
      const [n, c] = d.known[x].shape;
      const [k, queue] = [d.of([n, c]), d.leaf([c, d.draw.int(1, 20)])];
      return d.add("infoNCE", [x, k, queue], (q, p, w) =>
        infoNCE(q.tanh(), p.tanh(), w, { temperature: 0.5, reduction: "none" }),
      );
    },
  ],
  [
    0.25,
    "attention",
    (d) => {
      const x = d.float((k) => k.shape.length === 2 && bounded(3)(k));
      if (x === undefined) return;
      const [steps, width] = d.known[x].shape;
      const w = d.leaf([width, 6], "f32", false, [-0.5, 0.5]);
      if (steps <= 9)
        return d.add("attention of two heads", [x, w], (t, v) =>
          packedAttention(t.matmul(v).tanh().reshape([1, steps, 6]), 2),
        );
    },
  ],
  [
    0.25,
    "gruScan",
    (d) => {
      const x = d.float((k) => k.exact.length <= 24 && bounded(3)(k));
      if (x === undefined) return;
      const size = sizeOf(d.known[x].shape);
      const [gates, weight] = [d.leaf([2, size, 1, 3]), d.leaf([1, 3, 1])];
      return d.add("gruScan from its values", [x, gates, weight], (t, g, w) => {
        const { y, hn } = gruScan({ gates: g, weight: w, h0: t.tanh().reshape([1, size, 1]) });
        return y.sum(0).add(hn.reshape([size, 1]));
      });
    },
  ],
  [
    2,
    "random",
    (d) => {
      const [shape, seed, call] = [d.draw.shape({ elements: 60 }), d.draw.int(0, 1e6), d.draw.int(0, 100)];
      const kind = d.draw.int(0, 2);
      // The call's number is the only input: it makes the draw part of the graph, not a leaf.
      return d.add(`random ${kind} [${shape.join()}]`, [d.leaf([1])], (t) => {
        const g = new Generator(seed, call);
        const values = kind === 0 ? g.uniform(shape) : kind === 1 ? g.normal(shape) : g.dropoutMask(shape, 0.4);
        return values.mul(t);
      });
    },
  ],
  [
    1,
    "barrier",
    (d) => {
      const x = d.float();
      if (x === undefined) return;
      return d.draw.chance(0.5)
        ? d.add("contiguous", [x], (t) => t.contiguous())
        : d.add("detach", [x], (t) => t.detach());
    },
  ],
];

const ALL_RULES: readonly (readonly [weight: number, name: string, rule: Rule])[] = [...RULES, ...LAYER_RULES];
const TOTAL = ALL_RULES.reduce((sum, [weight]) => sum + weight, 0);

function drawRule(draw: Draw): Rule {
  let at = draw.unit() * TOTAL;
  for (const [weight, , rule] of ALL_RULES) if ((at -= weight) < 0) return rule;
  return ALL_RULES[0][2];
}

/** The program of a seed; with `second` it has gradients, tangents and second derivatives wherever it can. */
export function drawProgram(seed: number, second = false): Program {
  const draw = new Draw(seed);
  const d = new Drawer(draw);
  const elements = draw.pick([12, 40, 40, 100, 300]);
  for (let i = draw.int(1, 3); i > 0; i--) d.leaf(draw.shape({ minRank: draw.int(0, 2), elements }));
  const variables = Array.from({ length: draw.pick([0, 0, 1, 2]) }, () =>
    d.leaf(draw.shape({ minRank: 1, elements }), "f32", true),
  );
  if (draw.chance(0.3)) d.leaf(draw.shape({ elements }), draw.pick(["i32", "u32", "bool"]));
  const wanted = draw.int(3, 36);
  for (let tries = 0; d.steps.length < wanted && tries < 150; tries++) drawRule(draw)(d);

  const assignments = variables.map((variable) => {
    const { shape } = d.known[variable];
    const fitting = d.pick((k) => k.dtype === "f32" && sameShape(k.shape, shape) && k !== d.known[variable]);
    if (fitting !== undefined && draw.chance(0.6)) return { variable, value: fitting };
    const source = d.float()!;
    const mean = (t: Tensor): Tensor => t.mean();
    const value = draw.chance(0.5)
      ? d.add("half of the variable and a mean", [variable, source], (v, t) => v.mul(0.5).add(mean(t)))
      : d.add("the variable flipped, and a mean", [variable, source], (v, t) => v.flip(0).sub(mean(t)));
    return { variable, value: value! };
  });
  const loose = d.steps.flatMap((s, i) => (s.make && !d.used.has(i) && d.known[i].exact.length > 0 ? [i] : []));
  const computed = d.steps.flatMap((s, i) => (s.make ? [i] : []));
  const extra = computed.length > 0 && draw.chance(0.4) ? [draw.pick(computed)] : [];
  const outputs = [...new Set([...draw.shuffled(loose).slice(0, 5), ...extra])];
  const floats = d.steps.flatMap((s, i) =>
    s.leaf && d.known[i].dtype === "f32" && d.known[i].exact.length > 0 ? [i] : [],
  );
  const possible = outputs.some((o) => d.known[o].dtype === "f32");
  const wantGradients = (draw.chance(0.6) || second) && possible;
  return {
    seed,
    steps: d.steps,
    outputs,
    assignments,
    gradients: wantGradients ? draw.shuffled(floats).slice(0, 3) : [],
    second: draw.chance(0.3) || second,
  };
}

// --- running

export interface Built {
  /** What is read, with its name: outputs and gradients. */
  readonly wanted: readonly { readonly name: string; readonly tensor: Tensor }[];
  readonly variables: readonly { readonly name: string; readonly step: number; readonly variable: Variable }[];
  readonly values: readonly Tensor[];
}

/** The program's graph. With `live` variables are variables and assignments are made; else all leaves are data. */
export function buildProgram(program: Program, live: boolean, inputs?: ReadonlyMap<number, Tensor>): Built {
  const variables: { name: string; step: number; variable: Variable }[] = [];
  const values: Tensor[] = [];
  program.steps.forEach((step, i) => {
    if (!step.leaf) {
      values.push(step.make!(...step.inputs.map((k) => values[k])));
      return;
    }
    const { data, shape, dtype } = step.leaf;
    let leaf = inputs?.get(i) ?? leafTensor(data, shape, dtype);
    if (live && step.variable) {
      const variable = new Variable(leaf, { name: `step${i}` });
      variables.push({ name: `variable of step ${i}`, step: i, variable });
      leaf = variable;
    }
    // The leaf's node now: a variable's changes when it is assigned.
    values.push(new Tensor(leaf.node));
  });
  const wanted = program.outputs.map((i) => ({ name: `step ${i} (${program.steps[i].name})`, tensor: values[i] }));
  const floats = wanted.filter((w) => w.tensor.dtype === "f32").map((w) => w.tensor);
  if (program.gradients.length > 0 && floats.length > 0) {
    const draw = new Draw(program.seed ^ 0x5bd1e995);
    const drawLike = (t: Tensor): Tensor => leafTensor(draw.data(t.shape, { domain: [-1, 1] }).data, t.shape, "f32");
    const weights = floats.map(drawLike);
    const leaves = program.gradients.map((i) => values[i]);
    const found = gradients(floats, weights, leaves);
    found.forEach((tensor, k) => wanted.push({ name: `gradient of step ${program.gradients[k]}`, tensor }));
    if (program.second) {
      // The gradients are Jᵀ·weights: what is linear in the weights gives J·v, as `jvp` does it, and the rest H·v.
      const derived = gradients(found, leaves.map(drawLike), [...weights, ...leaves]);
      derived.forEach((tensor, k) => {
        const leaf = k - weights.length;
        const name = leaf < 0 ? `tangent of float output ${k}` : `second derivative of step ${program.gradients[leaf]}`;
        wanted.push({ name, tensor });
      });
    }
  }
  if (live) {
    for (const { variable, value } of program.assignments) {
      variables.find((v) => v.step === variable)!.variable.assign(values[value]);
    }
  }
  return { wanted, variables, values };
}

export interface Expected {
  readonly name: string;
  readonly values: HostArray;
  /** Largest difference that rounding may make. */
  readonly tolerance: number;
  /** The tolerance says little: rounding alone may change the value a lot. */
  readonly loose: boolean;
}

/** What outputs, gradients and assigned variables come to, and how far a float32 device may be off. */
export function expectedOf(program: Program): Expected[] {
  const { wanted, values } = buildProgram(program, false);
  const list = [
    ...wanted.map((w) => ({ name: w.name, node: w.tensor.node })),
    ...program.assignments.map((a) => ({ name: `variable of step ${a.variable}`, node: values[a.value].node })),
  ];
  const nodes = list.map((l) => l.node);
  const exact = evaluateGraph(nodes);
  const noisy = [1, 2].map((k) => evaluateGraph(nodes, new Draw(program.seed + k)));
  return list.map(({ name }, i) => {
    const float = isFloat(nodes[i].dtype);
    let [largest, spread] = [0, 0];
    exact[i].forEach((v, j) => {
      largest = Math.max(largest, Math.abs(v));
      for (const values of noisy)
        spread = Math.max(spread, Number.isNaN(values[i][j]) ? Infinity : Math.abs(values[i][j] - v));
    });
    const tolerance = float ? 2e-6 + 1e-5 * largest + 20 * spread : spread > 0 ? Infinity : 0;
    const loose = float ? !(tolerance <= 1e-2 * largest + 1e-4) || !(largest < 1e12) : tolerance > 0;
    return { name, values: exact[i], tolerance: largest < 1e12 ? tolerance : Infinity, loose };
  });
}

/** Where a device's values are off by more than they may be. */
export function mismatch(expected: Expected, found: HostArray): string | undefined {
  if (found.length !== expected.values.length)
    return `${expected.name}: ${found.length} elements, not ${expected.values.length}`;
  if (expected.tolerance === Infinity) return undefined;
  let [worst, at] = [0, -1];
  for (let i = 0; i < found.length; i++) {
    const error = Math.abs(found[i] - expected.values[i]);
    if (!(error <= expected.tolerance) && !(error <= worst)) [worst, at] = [error, i];
  }
  return at < 0
    ? undefined
    : `${expected.name}: element ${at} of ${found.length} is ${found[at]}, not ${expected.values[at]} (off by ${worst.toExponential(2)}, allowed ${expected.tolerance.toExponential(2)})`;
}

// --- making smaller

/** Without the steps that nothing wanted needs. */
export function withoutUnused(program: Program): Program {
  const needed = new Set<number>();
  const visit = (i: number): void => {
    if (needed.has(i)) return;
    needed.add(i);
    program.steps[i].inputs.forEach(visit);
  };
  for (const i of [
    ...program.outputs,
    ...program.gradients,
    ...program.assignments.flatMap((a) => [a.variable, a.value]),
  ])
    visit(i);
  const place = new Map([...needed].sort((a, b) => a - b).map((old, now) => [old, now]));
  const at = (i: number): number => place.get(i)!;
  return {
    seed: program.seed,
    steps: program.steps.filter((_, i) => needed.has(i)).map((s) => ({ ...s, inputs: s.inputs.map(at) })),
    outputs: program.outputs.map(at),
    gradients: program.gradients.map(at),
    second: program.second,
    assignments: program.assignments.map((a) => ({ variable: at(a.variable), value: at(a.value) })),
  };
}

/** The smallest program found that still fails: fewer outputs, and steps replaced by their values. */
export async function shrink(program: Program, fails: (p: Program) => Promise<boolean>): Promise<Program> {
  let best = withoutUnused(program);
  const attempt = async (candidate: Program): Promise<boolean> => {
    const smaller = withoutUnused(candidate);
    const failed = smaller.outputs.length + smaller.assignments.length > 0 && (await fails(smaller).catch(() => true));
    if (failed) best = smaller;
    return failed;
  };
  const without = <T>(list: readonly T[], i: number): T[] => list.filter((_, k) => k !== i);
  // Often one value alone is wrong: then what came after it, and assignments, are not needed.
  for (let i = 0; i < best.steps.length; i++) {
    if (await attempt({ ...best, outputs: [i], gradients: [], assignments: [] })) break;
  }
  if (best.second) await attempt({ ...best, second: false });
  for (let changed = true; changed; ) {
    changed = false;
    for (const key of ["gradients", "outputs", "assignments"] as const) {
      for (let i = best[key].length - 1; i >= 0; i--) {
        if (await attempt({ ...best, [key]: without<unknown>(best[key], i) } as Program)) changed = true;
      }
    }
    for (let i = best.steps.length - 1; i >= 0; i--) {
      if (i >= best.steps.length || !best.steps[i].make) continue;
      const { values } = buildProgram(best, false);
      const { shape, dtype } = values[i];
      const [data] = evaluateGraph([values[i].node]);
      const leaf: LeafData = { data: isFloat(dtype) ? Float32Array.from(data) : data, shape, dtype };
      const steps = best.steps.map((s, k): Step => (k === i ? { name: `value of ${s.name}`, inputs: [], leaf } : s));
      if (await attempt({ ...best, steps })) changed = true;
    }
  }
  return best;
}

/** The program as text, a line a step. */
export function printProgram(program: Program): string {
  const { values } = buildProgram(program, false);
  const lines = program.steps.map((s, i) => {
    const of = s.inputs.length > 0 ? ` of ${s.inputs.map((k) => `%${k}`).join(", ")}` : "";
    return `  %${i} = ${s.name}${of} : ${values[i].dtype}[${values[i].shape.join(", ")}]`;
  });
  const ends = [
    `outputs ${program.outputs.map((i) => `%${i}`).join(", ")}`,
    ...(program.gradients.length > 0
      ? [
          `gradients${program.second ? ", tangents and second derivatives" : ""} of ${program.gradients.map((i) => `%${i}`).join(", ")}`,
        ]
      : []),
    ...program.assignments.map((a) => `%${a.variable} := %${a.value}`),
  ];
  return [...lines, ...ends.map((l) => `  ${l}`)].join("\n");
}
