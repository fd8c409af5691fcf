/** Layers, optimizers, first values and what they keep from call to call: each held to its formula. */
import { Generator, ones, tensor, variable, zeros } from "../../src/index.ts";
import type { Tensor, Variable } from "../../src/index.ts";
import {
  Adam,
  AdamW,
  BatchNorm1d,
  BatchNorm2d,
  Conv1d,
  Conv2d,
  ConvTranspose2d,
  Dropout,
  Embedding,
  emaUpdate,
  GradScaler,
  GroupNorm,
  GRU,
  KeyValueCache,
  kaimingNormal,
  kaimingUniform,
  LayerNorm,
  Linear,
  Lion,
  LSTM,
  MultiHeadAttention,
  orthogonal,
  RMSprop,
  RMSNorm,
  Sequential,
  SGD,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  xavierNormal,
  xavierUniform,
} from "../../src/nn/index.ts";
import type { CheckedModule, Input } from "../../src/testing/index.ts";
import type { KitCases } from "./case.ts";

const narrow = (...shape: (number | string)[]) => ({ shape, domain: [-1, 1] }) as const;
const from = (): { readonly generator: Generator } => ({ generator: new Generator(5) });

/** A layer whose forward takes and gives tensors. */
interface Layer extends CheckedModule {
  train(on?: boolean): unknown;
}

/** Layers and what they are given. */
export const LAYERS: Readonly<Record<string, readonly [make: () => Layer, inputs: readonly Input[]]>> = {
  Linear: [() => new Linear(3, 5, from()), [["n", 3]]],
  perceptron: [
    () => new Sequential(new Linear(3, 5, from()), (x) => x.tanh(), new LayerNorm(5), new Linear(5, 2, from())),
    [["n", 3]],
  ],
  Conv1d: [() => new Conv1d(2, 3, 3, { padding: 1, ...from() }), [["n", 2, 5]]],
  Conv2d: [
    () => new Conv2d(2, 4, 3, { padding: "same", groups: 2, paddingMode: "reflect", ...from() }),
    [["n", 2, 4, 5]],
  ],
  ConvTranspose2d: [() => new ConvTranspose2d(2, 3, 3, { stride: 2, ...from() }), [["n", 2, 3, 2]]],
  BatchNorm2d: [() => new BatchNorm2d(2), [[3, 2, 3, 2]]],
  GroupNorm: [() => new GroupNorm(2, 4), [[2, 4, 3]]],
  RMSNorm: [() => new RMSNorm(4), [{ shape: ["n", 4], domain: [0.5, 2] }]],
  GRU: [() => new GRU(3, 2, { bidirectional: true, ...from() }) as never, [narrow(3, "n", 3)]],
  LSTM: [() => new LSTM(3, 2, { numLayers: 2, ...from() }) as never, [narrow(3, "n", 3)]],
  TransformerEncoderLayer: [
    () => new TransformerEncoderLayer(4, 2, { feedForward: 6, dropout: 0, batchFirst: true, ...from() }),
    [narrow("n", 3, 4)],
  ],
  TransformerDecoderLayer: [
    () => new TransformerDecoderLayer(4, 2, { feedForward: 6, dropout: 0, batchFirst: true, ...from() }) as never,
    [narrow("n", 3, 4), narrow("n", 2, 4)],
  ],
};

const state = { gradients: false, large: 9 } as const;

/** The statistics of [n, c, 5] over its batch and places. */
function statisticsOf(x: Tensor): { readonly mean: Tensor; readonly variance: Tensor; readonly unit: Tensor } {
  const mean = x.mean([0, 2], true);
  const variance = x.sub(mean).square().mean([0, 2], true);
  return { mean, variance, unit: x.sub(mean).div(variance.add(1e-5).sqrt()) };
}

const MODES: KitCases = {
  "batch norm while it trains, and after": {
    f: (x) => {
      const layer = new BatchNorm1d(3);
      const trained = layer.forward(x);
      const kept = [layer.running_mean!.mul(1), layer.running_var!.mul(1)];
      layer.eval();
      return [trained, ...kept, layer.forward(x)];
    },
    inputs: [narrow("n", 3, 5)],
    meaning: (x) => {
      const { mean, variance, unit } = statisticsOf(x);
      const count = x.shape[0] * 5;
      const [m, v] = [
        mean.mul(0.1),
        variance
          .mul(count / (count - 1))
          .mul(0.1)
          .add(0.9),
      ];
      return [unit, m.flatten(), v.flatten(), x.sub(m).div(v.add(1e-5).sqrt())];
    },
    ...state,
    tolerance: 1e-4,
  },
  "dropout while it trains, and after": {
    f: (x) => {
      const layer = new Dropout(0.25, new Generator(3));
      const dropped = layer.forward(ones([100, 100]));
      const again = layer.forward(ones([100, 100]));
      layer.eval();
      const share = dropped.eq(0).cast("f32").mean();
      return [
        dropped
          .eq(0)
          .or(
            dropped
              .sub(4 / 3)
              .abs()
              .lt(1e-5),
          )
          .all(),
        share.sub(0.25).abs().lt(0.02),
        again.ne(dropped).any(),
        layer.forward(x),
      ];
    },
    inputs: [["n", 3]],
    meaning: (x) => [x.eq(x).all(), x.eq(x).all(), x.eq(x).all(), x],
    ...state,
  },
  "rows of an embedding": {
    f: (at) => {
      const layer = new Embedding(7, 3, { paddingIndex: 2, ...from() });
      return layer.forward(at).sub(layer.weight.take(at.flatten()).reshape([...at.shape, 3]));
    },
    inputs: [{ shape: ["n", "m"], dtype: "i32", domain: [0, 6] }],
    meaning: (at) =>
      at
        .unsqueeze(-1)
        .expand([...at.shape, 3])
        .cast("f32")
        .mul(0),
    ...state,
  },
  "attention step by step from a cache": {
    f: (x) => {
      const layer = new MultiHeadAttention(4, 2, { batchFirst: true, ...from() });
      const cache = new KeyValueCache({ layers: 1, batch: x.shape[0], heads: 2, steps: 6, dim: 2 });
      const parts = [
        [0, 2],
        [2, 3],
        [3, 5],
      ].map(([begin, end]) => {
        const y = layer.forward(x.slice(null, [begin, end]), { cache: cache.layers[0] });
        cache.advance(end - begin);
        return y;
      });
      return parts;
    },
    inputs: [narrow("n", 5, 4)],
    meaning: (x) => {
      const layer = new MultiHeadAttention(4, 2, { batchFirst: true, ...from() });
      const y = layer.forward(x, { causal: true });
      return [
        [0, 2],
        [2, 3],
        [3, 5],
      ].map(([begin, end]) => y.slice(null, [begin, end]));
    },
    ...state,
  },
};

/** Three steps of an optimizer by given gradients, on a parameter beside one that has none. */
const stepped =
  (make: (parameters: Variable[]) => { step(): void; parameters: readonly Variable[] }) =>
  (p: Tensor, ...slopes: Tensor[]): Tensor[] => {
    const [own, other] = [variable(p), variable(p.mul(2))];
    const optimizer = make([other, own]);
    const seen: Tensor[] = [];
    for (const slope of slopes) {
      own.grad = slope;
      optimizer.step();
      seen.push(own.mul(1));
    }
    // One whose first gradient comes later takes its first step then.
    other.grad = slopes[0];
    own.grad = undefined;
    optimizer.step();
    return [...seen, own.mul(1), other.mul(1)];
  };

type Rule = (p: Tensor, g: Tensor, kept: Tensor[], t: number) => readonly [p: Tensor, kept: Tensor[]];

const ruled =
  (slots: number, rule: Rule) =>
  (p: Tensor, ...slopes: Tensor[]): Tensor[] => {
    const empty = (): Tensor[] => Array.from({ length: slots }, () => p.mul(0));
    let [at, kept] = [p, empty()];
    const seen: Tensor[] = [];
    slopes.forEach((slope, i) => {
      [at, kept] = rule(at, slope, kept, i + 1);
      seen.push(at);
    });
    return [...seen, at, rule(p.mul(2), slopes[0], empty(), 1)[0]];
  };

const GIVEN = [["n"], ["n"], ["n"], ["n"]] as const;

const adam =
  (decay: number, outside: boolean): Rule =>
  (given, slope, [m, v], t) => {
    const p = outside ? given.mul(1 - 0.1 * decay) : given;
    const g = outside ? slope : slope.add(p.mul(decay));
    const mean = m.mul(0.8).add(g.mul(0.2));
    const square = v.mul(0.9).add(g.square().mul(0.1));
    const root = square
      .div(1 - 0.9 ** t)
      .sqrt()
      .add(1e-6);
    return [
      p.sub(
        mean
          .div(1 - 0.8 ** t)
          .div(root)
          .mul(0.1),
      ),
      [mean, square],
    ];
  };

const sgd =
  (momentum: number, dampening: number, nesterov: boolean, decay: number): Rule =>
  (p, slope, [b], t) => {
    const g = slope.add(p.mul(decay));
    const next = b.mul(momentum).add(g.mul(t === 1 ? 1 : 1 - dampening));
    return [p.sub((nesterov ? g.add(next.mul(momentum)) : next).mul(0.1)), [next]];
  };

/** The old value stands wherever it was read; the new one is made of the old one as it was. */
const ASSIGNED: KitCases = {
  "variables assigned what is made of themselves": {
    f: (p) => {
      const v = variable(p);
      const before = v.mul(3);
      v.assign(v.flip(0).mul(2).add(v.transpose().reshape(v.shape)));
      const between = v.mul(1);
      v.assign(v.flip(1));
      return [before, between, v.mul(1)];
    },
    meaning: (p) => {
      const next = p.flip(0).mul(2).add(p.transpose().reshape(p.shape));
      return [p.mul(3), next, next.flip(1)];
    },
    inputs: [["n", "m"]],
    ...state,
    large: 60,
  },
  "variables that change places": {
    f: (p, q) => {
      const [v, w] = [variable(p), variable(q)];
      const [a, b] = [v.mul(1), w.mul(1)];
      const sum = v.matmul(w.transpose()).sum(0);
      v.assign(b);
      w.assign(a.add(1));
      return [sum, v.mul(1), w.mul(1), a.sub(b)];
    },
    meaning: (p, q) => [p.matmul(q.transpose()).sum(0), q.mul(1), p.add(1), p.sub(q)],
    inputs: [
      ["n", "m"],
      ["n", "m"],
    ],
    ...state,
    large: 60,
  },
};

/** What `backward` leaves behind: sums, until they are taken away. */
const LEFT: KitCases = {
  "gradients of several passes": {
    f: (x, y) => {
      const v = variable(x);
      v.mul(y).sum().backward();
      const first = v.grad!.mul(1);
      v.square().sum().backward();
      const both = v.grad!.mul(1);
      v.grad = undefined;
      v.mul(3).sum().backward();
      return [first, both, v.grad!.mul(1)];
    },
    inputs: [["n"], ["n"]],
    meaning: (x, y) => [y.mul(1), y.add(x.mul(2)), x.mul(0).add(3)],
    ...state,
  },
};

const OPTIMIZERS: KitCases = {
  SGD: {
    f: stepped((p) => new SGD(p, { lr: 0.1, weightDecay: 0.2 })),
    meaning: ruled(1, sgd(0, 0, false, 0.2)),
    inputs: GIVEN,
    ...state,
  },
  "SGD with dampened momentum": {
    f: stepped((p) => new SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.4 })),
    meaning: ruled(1, sgd(0.9, 0.4, false, 0)),
    inputs: GIVEN,
    ...state,
  },
  "SGD of Nesterov": {
    f: stepped((p) => new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true })),
    meaning: ruled(1, sgd(0.9, 0, true, 0)),
    inputs: GIVEN,
    ...state,
  },
  Adam: {
    f: stepped((p) => new Adam(p, { lr: 0.1, betas: [0.8, 0.9], epsilon: 1e-6, weightDecay: 0.3 })),
    meaning: ruled(2, adam(0.3, false)),
    inputs: GIVEN,
    ...state,
  },
  AdamW: {
    f: stepped((p) => new AdamW(p, { lr: 0.1, betas: [0.8, 0.9], epsilon: 1e-6, weightDecay: 0.3 })),
    meaning: ruled(2, adam(0.3, true)),
    inputs: GIVEN,
    ...state,
  },
  RMSprop: {
    f: stepped((p) => new RMSprop(p, { lr: 0.1, alpha: 0.9, momentum: 0.5, epsilon: 1e-6 })),
    meaning: ruled(2, (p, g, [v, b]) => {
      const square = v.mul(0.9).add(g.square().mul(0.1));
      const next = b.mul(0.5).add(g.div(square.sqrt().add(1e-6)));
      return [p.sub(next.mul(0.1)), [square, next]];
    }),
    inputs: GIVEN,
    ...state,
  },
  Lion: {
    f: stepped((p) => new Lion(p, { lr: 0.1, betas: [0.8, 0.9], weightDecay: 0.3 })),
    meaning: ruled(1, (p, g, [m]) => [
      p.mul(1 - 0.03).sub(m.mul(0.8).add(g.mul(0.2)).sign().mul(0.1)),
      [m.mul(0.9).add(g.mul(0.1))],
    ]),
    inputs: GIVEN,
    ...state,
  },
  "an optimizer that starts again": {
    f: (p, g) => {
      const v = variable(p);
      const optimizer = new SGD([v], { lr: 0.1, momentum: 0.9 });
      for (let i = 0; i < 3; i++) {
        v.grad = g;
        optimizer.step();
        if (i === 1) optimizer.reset();
      }
      return v.mul(1);
    },
    meaning: (p, g) => p.sub(g.mul(0.1 + 0.19 + 0.1)),
    inputs: [["n"], ["n"]],
    ...state,
  },
  "a running average of parameters": {
    f: (p, q) => {
      const [target, source] = [variable(p), variable(q)];
      emaUpdate([target], [source], 0.75);
      return target.mul(1);
    },
    meaning: (p, q) => p.mul(0.75).add(q.mul(0.25)),
    inputs: [["n"], ["n"]],
    ...state,
  },
  "steps of scaled losses": {
    f: (p, x) => {
      const [v, w] = [variable(p), variable(p.mul(3))];
      const optimizer = new SGD([v, w], { lr: 0.1, momentum: 0.9 });
      const scaler = new GradScaler({ initScale: 8, growthInterval: 3 });
      const seen: Tensor[] = [];
      for (const factor of [1, Infinity, 2, 1, 1, 1]) {
        optimizer.zeroGrad();
        scaler.scale(v.add(w.mul(2)).mul(x).mul(factor).sum()).backward();
        scaler.step(optimizer);
        scaler.update();
        seen.push(v.mul(1), w.mul(1), ...[...scaler.stateDict().values()].map((t) => t.mul(1)));
      }
      return seen;
    },
    meaning: (p, x) => {
      let [v, b, scale, row] = [p, p.mul(0), 8, 0];
      let [w, c] = [p.mul(3), p.mul(0)];
      const seen: Tensor[] = [];
      for (const factor of [1, Infinity, 2, 1, 1, 1]) {
        if (factor === Infinity) [scale, row] = [scale / 2, 0];
        else {
          [b, c] = [b.mul(0.9).add(x.mul(factor)), c.mul(0.9).add(x.mul(2 * factor))];
          [v, w] = [v.sub(b.mul(0.1)), w.sub(c.mul(0.1))];
          row += 1;
          if (row === 3) [scale, row] = [2 * scale, 0];
        }
        seen.push(v, w, zeros([]).add(scale), tensor(Int32Array.of(row), { shape: [] }));
      }
      return seen;
    },
    inputs: [["n"], { shape: ["n"], domain: [0.5, 2] }],
    ...state,
  },
};

/** Whether draws lie in ±bound, reach nearly all of it, and have a mean near 0. */
const uniformly = (w: Tensor, bound: number): Tensor[] => [
  w
    .abs()
    .max()
    .le(bound * 1.00001),
  w
    .abs()
    .max()
    .ge(bound * 0.98),
  w
    .mean()
    .abs()
    .le(bound * 0.05),
];
const normally = (w: Tensor, deviation: number): Tensor[] => [
  w.square().mean().sqrt().div(deviation).sub(1).abs().lt(0.04),
  w
    .mean()
    .abs()
    .lt(deviation * 0.05),
];

const FIRST_VALUES: KitCases = {
  "first values of weights": {
    f: () => {
      const shape = [64, 48];
      const q = orthogonal([6, 20], { gain: 2, ...from() });
      const [relu, linear] = [Math.sqrt(2 / 48), Math.sqrt(1 / 48)];
      return [
        ...uniformly(kaimingUniform(shape, from()), Math.sqrt(3) * relu),
        ...uniformly(kaimingUniform(shape, { nonlinearity: "linear", ...from() }), Math.sqrt(3) * linear),
        ...normally(kaimingNormal(shape, from()), relu),
        ...uniformly(xavierUniform(shape, { gain: 1.5, ...from() }), 1.5 * Math.sqrt(6 / 112)),
        ...normally(xavierNormal(shape, { gain: 1.5, ...from() }), 1.5 * Math.sqrt(2 / 112)),
        ...uniformly(new Linear(48, 64, from()).weight.mul(1), Math.sqrt(1 / 48)),
        q.matmul(q.transpose()).sub(eye4(6)).abs().max().lt(1e-4),
      ];
    },
    inputs: [[1]],
    meaning: (x) => Array.from({ length: 17 }, () => x.eq(x).all()),
    gradients: false,
    large: 0,
  },
};

function eye4(n: number): Tensor {
  return tensor(
    Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 4 : 0)),
    { shape: [n, n] },
  );
}

/** By name. */
export const TRAINING: KitCases = { ...MODES, ...ASSIGNED, ...LEFT, ...OPTIMIZERS, ...FIRST_VALUES };
