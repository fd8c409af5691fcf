/** Draws of the losses: pairs of tensors, targets, options. */
import * as ops from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import type { Draw } from "../support/draw.ts";
import type { Maker } from "./spatial-cases.ts";

const reduction = (draw: Draw) => draw.pick(["mean", "sum", "none"] as const);

/** A loss of two floating tensors of one shape, whose values lie in the domains. */
function pair<O extends object>(
  name: string,
  f: (x: Tensor, y: Tensor, options: O) => Tensor,
  domains: readonly [readonly [number, number], readonly [number, number]],
  optionsOf: (draw: Draw) => O,
  more: { readonly twice?: boolean } = {},
): Maker {
  return (draw, elements) => {
    const shape = draw.shape({ minRank: 1, maxRank: 3, elements });
    const [x, y] = [draw.operand(shape, { domain: [...domains[0]] }), draw.operand(shape, { domain: [...domains[1]] })];
    const options = optionsOf(draw);
    return {
      name: `${name} (${x.how}; ${y.how}) ${JSON.stringify(options)}`,
      leaves: [x.leaf, y.leaf],
      ...more,
      f: (a, b) => f(x.view(a), y.view(b), options),
    };
  };
}

/** A loss of vectors [N, D]. */
function vectors(name: string, count: number, f: (draw: Draw) => (...vectors: Tensor[]) => Tensor, rows = 2): Maker {
  return (draw, elements) => {
    const shape = [rows + draw.int(0, 1), Math.max(2, Math.min(3, Math.floor(elements / 6)))];
    const domains: [number, number][] = [
      [0.2, 1],
      [-1, -0.2],
      [1.5, 2],
    ];
    const leaves = domains.slice(0, count).map((domain) => draw.operand(shape, { domain }));
    const apply = f(draw);
    return {
      name: `${name} of [${shape.join(", ")}]`,
      leaves: leaves.map(({ leaf }) => leaf),
      f: (...given) => apply(...given.map((t, i) => leaves[i]!.view(t))),
    };
  };
}

/** A target of −1 for every row. */
const signs = (like: Tensor): Tensor => like.slice(null, 0).detach().mul(0).sub(1);

export const LOSSES: Readonly<Record<string, Maker>> = {
  l1Loss: pair(
    "l1Loss",
    ops.l1Loss,
    [
      [-1, 0],
      [0.5, 1],
    ],
    (draw) => ({ reduction: reduction(draw) }),
  ),
  huberLoss: pair(
    "huberLoss",
    ops.huberLoss,
    [
      [-1, 0],
      [0.5, 1],
    ],
    (draw) => ({
      reduction: reduction(draw),
      delta: draw.pick([0.1, 5]),
    }),
  ),
  smoothL1Loss: pair(
    "smoothL1Loss",
    ops.smoothL1Loss,
    [
      [-1, 0],
      [0.5, 1],
    ],
    (draw) => ({
      reduction: reduction(draw),
      beta: draw.pick([0, 0.1, 5]),
    }),
  ),
  binaryCrossEntropy: pair(
    "binaryCrossEntropy",
    ops.binaryCrossEntropy,
    [
      [0.2, 0.8],
      [0.1, 0.9],
    ],
    (draw) => ({
      reduction: reduction(draw),
    }),
  ),
  binaryCrossEntropyWithLogits: pair(
    "binaryCrossEntropyWithLogits",
    ops.binaryCrossEntropyWithLogits,
    [
      [-3, 3],
      [0.1, 0.9],
    ],
    (draw) => ({ reduction: reduction(draw) }),
  ),
  focalLoss: pair(
    "focalLoss",
    ops.focalLoss,
    [
      [-2, 2],
      [0.1, 0.9],
    ],
    (draw) => ({
      reduction: reduction(draw),
      alpha: draw.pick([-1, 0.25, 0.7]),
      gamma: draw.pick([0, 2]),
    }),
  ),
  klDivergence: pair(
    "klDivergence",
    ops.klDivergence,
    [
      [-2, -0.1],
      [0.1, 0.9],
    ],
    (draw) => ({
      reduction: draw.pick(["mean", "sum", "none", "batchmean"] as const),
    }),
  ),
  nllLoss(draw, elements) {
    const shape = draw.shape({ minRank: 1, maxRank: 3, elements });
    const classes = shape[shape.length - 1]!;
    const labels = draw.data(shape.slice(0, -1), { dtype: draw.pick(["i32", "u32"]) });
    labels.data.forEach((_, i) => (labels.data[i] = draw.int(0, classes - 1)));
    const x = draw.operand(shape);
    const options = { reduction: reduction(draw) };
    return {
      name: `nllLoss (${x.how}) ${JSON.stringify(options)}`,
      leaves: [x.leaf, labels],
      f: (t, l) => ops.nllLoss(x.view(t), l, options),
    };
  },
  cosineSimilarity: vectors("cosineSimilarity", 2, () => (x, y) => ops.cosineSimilarity(x!, y!)),
  cosineEmbeddingLoss: vectors("cosineEmbeddingLoss", 2, (draw) => {
    const options = { margin: -1.5, reduction: reduction(draw) };
    return (x, y) => ops.cosineEmbeddingLoss(x!, y!, signs(x!), options);
  }),
  tripletMarginLoss: vectors("tripletMarginLoss", 3, (draw) => {
    const options = { margin: 10, p: draw.pick([2, 3]), reduction: reduction(draw) };
    return (x, y, z) => ops.tripletMarginLoss(x!, y!, z!, options);
  }),
  marginRankingLoss: vectors("marginRankingLoss", 2, (draw) => {
    const options = { margin: 5, reduction: reduction(draw) };
    return (x, y) => ops.marginRankingLoss(x!, y!, x!.detach().mul(0).add(1), options);
  }),
  vicReg: vectors("vicReg", 2, () => (x, y) => ops.vicReg(x!, y!)),
  // Of two rows all columns are ±1, whatever they hold: no derivatives to compare.
  barlowTwins: vectors("barlowTwins", 2, () => (x, y) => ops.barlowTwins(x!, y!, { epsilon: 0.01 }), 4),
};
