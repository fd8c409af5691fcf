/** Draws of the ops on arrays and sequences. */
import * as ops from "../../src/ops/index.ts";
import { Generator } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import type { Draw } from "../support/draw.ts";
import { leafTensor } from "../support/helpers.ts";
import type { Maker } from "./spatial-cases.ts";

/** An op of one drawn operand. */
const unary =
  (name: string, f: (x: Tensor, draw: Draw) => Tensor, domain: readonly [number, number] = [-3, 3]): Maker =>
  (draw, elements) => {
    const x = draw.operand(draw.shape({ minRank: 2, maxRank: 3, elements }), { domain });
    const seed = draw.int(0, 1000);
    return {
      name: `${name} (${x.how})`,
      leaves: [x.leaf],
      bound: 1e-5,
      // The same choices at every call.
      f: (t) => f(x.view(t), fixed(seed)),
    };
  };

/** Choices from a number. */
function fixed(seed: number): Draw {
  return {
    int: (low: number, high: number) => low + (seed % (high - low + 1)),
    chance: (p: number) => seed % 100 < 100 * p,
  } as Draw;
}

const anyAxis = (x: Tensor, draw: Draw) => draw.int(-x.rank, x.rank - 1);

const ordered: Maker = (draw, elements) => {
  const shape = draw.shape({ minRank: 1, maxRank: 2, elements });
  if (elements > 20 && draw.chance(0.3)) shape[shape.length - 1] = 131;
  const options = { axis: draw.int(-shape.length, shape.length - 1), descending: draw.chance(0.5) };
  return {
    name: `sort ${JSON.stringify(options)}`,
    leaves: [draw.data(shape, { distinct: true })],
    bound: 1e-6,
    f: (x) => {
      const { values, indices } = ops.sort(x, options);
      return [values.square(), indices, ops.argsort(x.mul(2).floor(), options)];
    },
  };
};

export const ARRAYS: Readonly<Record<string, Maker>> = {
  cumsum: unary("cumsum", (x, draw) => ops.cumsum(x, anyAxis(x, draw))),
  cumprod: unary("cumprod", (x, draw) => ops.cumprod(x, anyAxis(x, draw)), [0.6, 1.2]),
  sort: ordered,
  argsort: ordered,
  split: unary("split", (x, draw) => ops.split(x, draw.int(1, 4), anyAxis(x, draw)).at(-1)!.square()),
  chunk: unary("chunk", (x, draw) => ops.chunk(x, draw.int(1, 4), anyAxis(x, draw))[0].square()),
  tril: unary("tril", (x, draw) => ops.tril(x, draw.int(-2, 2))),
  triu: unary("triu", (x, draw) => ops.triu(x, draw.int(-2, 2))),
  linspace: unary("linspace", (x, draw) =>
    ops
      .linspace(-1, draw.int(0, 3), x.shape[x.rank - 1])
      .cast(x.dtype)
      .mul(x),
  ),
  roll: unary("roll", (x, draw) => ops.roll(x, draw.int(-5, 5), draw.chance(0.3) ? undefined : anyAxis(x, draw))),
  leakyRelu: unary("leakyRelu", (x) => ops.leakyRelu(x, 0.2)),
  elu: unary("elu", (x, draw) => ops.elu(x, draw.chance(0.5) ? 1 : 1.7)),
  silu: unary("silu", ops.silu),
  mish: unary("mish", ops.mish),
  hardSigmoid: unary("hardSigmoid", ops.hardSigmoid, [-5, 5]),
  hardSwish: unary("hardSwish", ops.hardSwish, [-5, 5]),
  glu(draw, elements) {
    const shape = draw.shape({ minRank: 1, elements: elements / 2 });
    const axis = draw.int(0, shape.length - 1);
    const x = draw.operand(shape.map((n, i) => (i === axis ? 2 * n : n)));
    return { name: `glu ${axis}`, leaves: [x.leaf], f: (t) => ops.glu(x.view(t), axis), bound: 1e-5 };
  },
  scatter(draw, elements) {
    const shape = draw.shape({ minRank: 1, maxRank: 3, elements });
    const axis = draw.int(0, shape.length - 1);
    const named = shape.map((n, i) => (i === axis ? draw.int(1, 5) : n));
    const index = draw.data(named, { dtype: draw.pick(["i32", "u32"]) });
    index.data.forEach((_, i) => (index.data[i] = draw.int(0, shape[axis] - 1)));
    return {
      name: `scatter along ${axis}`,
      leaves: [draw.data(shape), index, draw.data(named)],
      bound: 1e-6,
      f: (x, i, source) => ops.scatter(x, axis, i, source).square(),
    };
  },
  norm(draw, elements) {
    const shape = draw.shape({ minRank: 1, elements });
    const axes = draw.subset(shape.map((_, i) => i));
    const options = { p: draw.pick([2, 1, 3, Infinity, -Infinity, 0.5]), axes, keepDims: draw.chance(0.5) };
    return {
      name: `norm ${JSON.stringify({ ...options, p: String(options.p) })}`,
      leaves: [draw.data(shape, { domain: [0.25, 3], distinct: true })],
      bound: 2e-5,
      f: (x) => ops.norm(x, options),
    };
  },
  scaledDotProductAttention(draw, elements) {
    const small = elements <= 20;
    const [batch, dim] = [draw.int(1, 2), draw.int(1, small ? 2 : 9)];
    const [queries, keys] = [draw.int(1, small ? 3 : 19), draw.int(1, small ? 3 : 19)];
    const [q, k, v] = [queries, keys, keys].map((n) => draw.operand([batch, n, dim], { domain: [-1, 1] }));
    const kind = draw.pick(["none", "bool", "added"] as const);
    const mask = draw.data([queries, keys], { dtype: kind === "added" ? "f32" : "bool" });
    const options = { causal: draw.chance(0.5), scale: draw.pick([undefined, 0.7]) };
    return {
      name: `scaledDotProductAttention ${kind} ${JSON.stringify(options)} (${q.how}; ${k.how}; ${v.how})`,
      leaves: [q.leaf, k.leaf, v.leaf],
      bound: 1e-5,
      f: (a, b, c) => {
        const [x, y, z] = [q.view(a), k.view(b), v.view(c)];
        const given = leafTensor(mask);
        const attentionMask = kind === "none" ? undefined : kind === "added" ? given.cast(x.dtype) : given;
        return ops.scaledDotProductAttention(x, y, z, { ...options, attentionMask });
      },
    };
  },
  causalMask(draw) {
    const [rows, columns] = [draw.int(1, 9), draw.int(1, 9)];
    return {
      name: "causalMask",
      leaves: [draw.data([rows, columns])],
      f: (x) => ops.causalMask(rows, columns).where(x, 0),
    };
  },
  rotaryEmbedding(draw, elements) {
    const shape = [draw.int(1, 2), draw.int(1, elements <= 20 ? 2 : 9), 2 * draw.int(1, elements <= 20 ? 2 : 5)];
    const x = draw.operand(shape);
    const options = { base: draw.pick([100, 10000]), interleaved: draw.chance(0.5) };
    return {
      name: `rotaryEmbedding ${JSON.stringify(options)} (${x.how})`,
      leaves: [x.leaf],
      bound: 1e-5,
      f: (t) => ops.rotaryEmbedding(x.view(t), options).square(),
    };
  },
  filterLogits(draw) {
    const n = draw.int(2, 12);
    const options = { temperature: draw.pick([1, 0.5]), topK: draw.pick([undefined, 1, 3]), topP: draw.pick([1, 0.7]) };
    return {
      name: `filterLogits ${JSON.stringify(options)}`,
      leaves: [draw.data([3, n], { distinct: true, domain: [-2, 2] })],
      differentiable: false,
      bound: 1e-5,
      f: (x) => ops.filterLogits(x, options).maximum(-100),
    };
  },
  sampleTokens(draw) {
    const [n, seed] = [draw.int(2, 12), draw.int(0, 1000)];
    return {
      name: "sampleTokens",
      leaves: [draw.data([3, n], { distinct: true, domain: [-2, 2] })],
      differentiable: false,
      f: (x) => ops.sampleTokens(x, { topK: 1, generator: new Generator(seed) }),
    };
  },
};
