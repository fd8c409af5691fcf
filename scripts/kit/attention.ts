/** Attention with its masks and positions, and contrast: each held to ordinary operations. */
import {
  attention,
  causalMask,
  concat,
  infoNCE,
  ntXent,
  packedAttention,
  rotaryEmbedding,
  scaledDotProductAttention,
  stack,
  tensor,
  arange,
} from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import type { KitCases } from "./case.ts";

const narrow = (...shape: (number | string)[]) => ({ shape, domain: [-1, 1] }) as const;
const flags = (...shape: (number | string)[]) => ({ shape, dtype: "bool" }) as const;
/** Operands without equal elements: no views, which may repeat rows. */
const plain = (...shape: (number | string)[]) => ({ shape, views: false }) as const;
/** Rows that are not constant, however they are drawn. */
const uneven = (x: Tensor): Tensor => x.add(arange(x.shape.at(-1)!).square().mul(0.7));

/** softmax(q·kᵀ·scale)·v of [B, T, H, D], a closed key with no weight; a query of closed keys alone gives 0. */
function attended(q: Tensor, k: Tensor, v: Tensor, open?: Tensor, keep?: Tensor): Tensor {
  const [a, b, c] = [q, k, v].map((t) => t.permute([0, 2, 1, 3]));
  const scores = a.matmul(b.transpose()).mul(1 / Math.sqrt(q.shape[3]));
  const e = scores.sub(scores.detach().max(-1, true)).exp();
  const weights = open ? e.mul(open) : e;
  const total = weights.sum(-1, true);
  const probabilities = weights.div(open ? total.gt(0).where(total, 1) : total);
  return (keep ? probabilities.mul(keep) : probabilities).matmul(c).permute([0, 2, 1, 3]);
}

/** Factors of keys, [1, T, 1, 1]: of the first ones the scores are as large as an exponential can no more hold. */
const FALLING = tensor(
  Array.from({ length: 150 }, (_, i) => 500 * 0.93 ** i),
  { shape: [1, 150, 1, 1] },
);
/** A factor for each of two heads of 8 batches. */
const HEADS = tensor(
  Array.from({ length: 16 }, (_, i) => 1.5 - i / 16),
  { shape: [8, 1, 2, 1] },
);

const ATTENTION: KitCases = {
  attention: {
    f: (q, k, v) => attention(q, k, v),
    inputs: [narrow("b", "q", "h", "d"), narrow("b", "k", "h", "d"), narrow("b", "k", "h", "d")],
    meaning: (q, k, v) => attended(q, k, v),
    gradientTolerance: 2e-4,
    large: 9,
  },
  "attention with closed keys": {
    f: (q, k, v, m) => attention(q, k, v, { mask: m.cast("f32") }),
    inputs: [narrow("b", "q", 2, 3), narrow("b", "k", 2, 3), narrow("b", "k", 2, 3), flags("b", "k")],
    meaning: (q, k, v, m) => attended(q, k, v, m.cast("f32").reshape([m.shape[0], 1, 1, m.shape[1]])),
    gradientTolerance: 2e-4,
    large: 14,
  },
  "attention with dropped weights": {
    f: (q, k, v, m) => attention(q, k, v, { keep: m.cast("f32").mul(1.25) }),
    inputs: [narrow("b", "q", 2, 5), narrow("b", "k", 2, 5), narrow("b", "k", 2, 5), flags("b", 2, "q", "k")],
    meaning: (q, k, v, m) => attended(q, k, v, undefined, m.cast("f32").mul(1.25)),
    gradientTolerance: 2e-4,
    large: 14,
  },
  "attention over many keys": {
    f: (q, k, v) => attention(q, k, v),
    inputs: [narrow(1, 37, 2, 16), narrow(1, 150, 2, 16), narrow(1, 150, 2, 16)],
    meaning: (q, k, v) => attended(q, k, v),
    large: 0,
    order: 0,
  },
  // The largest score of all stands among the first keys, or among the last ones.
  "attention over keys of falling size": {
    f: (q, k, v) => [attention(q, k.mul(FALLING), v), attention(q, k.mul(FALLING.flip(1)), v)],
    inputs: [narrow(1, 5, 1, 16), narrow(1, 150, 1, 16), narrow(1, 150, 1, 16)],
    meaning: (q, k, v) => [attended(q, k.mul(FALLING), v), attended(q, k.mul(FALLING.flip(1)), v)],
    large: 0,
    order: 0,
    tolerance: 3e-4,
    gradientTolerance: 3e-3,
  },
  "attention of many heads over many keys": {
    f: (q, k, v) => attention(q, k.mul(HEADS), v.mul(HEADS)),
    inputs: [narrow(8, 5, 2, 4), narrow(1, 150, 1, 4), narrow(1, 150, 1, 4)],
    meaning: (q, k, v) => attended(q, k.mul(HEADS), v.mul(HEADS)),
    large: 0,
    order: 0,
    gradientTolerance: 2e-4,
  },
  packedAttention: {
    f: (x, m) => [packedAttention(x, 2, { mask: m.cast("f32") }), packedAttention(x, 1)],
    inputs: [narrow("b", "n", 18), flags("b", "n")],
    meaning: (x, m) => {
      const [b, n] = x.shape;
      const parts = (heads: number) =>
        [0, 1, 2].map((i) => x.slice(null, null, [6 * i, 6 * i + 6]).reshape([b, n, heads, 6 / heads]));
      const [q, k, v] = parts(2);
      const [q1, k1, v1] = parts(1);
      return [attended(q, k, v, m.cast("f32").reshape([b, 1, 1, n])), attended(q1, k1, v1)];
    },
    large: 11,
  },
  "packedAttention of segments": {
    f: (x) => packedAttention(x, 2, { segments: [2, 5, 1] }),
    inputs: [narrow("b", 8, 18)],
    meaning: (x) =>
      concat(
        [
          [0, 2],
          [2, 7],
          [7, 8],
        ].map(([from, to]) => packedAttention(x.slice(null, [from, to]), 2)),
        1,
      ),
    large: 5,
    order: 1,
  },
  "causal attention": {
    f: (q, k, v) => [
      scaledDotProductAttention(q, k, v, { causal: true }),
      scaledDotProductAttention(q, k, v, { attentionMask: causalMask(q.shape[1], k.shape[1]) }),
      scaledDotProductAttention(q, k, v),
    ],
    inputs: [narrow("b", "n", 3), narrow("b", "n", 3), narrow("b", "n", 2)],
    meaning: (q, k, v) => {
      const n = q.shape[1];
      const below = tensor(
        Array.from({ length: n * n }, (_, i) => (i % n <= Math.floor(i / n) ? 1 : 0)),
        { shape: [n, n] },
      );
      const e = q
        .matmul(k.transpose())
        .mul(1 / Math.sqrt(3))
        .exp();
      const [closed, all] = [e.mul(below), e].map((t) => t.div(t.sum(-1, true)).matmul(v));
      return [closed, closed, all];
    },
    large: 9,
  },
  "rotary positions": {
    f: (x) => [rotaryEmbedding(x), rotaryEmbedding(x, { interleaved: true })],
    inputs: [narrow("b", "t", 6)],
    meaning: (x) => {
      const steps = x.shape[1];
      const angle = (t: number, i: number): number => t * 10000 ** ((-2 * i) / 6);
      const table = (f: (a: number) => number): Tensor =>
        tensor(
          Array.from({ length: steps * 3 }, (_, at) => f(angle(Math.floor(at / 3), at % 3))),
          { shape: [steps, 3] },
        );
      const [cos, sin] = [table(Math.cos), table(Math.sin)];
      const turned = (a: Tensor, b: Tensor) => [a.mul(cos).sub(b.mul(sin)), a.mul(sin).add(b.mul(cos))];
      const halves = turned(x.slice(null, null, [0, 3]), x.slice(null, null, [3, 6]));
      const pairs = turned(x.slice(null, null, [0, 6, 2]), x.slice(null, null, [1, 6, 2]));
      return [concat(halves, 2), stack(pairs, 3).reshape(x.shape)];
    },
    large: 9,
  },
};

const contrast = (q: Tensor, p: Tensor, queue: Tensor, temperature: number): Tensor => {
  const [n, c] = q.shape;
  const near = p
    .reshape([n, p.size / (n * c), c])
    .mul(q.unsqueeze(1))
    .sum(-1)
    .div(temperature);
  const far = q.matmul(queue).div(temperature);
  return concat([near, far], 1).exp().sum(1).log().sub(near.exp().sum(1).log());
};

const THOUSANDS = tensor(
  Array.from({ length: 3 * 8300 }, (_, i) => ((i * 37) % 64) / 64),
  { shape: [3, 8300] },
);

const CONTRAST: KitCases = {
  infoNCE: {
    f: (q, p, queue) => [
      infoNCE(q, p, queue, { temperature: 0.5 }),
      infoNCE(q, p, queue, { temperature: 1, reduction: "none" }),
    ],
    inputs: [narrow("n", "c"), narrow("n", "p", "c"), narrow("c", "k")],
    meaning: (q, p, queue) => [contrast(q, p, queue, 0.5).mean(), contrast(q, p, queue, 1)],
    large: 13,
  },
  "infoNCE against many": {
    f: (q, p, queue) => infoNCE(q, p, queue, { temperature: 0.7, reduction: "none" }),
    inputs: [narrow("n", 6), narrow("n", 6), narrow(6, 1030)],
    meaning: (q, p, queue) => contrast(q, p, queue, 0.7),
    large: 21,
    order: 0,
  },
  "infoNCE against thousands": {
    f: (q, p, queue) => infoNCE(q, p, queue.mul(THOUSANDS), { temperature: 0.7, reduction: "none" }),
    inputs: [narrow(5, 3), narrow(5, 3), { shape: [3, 1], domain: [0.5, 1] }],
    meaning: (q, p, queue) => contrast(q, p, queue.mul(THOUSANDS), 0.7),
    large: 0,
    order: 0,
  },
  ntXent: {
    f: (a, b) => ntXent(uneven(a), uneven(b), { temperature: 0.5 }),
    inputs: [plain("n", 3), plain("n", 3)],
    gradientTolerance: 4e-4,
    large: 11,
  },
};

/** By name. */
export const ATTENTION_AND_CONTRAST: KitCases = { ...ATTENTION, ...CONTRAST };
