/** Softmax and its kin, normalisation, recurrences, attention, contrast and choice: each held to ordinary operations. */
import {
  arange,
  argsort,
  concat,
  cumprod,
  cumsum,
  filterLogits,
  groupNorm,
  gruScan,
  instanceNorm,
  l2Normalize,
  layerNorm,
  logSoftmax,
  logSumExp,
  lstmScan,
  ones,
  rmsNorm,
  segmentMax,
  softmax,
  sort,
  stack,
  tensor,
  topK,
  zeros,
} from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import type { KitCases } from "./case.ts";
import { MATRIX } from "./case.ts";

const narrow = (...shape: (number | string)[]) => ({ shape, domain: [-1, 1] }) as const;
const flags = (...shape: (number | string)[]) => ({ shape, dtype: "bool" }) as const;
/** Operands without equal elements: no views, which may repeat rows. */
const plain = (...shape: (number | string)[]) => ({ shape, views: false }) as const;
/** Rows that are not constant, however they are drawn. */
const uneven = (x: Tensor): Tensor => x.add(arange(x.shape.at(-1)!).square().mul(0.7));

const shares = (x: Tensor, axis = -1): Tensor => {
  const e = x.sub(x.detach().max(axis, true)).exp();
  return e.div(e.sum(axis, true));
};
const standard = (x: Tensor, axes: number[], epsilon = 1e-5): Tensor => {
  const centred = x.sub(x.mean(axes, true));
  return centred.div(centred.square().mean(axes, true).add(epsilon).sqrt());
};

const ROWS: KitCases = {
  softmax: {
    f: (x) => [softmax(x), softmax(x, 0)],
    inputs: [MATRIX],
    meaning: (x) => [shares(x), shares(x, 0)],
  },
  logSoftmax: {
    f: (x) => [logSoftmax(x), logSoftmax(x, 0)],
    inputs: [MATRIX],
    meaning: (x) => [shares(x).log(), shares(x, 0).log()],
  },
  logSumExp: {
    f: (x) => [logSumExp(x), logSumExp(x, 0, true)],
    inputs: [MATRIX],
    meaning: (x) => [x.exp().sum(-1).log(), x.exp().sum(0, true).log()],
  },
  "softmax of large numbers": {
    f: (x) => [softmax(x), logSoftmax(x), logSumExp(x)],
    inputs: [{ shape: MATRIX, domain: [-300, 300] }],
    order: 0,
  },
  l2Normalize: {
    f: (x) => [l2Normalize(uneven(x)), l2Normalize(x.mul(0), -1, 0.5)],
    inputs: [MATRIX],
    meaning: (x) => [uneven(x).div(uneven(x).square().sum(-1, true).sqrt()), x.mul(0)],
    gradientTolerance: 1e-4,
  },
  "l2Normalize below epsilon": {
    f: (x) => l2Normalize(x.mul(0.01), -1, 3),
    inputs: [[3, 4]],
    meaning: (x) => x.mul(0.01 / 3),
  },
  layerNorm: {
    f: (x, w, b) => [layerNorm(uneven(x), { weight: w, bias: b }), layerNorm(uneven(x))],
    inputs: [["n", "m"], ["m"], ["m"]],
    meaning: (x, w, b) => [standard(uneven(x), [1]).mul(w).add(b), standard(uneven(x), [1])],
    tolerance: 2e-5,
    gradientTolerance: 1e-3,
  },
  "layerNorm over two axes": {
    f: (x) => layerNorm(uneven(x), { shape: [3, 4] }),
    inputs: [["n", 3, 4]],
    meaning: (x) => standard(uneven(x), [1, 2]),
    gradientTolerance: 1e-3,
  },
  "other normalisations": {
    f: (x, w, b) => [
      rmsNorm(uneven(x), { epsilon: 0.1 }),
      groupNorm(uneven(x), 2, { weight: w, bias: b, epsilon: 0.1 }),
      instanceNorm(uneven(x), { epsilon: 0.1 }),
    ],
    inputs: [["n", 4, "m"], [4], [4]],
    meaning: (x, w, b) => {
      const u = uneven(x);
      const [n, , m] = x.shape;
      const grouped = standard(u.reshape([n, 2, 2 * m]), [2], 0.1).reshape(x.shape);
      return [
        u.div(u.square().mean(-1, true).add(0.1).sqrt()),
        grouped.mul(w.reshape([1, 4, 1])).add(b.reshape([1, 4, 1])),
        standard(u, [2], 0.1),
      ];
    },
    gradientTolerance: 1e-4,
    large: 9,
  },
  "running sums and products": {
    f: (x, p) => [cumsum(x, -1), cumsum(x, 0), cumprod(p, 1)],
    inputs: [MATRIX, { shape: MATRIX, domain: [0.5, 1.5] }],
    meaning: (x, p) => {
      const upTo = (n: number) => arange(n).unsqueeze(1).le(arange(n).unsqueeze(0)).cast("f32");
      const [n, m] = x.shape;
      return [x.matmul(upTo(m)), upTo(n).transpose().matmul(x), p.log().matmul(upTo(m)).exp()];
    },
    large: 70,
    gradientTolerance: 2e-4,
  },
  "running sums of long rows": {
    f: (x) => [cumsum(x, 1), cumsum(x.transpose(), 0)],
    inputs: [{ shape: [2, 300], domain: [-1, 1], views: false }],
    meaning: (x) => {
      const upTo = arange(300).unsqueeze(1).le(arange(300).unsqueeze(0)).cast("f32");
      return [x.matmul(upTo), x.matmul(upTo).transpose()];
    },
    large: 0,
    order: 1,
  },
  "order of elements": {
    f: (x) => {
      const steps = x.mul(2).round();
      return [
        argsort(argsort(steps)),
        sort(steps, { descending: true }).values,
        argsort(argsort(steps, { axis: 0 }), { axis: 0 }),
      ];
    },
    inputs: [MATRIX],
    meaning: (x) => {
      const steps = x.mul(2).round();
      const rank = (t: Tensor): Tensor => {
        const [a, b] = [t.unsqueeze(-1), t.unsqueeze(-2)];
        const place = arange(t.shape[1]);
        const before = b.lt(a).or(b.eq(a).and(place.unsqueeze(0).lt(place.unsqueeze(1)).unsqueeze(0)));
        return before.cast("i32").sum(-1);
      };
      return [rank(steps), sort(steps.neg()).values.neg(), rank(steps.transpose()).transpose()];
    },
    order: 0,
  },
  "order of many elements": {
    f: (x) => argsort(argsort(x.mul(9).round())),
    inputs: [plain(1, 130)],
    meaning: (x) => {
      const t = x.mul(9).round();
      const [a, b, place] = [t.unsqueeze(-1), t.unsqueeze(-2), arange(130)];
      return b
        .lt(a)
        .or(b.eq(a).and(place.unsqueeze(0).lt(place.unsqueeze(1)).unsqueeze(0)))
        .cast("i32")
        .sum(-1);
    },
    order: 0,
    large: 0,
  },
  topK: {
    f: (x) => Object.values(topK(x, 3)),
    inputs: [["n", 7]],
    order: 0,
    large: 15,
  },
  "topK of distinct elements": {
    f: (x) => topK(x.add(tensor([9, 0, 33, 5, 20])), 2).values.square(),
    inputs: [["n", 5]],
    meaning: (x) => {
      const moved = x.add(tensor([9, 0, 33, 5, 20]));
      return concat([moved.slice(null, [2, 3]), moved.slice(null, [4, 5])], 1).square();
    },
  },
  segmentMax: {
    f: (x) => segmentMax(x, [2, 1, 3]),
    inputs: [plain("n", 6, "m")],
    order: 0,
  },
  "likeliest of logits": {
    f: (x) => [
      filterLogits(x, { topK: 3 }).gt(-1e30),
      filterLogits(x, { topP: 0.6 }).gt(-1e30),
      filterLogits(x, { topP: 0.3, temperature: 2 }).gt(-1e30),
    ],
    inputs: [plain("n", 9)],
    meaning: (x) => {
      const above = (t: Tensor, weights: Tensor): Tensor =>
        t.unsqueeze(-2).gt(t.unsqueeze(-1)).where(weights.unsqueeze(-2), 0).sum(-1);
      return [above(x, ones(x.shape)).lt(3), above(x, shares(x)).lt(0.6), above(x, shares(x.div(2))).lt(0.3)];
    },
    order: 0,
    large: 0,
  },
};

type Step = (t: number, state: Tensor[]) => { state: Tensor[] };

/** Runs steps in the order of a direction; where the mask is 0 the state stays and the output is 0. */
function unrolled(steps: number, backwards: boolean, mask: Tensor | undefined, start: Tensor[], step: Step) {
  const outputs: Tensor[] = [];
  let state = start;
  for (let i = 0; i < steps; i++) {
    const t = backwards ? steps - 1 - i : i;
    const next = step(t, state).state;
    const open = mask?.slice([t, t + 1]).reshape([mask.shape[1], 1]);
    const kept = state;
    state = open ? next.map((now, k) => now.mul(open).add(kept[k].mul(open.neg().add(1)))) : next;
    outputs[t] = open ? state[0].mul(open) : state[0];
  }
  return { y: stack(outputs), state };
}

interface Given {
  readonly gates: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly start: Tensor[];
  readonly mask?: Tensor;
}

/** A recurrence by its cell, every direction: y [T, B, D·H], then the last states [D, B, H]. */
function recurrence(
  { gates, weight, bias, start, mask }: Given,
  cell: (x: Tensor, h: Tensor, state: Tensor[]) => Tensor[],
) {
  const [steps, batch, directions, width] = gates.shape;
  const runs = Array.from({ length: directions }, (_, d) => {
    const own = (t: Tensor): Tensor => t.slice([d, d + 1]).reshape(t.shape.slice(1));
    return unrolled(steps, d === 1, mask, start.map(own), (t, state) => {
      const x = gates.slice([t, t + 1], null, [d, d + 1]).reshape([batch, width]);
      return { state: cell(x, state[0].matmul(own(weight).transpose()).add(own(bias)), state) };
    });
  });
  return [
    concat(
      runs.map(({ y }) => y),
      2,
    ),
    ...start.map((_, k) => stack(runs.map(({ state }) => state[k]))),
  ];
}

const part = (t: Tensor, k: number, of: number): Tensor => {
  const width = t.shape[1] / of;
  return t.slice(null, [k * width, (k + 1) * width]);
};

const gruCell = (x: Tensor, h: Tensor, [state]: Tensor[]): Tensor[] => {
  const [r, z] = [0, 1].map((k) =>
    part(x, k, 3)
      .add(part(h, k, 3))
      .sigmoid(),
  );
  const n = part(x, 2, 3)
    .add(r.mul(part(h, 2, 3)))
    .tanh();
  return [z.neg().add(1).mul(n).add(z.mul(state))];
};
const lstmCell = (x: Tensor, h: Tensor, [, c]: Tensor[]): Tensor[] => {
  const all = x.add(h);
  const [i, f, o] = [0, 1, 3].map((k) => part(all, k, 4).sigmoid());
  const next = f.mul(c).add(i.mul(part(all, 2, 4).tanh()));
  return [o.mul(next.tanh()), next];
};

/** By numbers of features: few for differences, more for lanes of vectors and their rest. */
const scans = (hidden: number, directions: number, steps: number): KitCases => {
  const [three, four] = [3 * hidden, 4 * hidden];
  const more = {
    large: hidden > 3 ? 6 : 0,
    order: hidden > 3 ? 0 : directions === 1 ? 2 : 1,
    tolerance: 2e-5,
    gradientTolerance: 2e-4,
  } as const;
  const of = (width: number) => [
    narrow(steps, "b", directions, width),
    narrow(directions, width, hidden),
    narrow(directions, width),
    narrow(directions, "b", hidden),
  ];
  const masked = flags(steps, "b");
  const name = `of ${hidden} features, ${directions} directions`;
  return {
    [`gruScan ${name}`]: {
      f: (gates, weight, bias, h0) => Object.values(gruScan({ gates, weight, bias, h0 })),
      inputs: of(three),
      meaning: (gates, weight, bias, h0) => recurrence({ gates, weight, bias, start: [h0] }, gruCell),
      ...more,
    },
    [`gruScan with a mask ${name}`]: {
      f: (gates, weight, bias, h0, m) => Object.values(gruScan({ gates, weight, bias, h0, mask: m.cast("f32") })),
      inputs: [...of(three), masked],
      meaning: (gates, weight, bias, h0, m) =>
        recurrence({ gates, weight, bias, start: [h0], mask: m.cast("f32") }, gruCell),
      ...more,
    },
    [`lstmScan ${name}`]: {
      f: (gates, weight, bias, h0, c0) => Object.values(lstmScan({ gates, weight, bias, h0, c0 })),
      inputs: [...of(four), narrow(directions, "b", hidden)],
      meaning: (gates, weight, bias, h0, c0) => recurrence({ gates, weight, bias, start: [h0, c0] }, lstmCell),
      ...more,
    },
    [`lstmScan with a mask ${name}`]: {
      f: (gates, weight, bias, h0, c0, m) =>
        Object.values(lstmScan({ gates, weight, bias, h0, c0, mask: m.cast("f32") })),
      inputs: [...of(four), narrow(directions, "b", hidden), masked],
      meaning: (gates, weight, bias, h0, c0, m) =>
        recurrence({ gates, weight, bias, start: [h0, c0], mask: m.cast("f32") }, lstmCell),
      ...more,
    },
  };
};

const SEGMENTED: KitCases = {
  "gruScan of segments": {
    f: (gates, weight) => Object.values(gruScan({ gates, weight, segments: [2, 3, 1] })),
    inputs: [narrow(6, "b", 2, 15), narrow(2, 15, 5)],
    meaning: (gates, weight) => {
      const runs = [
        [0, 2],
        [2, 5],
        [5, 6],
      ].map(([from, to]) => {
        const own = gates.slice([from, to]);
        const start = [zeros([2, gates.shape[1], 5])];
        return recurrence({ gates: own, weight, bias: zeros([2, 15]), start }, gruCell);
      });
      return [
        concat(runs.map(([y]) => y)),
        concat(
          runs.map(([, h]) => h),
          1,
        ),
      ];
    },
    large: 4,
    order: 0,
    gradientTolerance: 2e-4,
  },
};

/** By name. */
export const SEQUENCES: KitCases = {
  ...ROWS,
  ...scans(2, 1, 3),
  ...scans(1, 2, 2),
  ...scans(7, 2, 5),
  ...scans(18, 1, 4),
  ...SEGMENTED,
};
