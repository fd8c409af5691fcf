/** Operations of tensors: elementwise, reductions, products, views, indices, integers. */
import { arange, concat, einsum, full, Generator, stack, tensor, zeros } from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import { SPECIALS } from "../../src/testing/index.ts";
import type { KitCases } from "./case.ts";
import { MATRIX } from "./case.ts";

const small = { shape: MATRIX, domain: [-1, 1] } as const;
const positive = { shape: MATRIX, domain: [0.25, 3] } as const;
const whole = (low: number, high: number, dtype: "i32" | "u32" = "i32") =>
  ({ shape: MATRIX, dtype, domain: [low, high] }) as const;
const flags = { shape: MATRIX, dtype: "bool" } as const;

const i32 = (shape: readonly number[], ...values: number[]): Tensor => tensor(Int32Array.from(values), { shape });

/** 0 for what is smaller than normal numbers: WGSL may take it for 0. */
const normal = (x: Tensor): Tensor => x.abs().lt(1e-30).where(0, x);

const ELEMENTWISE: KitCases = {
  "sums and products": { f: (a, b) => [a.add(b), a.sub(b), a.mul(b)], inputs: [MATRIX, MATRIX] },
  "broadcast sums and products": {
    f: (a, b, c) => [a.add(b), b.sub(a), a.mul(b).mul(c), c.sub(b)],
    inputs: [MATRIX, ["m"], ["n", 1]],
  },
  "broadcast over an axis in the middle": {
    f: (a, b) => [a.mul(b), b.sub(a)],
    inputs: [
      ["n", "k", "m"],
      ["n", 1, "m"],
    ],
    large: 7,
  },
  quotients: {
    f: (a, b) => [a.div(b), b.reciprocal(), a.div(2), b.sqrt(), b.rsqrt(), b.log(), b.log1p()],
    inputs: [MATRIX, positive],
  },
  powers: {
    f: (a, b) => [b.pow(a), a.pow(2), b.pow(-1.5), a.square()],
    inputs: [small, positive],
    tolerance: 2e-5,
  },
  "extremes of two": { f: (a, b) => [a.maximum(b), a.minimum(b), a.clamp(-0.505, 0.755)], inputs: [MATRIX, MATRIX] },
  "sign and size": { f: (a) => [a.abs(), a.neg(), a.sign(), a.relu(), a.elu()], inputs: [MATRIX] },
  exponentials: { f: (a) => [a.exp(), a.expm1(), a.softplus(), a.sigmoid(), a.tanh()], inputs: [MATRIX] },
  "functions to the last digits": {
    f: (a) => [
      ...[a.exp(), a.expm1(), a.tanh(), a.sigmoid(), a.softplus(), a.erf()],
      ...[a.sin(), a.cos(), a.tan(), a.atan(), a.add(1).log(), a.log1p()],
    ],
    inputs: [{ shape: MATRIX, domain: [-0.4, 0.4] }],
    onCpu: 2e-7,
    gradients: false,
    order: 0,
  },
  angles: { f: (a) => [a.sin(), a.cos(), a.atan(), a.mul(0.5).tan(), a.mul(40).sin()], inputs: [MATRIX] },
  "smooth rectifiers": { f: (a) => [a.silu(), a.gelu(), a.gelu("tanh"), a.erf()], inputs: [MATRIX] },
  rounding: { f: (a) => [a.floor(), a.ceil(), a.trunc(), a.round()], inputs: [MATRIX], order: 0 },
  comparisons: {
    f: (a, b) => [a.lt(b), a.le(b), a.gt(b), a.ge(b), a.eq(a), a.ne(b), a.lt(0.25)],
    inputs: [MATRIX, MATRIX],
    order: 0,
  },
  choices: {
    f: (c, a, b) => [c.where(a, b), a.mask(c), c.not().where(a, 1.5)],
    inputs: [flags, MATRIX, MATRIX],
  },
  "rests of division": {
    f: (a, b) => [a.mod(b), b.neg().mod(a.abs().add(0.5)), a.floorDiv(b)],
    inputs: [MATRIX, positive],
    order: 0,
  },
  "functions far out": {
    f: (a) => [a.sigmoid(), a.tanh(), a.erf()],
    inputs: [{ shape: MATRIX, domain: [-100, 100], specials: true }],
    gradients: false,
    order: 0,
  },
  "special numbers": {
    f: (given, other) => {
      const [a, b] = [normal(given), normal(other)];
      return [
        ...[a.sub(b.sign()), a.mul(b.sign()), a.maximum(b), a.relu(), a.sign(), a.abs()],
        ...[a.isNaN(), a.isFinite(), a.clamp(-1, 1)],
      ];
    },
    inputs: [
      { shape: MATRIX, specials: true },
      { shape: MATRIX, specials: true },
    ],
    order: 0,
  },
  // All of them, which small draws do not have; products with a number that compilers know.
  "special numbers in pairs": {
    f: (given, other) => {
      const [a, b] = [normal(given), normal(other)];
      return [
        ...[a.sub(b.sign()), a.mul(b.sign()), a.maximum(b), a.minimum(b), a.lt(b), a.le(b), a.eq(b), a.ne(b)],
        ...[a.relu(), a.mul(0), a.sign(), a.abs(), a.isNaN(), a.isFinite(), a.clamp(-1, 1), a.sigmoid(), a.tanh()],
      ];
    },
    inputs: [tensor(SPECIALS, { shape: [SPECIALS.length, 1] }), tensor(SPECIALS)],
    gradients: false,
    large: 0,
  },
  // No number below zero is left, however small, even where the device takes it for zero.
  "rectifiers of all below zero": {
    f: (a) => [a.relu(), a.maximum(0)],
    inputs: [tensor(SPECIALS.filter((x) => x < 0 || Object.is(x, -0)))],
    gradients: false,
    large: 0,
    tolerance: 0,
  },
  // What is left of them is too small for a normal number: 0, and not the smallest there is.
  "sigmoids far below": {
    f: (a) => a.sigmoid().mul(2 ** 120),
    inputs: [{ shape: MATRIX, domain: [-200, -120] }],
    gradients: false,
  },
  "whole numbers": {
    f: (a, b) => [a.add(b), a.sub(b), a.mul(b), a.neg(), a.abs(), a.maximum(b), a.minimum(b), a.lt(b), a.eq(b)],
    inputs: [whole(-9, 9), whole(-9, 9)],
    order: 0,
  },
  "division of whole numbers": {
    f: (a, b, c) => [a.floorDiv(b), a.mod(b), a.floorDiv(c), a.mod(c), b.mod(3), a.mod(7), a.div(b)],
    inputs: [whole(-30, 30), whole(1, 7), whole(-7, -1)],
    order: 0,
  },
  "bits of whole numbers": {
    f: (a, b) => [a.bitAnd(b), a.bitOr(b), a.bitXor(b), a.shiftLeft(b.bitAnd(7)), a.shiftRight(b.bitAnd(7)), a.neg()],
    inputs: [whole(0, 5000, "u32"), whole(0, 5000, "u32")],
    order: 0,
  },
  truths: {
    f: (a, b) => [a.and(b), a.or(b), a.not(), a.eq(b), a.any(1), a.all(0), a.cast("f32").sum(), a.cast("i32").mul(3)],
    inputs: [flags, flags],
    order: 0,
  },
  casts: {
    f: (a, b, c) => [a.mul(5).cast("i32"), b.cast("f32").mul(0.5), c.cast("bool"), a.cast("bool"), b.cast("u32")],
    inputs: [MATRIX, whole(-9, 9), whole(0, 3, "u32")],
    order: 0,
  },
  "casts at the ends of the ranges": {
    f: (a) => [a.cast("i32"), a.cast("u32")],
    inputs: [tensor([NaN, Infinity, -Infinity, 3e9, -3e9, 5e9, -0.5, 2 ** 31, 2 ** 32])],
    order: 0,
  },
  "numbers beside whole ones": {
    f: (a) => [a.add(0.5), a.mul(2), a.mul(0.25), a.mean(), a.mean(0), a.add(3e9), full([2], 3).add(a.sum())],
    inputs: [whole(-9, 9)],
    meaning: (a) => {
      const x = a.cast("f32");
      return [x.add(0.5), a.mul(2), x.mul(0.25), x.mean(), x.mean(0), x.add(3e9), full([2], 3).add(x.sum())];
    },
    order: 0,
  },
  "numbers in steps": {
    f: (a) => [arange(0, 2, 0.5).mul(a), arange(4).mul(a), arange(5, 1, -1).mul(a), arange(3)],
    inputs: [[1]],
    meaning: (a) => [
      tensor([0, 0.5, 1, 1.5]).mul(a),
      tensor([0, 1, 2, 3]).mul(a),
      tensor([5, 4, 3, 2]).mul(a),
      tensor(Int32Array.of(0, 1, 2)),
    ],
  },
  "constants of one structure": {
    f: (a) => [a.add(full([2, 3], 2)), a.mul(full([2, 3], -0.5)), zeros([2, 3]).sub(a), a.add(full([2, 3], 7))],
    inputs: [[2, 3]],
    meaning: (a) => [a.add(2), a.mul(-0.5), a.neg(), a.add(7)],
  },
};

const TABLE = tensor(
  Array.from({ length: 3001 * 40 }, (_, i) => ((i * 37) % 64) / 64),
  { shape: [3001, 40] },
);

const REDUCTIONS: KitCases = {
  "sums over axes": {
    f: (a) => [a.sum(), a.sum(0), a.sum(1), a.sum([0, 2]), a.sum(-1, true), a.mean([1, 2]), a.mean(), a.variance(1)],
    inputs: [["n", "m", "k"]],
    large: 11,
  },
  "sums of sums": { f: (a) => [a.square().sum(1).tanh(), a.sum(1, true).mul(a).sum(0)], inputs: [MATRIX], large: 70 },
  "means and spread of long rows": {
    f: (a) => [a.mean(1), a.variance(1), a.sum(0), a.variance(0, true)],
    inputs: [[3, 1030]],
    large: 0,
    order: 0,
  },
  "sums longer than a block": {
    f: (a) => [a.sum(), a.mul(2).sum(1), a.sum(0)],
    inputs: [{ shape: [2, 40_000], views: false }],
    large: 0,
    order: 0,
    tolerance: 1e-6,
  },
  "many long columns": {
    f: (a) => [a.sum(0), a.square().mean(0), a.max(0)],
    inputs: [{ shape: [9001, 7], views: false }],
    large: 0,
    order: 0,
    tolerance: 1e-6,
  },
  "long columns side by side": {
    f: (a) => [TABLE.mul(a).sum(0), TABLE.sub(a).square().mean(0)],
    inputs: [{ shape: [40], domain: [0.5, 1] }],
    large: 0,
    order: 0,
    tolerance: 1e-6,
  },
  products: { f: (a) => [a.prod(0), a.prod(1), a.prod()], inputs: [{ shape: MATRIX, domain: [0.5, 1.5] }], large: 9 },
  "largest and smallest": {
    f: (a) => [a.max(), a.min(1), a.max(0, true), a.argmax(1), a.argmin(0)],
    inputs: [{ shape: MATRIX, views: false }],
    order: 0,
    large: 37,
  },
  "largest of negative numbers": {
    f: (a) => [a.max(1), a.max(0), a.max(), a.neg().min(1), a.neg().min(0)],
    inputs: [{ shape: MATRIX, domain: [-5, -1] }],
    order: 0,
    large: 37,
  },
  "largest of rows without equals": {
    f: (a) => [a.add(tensor([0, 9, 4])).max(1), a.add(tensor([0, 9, 4])).min(1)],
    inputs: [{ shape: ["n", 3], domain: [-1, 1] }],
  },
  // Elements that share the extreme share its gradient.
  "largest and smallest of equals": {
    f: (a) => [a.max(), a.max(1), a.min(0)],
    inputs: [tensor([2, 2, 1, 2, 2, 2], { shape: [2, 3] })],
    meaning: (a) => {
      const weighed = (...weights: number[]): Tensor => a.mul(tensor(weights, { shape: [2, 3] }));
      return [
        weighed(1, 1, 0, 1, 1, 1).sum().div(5),
        weighed(3, 3, 0, 2, 2, 2).sum(1).div(6),
        weighed(1, 1, 2, 1, 1, 0).sum(0).div(2),
      ];
    },
    order: 0,
  },
};

const MANY = tensor(Array.from({ length: 24_641 }, (_, i) => ((i * 37) % 64) / 64));

const PRODUCTS: KitCases = {
  matmul: {
    f: (a, b) => a.matmul(b),
    inputs: [
      ["n", "k"],
      ["k", "m"],
    ],
    large: 75,
  },
  "products of transposed": {
    f: (a, b) => [a.transpose().matmul(b), b.transpose().matmul(a)],
    inputs: [
      ["k", "n"],
      ["k", "m"],
    ],
    large: 40,
  },
  // Columns that are rows in memory, and how many are joined to vectors; rows up to twice what a tile has.
  "products of few rows": {
    f: (a, b) => [a.transpose().matmul(b.transpose()), a.tanh().transpose().matmul(b.transpose())],
    inputs: [
      ["k", "n"],
      [16, "k"],
    ],
    large: 8,
  },
  "products in batches": {
    f: (a, b) => a.matmul(b.transpose()),
    inputs: [
      ["b", "n", "k"],
      ["b", "m", "k"],
    ],
    large: 18,
  },
  "products with one matrix for all": {
    f: (a, b) => [a.matmul(b), b.transpose().matmul(a.transpose())],
    inputs: [
      ["b", "n", "k"],
      ["k", "m"],
    ],
    large: 18,
  },
  "products with work before and after": {
    f: (a, b, c) => a.tanh().matmul(b).add(c).relu(),
    inputs: [["n", "k"], ["k", "m"], ["m"]],
    large: 50,
    order: 0,
  },
  "products of vectors": {
    f: (a, b, c) => [a.matmul(b), b.matmul(c), c.matmul(c)],
    inputs: [["n", "m"], ["m", "k"], ["k"]],
    large: 33,
  },
  "long inner axes": {
    f: (a, b) => a.matmul(b),
    inputs: [
      { shape: [5, 3001], domain: [-1, 1], views: false },
      { shape: [3001, 9], domain: [-1, 1], views: false },
    ],
    large: 0,
    order: 0,
    tolerance: 1e-4,
    onCpu: 3e-6,
  },
  // So many steps that the last part of them is shorter than others by more than a block.
  "inner axes of many parts": {
    f: (a, b) => a.mul(MANY).matmul(b.mul(MANY.flip()).transpose()),
    inputs: [
      { shape: [5, 1], domain: [0.5, 1] },
      { shape: [9, 1], domain: [0.5, 1] },
    ],
    large: 0,
    gradients: false,
    tolerance: 1e-4,
    onCpu: 1e-5,
  },
  "products of rows by index": {
    f: (a, b, i) => {
      const chosen = a.gather(0, i.mod(4));
      return [a.gather(0, i).matmul(b), chosen.matmul(b), b.transpose().matmul(chosen.transpose())];
    },
    inputs: [[4, "k"], ["k", "m"], { shape: ["n", "k"], dtype: "i32", domain: [0, 3] }],
    large: 30,
  },
  "products of a matrix in the order of its columns": {
    f: (a, b) => {
      const turned = a.transpose().reshape([24, 16]);
      return [turned.matmul(b), b.transpose().matmul(turned.transpose())];
    },
    inputs: [
      [12, 32],
      [16, "n"],
    ],
    large: 9,
  },
  "wide products": {
    f: (a, b) => a.matmul(b),
    inputs: [
      { shape: [19, 67], views: false },
      { shape: [67, 517], views: false },
    ],
    large: 0,
    order: 0,
  },
  "gradients of one pass side by side": {
    f: (x, a, b, c) => x.matmul(a).tanh().matmul(b).tanh().matmul(c),
    inputs: [
      ["n", "k"],
      ["k", "k"],
      ["k", "k"],
      ["k", "k"],
    ],
    large: 24,
    order: 1,
  },
  einsum: {
    f: (a, b) => [einsum("bij,bkj->bik", a, b), einsum("bij,bkj->ik", a, b)],
    inputs: [
      ["b", "n", "k"],
      ["b", "m", "k"],
    ],
    large: 8,
  },
};

const MOVES: KitCases = {
  "reshapes and permutations": {
    f: (a) => [a.reshape([6, 4]).sin(), a.permute([2, 0, 1]).cos(), a.transpose().reshape([24]).flip()],
    inputs: [[2, 3, 4]],
    large: 0,
  },
  "permutations of three axes": {
    f: (a) => [a.permute([1, 2, 0]).sin(), a.permute([2, 0, 1]).square(), a.transpose(0, 1).tanh()],
    inputs: [["n", "m", "k"]],
    large: 9,
  },
  slices: {
    f: (a) => [
      a.slice([1, 5]).sin(),
      a.slice(null, [0, null, 2]).square(),
      a.slice([5, 0, -2], [2, 3]),
      a.slice([0, 6, 5]),
      a.slice([2, 2]).sum(),
    ],
    inputs: [[6, 7]],
    large: 0,
  },
  pads: {
    f: (a) => [
      a
        .pad([
          [1, 2],
          [0, 3],
        ])
        .sin(),
      a
        .pad([
          [0, 0],
          [5, 0],
        ])
        .add(1),
      a.exp().pad([
        [2, 0],
        [1, 1],
      ]),
    ],
    inputs: [MATRIX],
  },
  windows: {
    f: (a) => [
      a.window(1, 3).sin(),
      a.window(1, 2, 3).square(),
      a.window(0, 2, 1, 2).square(),
      a.window(1, 3, 2, 2).square(),
    ],
    inputs: [[4, 9]],
    large: 0,
  },
  joins: {
    f: (a, b) => [concat([a, b, a.mul(2)], 0).sin(), stack([a.slice([0, 1]), b.slice([0, 1])], 1), concat([a, a], 1)],
    inputs: [
      ["n", "k"],
      ["m", "k"],
    ],
  },
  "joins of short parts": {
    f: (a, b) => concat([a, b, a.neg()], -1).mul(2),
    inputs: [
      ["n", 1],
      ["n", 2],
    ],
  },
  // Parts that a kernel computes but for their order or their size.
  "joins of parts of one size": {
    f: (a, b, c) => [
      ...[a.sub(a.mul(c).sum(-1, true))].flatMap((z) => [
        concat([z, z.flip(0)], 1),
        concat([z, z.mul(2).slice([0, 1]), z.neg()], 0),
        concat([z, z.sum(0, true).expand([2, 3])], 0),
        concat([z, b.mul(z.sum()).expand([6, 3])], 0),
      ]),
      concat([a.sin(), b.cos().expand([6, 3])], 0),
      concat([a.exp(), c.sin().flip(0)], 0),
      concat([c.cos(), a.tanh().transpose().reshape([2, 3])], 1),
      concat([a.mul(c), c.sub(a), a.square()], 1),
    ],
    inputs: [
      [2, 3],
      [6, 1],
      [2, 3],
    ],
    large: 0,
  },
  // Slices that make up their value, and some that do not: with a place twice, with a rest, of other axes, in steps.
  "slices side by side": {
    f: (a, b, c, d, e) => [
      a
        .slice(null, [0, 2])
        .sin()
        .mul(a.slice(null, [2, 4]))
        .add(a.slice(null, [4, 6]).exp()),
      b
        .slice(null, [0, 3])
        .sin()
        .mul(b.slice(null, [2, 5])),
      c
        .slice(null, [0, 2])
        .sin()
        .mul(c.slice(null, [2, 4])),
      d
        .slice([0, 2], [0, 3])
        .sin()
        .mul(d.slice([2, 4], [3, 6])),
      e
        .slice(null, [0, 6, 2])
        .sin()
        .mul(e.slice(null, [3, 6])),
    ],
    inputs: [
      [4, 6],
      [4, 6],
      [4, 6],
      [4, 6],
      [4, 6],
    ],
    large: 0,
  },
  expansions: {
    f: (a) => [a.expand([5, 3, 4]).sin(), a.unsqueeze(1).expand([3, 7, 4]).square(), a.flip(0).add(a)],
    inputs: [[3, 4]],
    large: 0,
  },
  "views read by sums": {
    f: (a) => [
      a.flip(1).slice([0, 4], [1, 6]).sum(0),
      a
        .permute([1, 0])
        .pad([
          [1, 1],
          [0, 1],
        ])
        .sum(1),
      a.window(1, 3).mean(2),
    ],
    inputs: [[5, 7]],
    large: 0,
  },
  "flat views from another place on": {
    f: (a) => {
      const [n, m] = a.shape;
      const flat = (t: Tensor): Tensor => t.reshape([n * m]);
      const later = (t: Tensor, from: number): Tensor =>
        flat(t)
          .slice([from, from + n * (m - 1)])
          .reshape([m - 1, n]);
      return [
        later(a.transpose(), 1),
        later(a.transpose(), n),
        later(a.tanh(), 3).sin(),
        flat(a.transpose()).slice([m, n * m]),
      ];
    },
    inputs: [[5, 4]],
    large: 0,
  },
  "a view of another shape beside its own": {
    f: (a) => [
      a
        .exp()
        .reshape([12])
        .add(a.transpose().exp().reshape([12])),
      a.tanh().flip(0).sub(a.tanh()),
    ],
    inputs: [[3, 4]],
    large: 0,
  },
};

const INDICES: KitCases = {
  "rows by index": {
    f: (a) => [a.take(i32([5], 2, 0, 2, 3, 2)), a.take(i32([3], 1, 1, 0), 1), a.take(i32([4], 0, 3, 3, 1))],
    inputs: [[4, 3]],
    large: 0,
  },
  "elements by index": {
    f: (a) => [
      a.gather(1, i32([3, 2], 0, 2, 1, 1, 3, 0)).sin(),
      a.gather(0, i32([2, 4], 0, 2, 1, 1, 2, 2, 0, 0)).square(),
    ],
    inputs: [[3, 4]],
    large: 0,
  },
  "sums of truths by index": {
    // Two are added in one place, and one in another.
    f: (a) => a.scatterAdd(0, i32([3], 1, 1, 2), tensor([true, true, false])),
    inputs: [tensor([true, false, false, true])],
    meaning: (a) => a.or(tensor([false, true, false, false])),
    order: 0,
  },
  "sums by index": {
    f: (a, b) => [
      a.scatterAdd(0, i32([4, 3], 1, 1, 2, 0, 1, 2, 2, 0, 1, 1, 1, 1), b).sin(),
      a.scatterAdd(1, i32([3, 2], 0, 0, 2, 1, 1, 1), b.slice([0, 3], [0, 2])).square(),
    ],
    inputs: [
      [3, 3],
      [4, 3],
    ],
    large: 0,
  },
};

const seeded = (): Generator => new Generator(7, 3);

/** Parts so short that others lie in the same four elements. */
const JOINED = [
  [2, 2],
  [2, 6, 4],
  [1, 3, 5],
];

const DRAWS: KitCases = {
  "draws from a seed": {
    f: (a) => [
      seeded().uniform([9, 3]).mul(a),
      seeded().normal([7]).mul(a.sum()),
      seeded().dropoutMask([5, 5], 0.4).mul(a.mean()),
      seeded().uniform([6], -2, 3),
      seeded().integers([11], -5, 9),
      seeded().bits([5]),
      // So many that they can be drawn four at a time.
      seeded().bits([16]),
      seeded().uniform([4, 8]).mul(a.sum()),
      ...JOINED.map((sizes, seed) => {
        const generator = new Generator(seed);
        return concat(sizes.map((n) => generator.uniform([n]))).exp();
      }),
    ],
    inputs: [[3]],
    order: 0,
    large: 0,
  },
};

const WITHIN: KitCases = {
  "draws within their range": {
    f: () => [
      seeded().uniform([4000], 1, 1.0000002).lt(1.0000002).all(),
      seeded().uniform([4000], -3, -2.9999998).lt(-2.9999998).all(),
      seeded().integers([400], -2, 2).lt(2).all(),
      seeded()
        .integers([400], 0, 2 ** 30)
        .mod(2)
        .cast("f32")
        .mean()
        .sub(0.5)
        .abs()
        .lt(0.1),
      seeded().normal([4000]).mean().abs().lt(0.1),
    ],
    inputs: [[1]],
    meaning: (x) => Array.from({ length: 5 }, () => x.eq(x).all()),
    gradients: false,
    large: 0,
  },
};

/** By name. */
export const OPERATIONS: KitCases = {
  ...ELEMENTWISE,
  ...REDUCTIONS,
  ...PRODUCTS,
  ...MOVES,
  ...INDICES,
  ...DRAWS,
  ...WITHIN,
};
