/** Losses, activations, and derivatives of one's own: each held to its formula. */
import {
  binaryCrossEntropyWithLogits,
  checkpoint,
  crossEntropy,
  customGradient,
  glu,
  grad,
  hardSigmoid,
  hardSwish,
  hessian,
  huberLoss,
  hvp,
  jacobian,
  jvp,
  klDivergence,
  l1Loss,
  leakyRelu,
  linearize,
  meanSquaredError,
  mish,
  nllLoss,
  noGrad,
  oneHot,
  smoothL1Loss,
  stack,
  tensor,
  tripletMarginLoss,
  vicReg,
} from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import type { KitCases } from "./case.ts";
import { MATRIX } from "./case.ts";

const narrow = (...shape: (number | string)[]) => ({ shape, domain: [-1, 1] }) as const;
const labels = { shape: ["n"], dtype: "i32", domain: [0, 3] } as const;

const logShares = (x: Tensor): Tensor => x.sub(x.exp().sum(-1, true).log());
const target = (y: Tensor, smoothing: number): Tensor =>
  oneHot(y, 4)
    .mul(1 - smoothing)
    .add(smoothing / 4);

const LOSSES: KitCases = {
  crossEntropy: {
    f: (x, y) => [
      crossEntropy(x, y),
      crossEntropy(x, y, { reduction: "sum" }),
      crossEntropy(x, y, { labelSmoothing: 0.1, reduction: "none" }),
      crossEntropy(x, y, { labelSmoothing: 0.5 }),
    ],
    inputs: [["n", 4], labels],
    meaning: (x, y) => {
      const of = (smoothing: number): Tensor => logShares(x).mul(target(y, smoothing)).sum(-1).neg();
      return [of(0).mean(), of(0).sum(), of(0.1), of(0.5).mean()];
    },
  },
  "crossEntropy of labels that are ignored": {
    f: (x, y) => crossEntropy(x, y, { ignoreIndex: 2, reduction: "sum" }),
    inputs: [["n", 4], labels],
    meaning: (x, y) => logShares(x).mul(target(y, 0)).sum(-1).mul(y.ne(2).cast("f32")).sum().neg(),
  },
  "crossEntropy of a label outside that is ignored": {
    f: (x) => crossEntropy(x, tensor(Int32Array.of(1, -100, 3)), { reduction: "none" }),
    inputs: [[3, 4]],
    meaning: (x) =>
      logShares(x)
        .mul(tensor([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], { shape: [3, 4] }))
        .sum(-1)
        .neg(),
  },
  "losses of pairs": {
    f: (x, y) => [
      meanSquaredError(x, y),
      l1Loss(x, y),
      huberLoss(x, y, { delta: 0.7 }),
      smoothL1Loss(x, y, { beta: 0.7, reduction: "none" }),
      binaryCrossEntropyWithLogits(x, y.sigmoid()),
    ],
    inputs: [MATRIX, MATRIX],
    meaning: (x, y) => {
      const gap = x.sub(y).abs();
      const bent = gap.lt(0.7).where(gap.square().mul(0.5), gap.sub(0.35).mul(0.7));
      const p = y.sigmoid();
      return [gap.square().mean(), gap.mean(), bent.mean(), bent.div(0.7), x.exp().add(1).log().sub(x.mul(p)).mean()];
    },
  },
  "losses of distributions": {
    f: (x, y, at) => [
      klDivergence(logShares(x), logShares(y).exp(), { reduction: "sum" }),
      nllLoss(logShares(x), at),
      tripletMarginLoss(x, y, x.mul(-0.5), { margin: 2 }),
    ],
    inputs: [["n", 4], ["n", 4], labels],
    order: 1,
  },
  vicReg: {
    f: (x, y) => vicReg(x, y),
    inputs: [
      [4, 3],
      [4, 3],
    ],
    large: 0,
    order: 1,
  },
};

const ACTIVATIONS: KitCases = {
  activations: {
    f: (x) => [
      leakyRelu(x, 0.125),
      mish(x),
      hardSigmoid(x),
      hardSwish(x),
      glu(x.expand([2, ...x.shape]), 0).squeeze(0),
    ],
    inputs: [{ shape: MATRIX, domain: [-5, 5] }],
    meaning: (x) => [
      x.maximum(0).add(x.minimum(0).mul(0.125)),
      x.mul(x.exp().add(1).log().tanh()),
      x.add(3).clamp(0, 6).div(6),
      x.mul(x.add(3).clamp(0, 6)).div(6),
      x.mul(x.sigmoid()),
    ],
  },
  // Where there is no derivative, PyTorch's.
  kinks: {
    f: (x) => [x.relu(), x.abs(), x.elu(), x.maximum(tensor([1, 0, 5]))],
    inputs: [tensor([0, 0, 2])],
    meaning: (x) => [
      x.mul(tensor([0, 0, 1])),
      x.mul(tensor([0, 0, 1])),
      x,
      x.mul(tensor([0, 0.5, 0])).add(tensor([1, 0, 5])),
    ],
    order: 0,
  },
};

/** x³ and its slope as a gradient of one's own, of two results. */
const cubes = customGradient(
  (x: Tensor, y: Tensor) => [x.mul(x).mul(x), y.mul(x)],
  ([dcube, dproduct], [x, y]) => [dcube.mul(x.square()).mul(3).add(dproduct.mul(y)), dproduct.mul(x)],
);

/** eˣ, whose slope is its result: it must keep its history for second derivatives. */
const ownExp = customGradient(
  (x: Tensor) => x.exp(),
  ([dy], _, [y]) => [dy.mul(y)],
);

const f2 = (x: Tensor): Tensor => x.square().sin().mul(x.flip(0));

const DERIVATIVES: KitCases = {
  "a gradient of one's own": {
    f: (x, y) => {
      const [cube, product] = cubes(x.tanh(), y);
      return [cube, product.mul(2)];
    },
    inputs: [["n"], ["n"]],
    meaning: (x, y) => [x.tanh().pow(3), y.mul(x.tanh()).mul(2)],
  },
  "a gradient of one's own, of the second result alone": {
    f: (x, y) => cubes(x, y)[1],
    inputs: [["n"], ["n"]],
    meaning: (x, y) => y.mul(x),
  },
  "a gradient of one's own, of its result": {
    f: (x) => ownExp(x.mul(0.5)),
    inputs: [["n"]],
    meaning: (x) => x.mul(0.5).exp(),
  },
  tangents: {
    f: (x, v) => {
      const [value, slope] = jvp(f2, [x], [v]);
      return [value, slope, linearize(f2, [x])[1]([v])];
    },
    inputs: [["n"], ["n"]],
    meaning: (x, v) => {
      const slope = x
        .square()
        .cos()
        .mul(2)
        .mul(x)
        .mul(x.flip(0))
        .mul(v)
        .add(x.square().sin().mul(v.flip(0)));
      return [f2(x), slope, slope];
    },
    order: 1,
  },
  "tangents of two results": {
    f: (x, y, v, w) => jvp((a: Tensor, b: Tensor) => [a.mul(b), b.sum(), a.square()], [x, y], [v, w])[1],
    inputs: [["n"], ["n"], ["n"], ["n"]],
    meaning: (x, y, v, w) => [v.mul(y).add(x.mul(w)), w.sum(), x.mul(v).mul(2)],
    order: 1,
  },
  "tables of derivatives": {
    f: (x) => [
      jacobian((t: Tensor) => t.square().sum(0), x),
      jacobian((t: Tensor) => stack([t, t.sin(), t.mul(3)]), x),
      hessian((t: Tensor) => t.pow(3).sum(), x),
      hvp((t: Tensor) => t.pow(3).sum(), x, x.add(1)),
    ],
    inputs: [[3]],
    meaning: (x) => {
      const diagonal = (t: Tensor): Tensor =>
        t.unsqueeze(1).mul(tensor([1, 0, 0, 0, 1, 0, 0, 0, 1], { shape: [3, 3] }));
      return [
        x.mul(2),
        stack([diagonal(x.mul(0).add(1)), diagonal(x.cos()), diagonal(x.mul(0).add(3))]),
        diagonal(x.mul(6)),
        x.mul(6).mul(x.add(1)),
      ];
    },
    order: 0,
    large: 0,
  },
  "tables of derivatives of few from many, and of many from few": {
    f: (x) => [
      jacobian((t: Tensor) => t.matmul(tensor([1, 2, 3, 4, 5, 6], { shape: [3, 2] })), x),
      jacobian(
        (t: Tensor) =>
          t
            .sum(0)
            .expand([2, 4])
            .mul(tensor([1, 2, 3, 4])),
        x.slice([0, 1]),
      ),
      jacobian((t: Tensor) => t.unsqueeze(0).mul(t.unsqueeze(1)), x),
    ],
    inputs: [[3]],
    meaning: (x) => [
      tensor([1, 3, 5, 2, 4, 6], { shape: [2, 3] }).add(x.sum().mul(0)),
      tensor([1, 2, 3, 4, 1, 2, 3, 4], { shape: [2, 4, 1] }).add(x.sum().mul(0)),
      tensor(
        Array.from({ length: 27 }, (_, at) => Number(Math.floor(at / 9) === at % 3)),
        { shape: [3, 3, 3] },
      )
        .mul(x.reshape([1, 3, 1]))
        .add(
          tensor(
            Array.from({ length: 27 }, (_, at) => Number(Math.floor(at / 3) % 3 === at % 3)),
            { shape: [3, 3, 3] },
          ).mul(x.reshape([3, 1, 1])),
        ),
    ],
    order: 0,
    large: 0,
  },
  "gradients of gradients": {
    f: (x, y) => {
      const slope = grad((t: Tensor) => t.square().mul(y).tanh().sum());
      return [slope(x), grad((t: Tensor) => slope(t).square().sum())(x)];
    },
    inputs: [narrow("n"), narrow("n")],
    order: 2,
    large: 9,
  },
  "gradients that are stopped": {
    f: (x, y) => [
      x.detach().mul(y),
      x.mul(x.detach()),
      y.detach().tanh().add(x),
      noGrad(() => x.square().mul(y)).mul(x),
    ],
    inputs: [tensor([1, 2, -3]), tensor([0.5, -1, 0.25])],
    // A constant of the same value has no gradient.
    meaning: (x, y) => {
      const [a, b] = [tensor([1, 2, -3]), tensor([0.5, -1, 0.25])];
      return [a.mul(y), x.mul(a), b.tanh().add(x), a.square().mul(b).mul(x)];
    },
    order: 0,
  },
  "a function that is computed again for its gradient": {
    f: (x, y) => {
      const [a, b] = checkpoint((t: Tensor, u: Tensor) => [t.mul(u).tanh(), t.square().sum(1)])(x, y);
      return [a.square(), b.mul(2), checkpoint((t: Tensor) => t.sin().mul(y))(a)];
    },
    inputs: [MATRIX, MATRIX],
    meaning: (x, y) => {
      const a = x.mul(y).tanh();
      return [a.square(), x.square().sum(1).mul(2), a.sin().mul(y)];
    },
    large: 7,
  },
};

/** By name. */
export const LOSSES_AND_DERIVATIVES: KitCases = { ...LOSSES, ...ACTIVATIONS, ...DERIVATIVES };
