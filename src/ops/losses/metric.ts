/** Losses of distances between vectors: cosine, triplets, margins. */
import { formatShape, sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkOptions, requireTensor, requireFloat } from "../../tensor/door/door.ts";
import type { LossOptions } from "./reduction.ts";
import { reduceLoss, requireAtLeast, requirePair } from "./reduction.ts";
import { widened } from "../autocast.ts";

/**
 * x·y / (max(|x|, `epsilon`)·max(|y|, `epsilon`)) along `axis` (torch.nn.functional.cosine_similarity). Both of one
 * shape [..., D]; gives [...].
 */
export function cosineSimilarity(x: Tensor, y: Tensor, axis = -1, epsilon = 1e-8): Tensor {
  requirePair("cosineSimilarity", ["x", "y"], x, y);
  x = widened(x);
  y = widened(y);
  // The root is of a sum that is at least ε², so that its gradient at a vector of zeros is one of finite numbers.
  const length = (v: Tensor): Tensor =>
    v
      .square()
      .sum(axis)
      .maximum(epsilon * epsilon)
      .sqrt();
  return x
    .mul(y)
    .sum(axis)
    .div(length(x).mul(length(y)));
}

/** Options of losses with a margin. */
export interface MarginOptions extends LossOptions {
  readonly margin?: number;
}

/**
 * 1 − cos(x, y) where `target` is 1, max(0, cos(x, y) − margin) where it is −1 (torch.nn.functional.cosine_embedding_loss;
 * margin 0 by default). `x` and `y` [..., D]; `target` [...].
 */
export function cosineEmbeddingLoss(x: Tensor, y: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
  checkOptions("cosineEmbeddingLoss", options, ["reduction", "margin"]);
  const { reduction, margin = 0 } = options;
  requireTensor("cosineEmbeddingLoss", "target", target);
  const alike = cosineSimilarity(x, y);
  if (!sameShape(target.shape, alike.shape))
    throw new Error(
      `cosineEmbeddingLoss: target is ${formatShape(target.shape)}; it must be ${formatShape(alike.shape)}, one of 1 or −1 a pair`,
    );
  return reduceLoss(target.gt(0).where(alike.neg().add(1), alike.sub(margin).relu()), reduction);
}

/** Options of `tripletMarginLoss`. */
export interface TripletOptions extends MarginOptions {
  /** Which norm of the differences is the distance: 2 (default), or another number of at least 1. */
  readonly p?: number;
  /**
   * Whether the nearer of anchor and positive counts for the negative's distance (Balntas et al. 2016); default false.
   */
  readonly swap?: boolean;
}

/**
 * max(0, d(anchor, positive) − d(anchor, negative) + margin), margin 1 by default (torch.nn.functional.triplet_margin_loss;
 * Schroff et al. 2015, FaceNet, eq. 1). All [..., D]; ε = 1e-6 is added to every difference, as PyTorch does.
 */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletOptions = {},
): Tensor {
  checkOptions("tripletMarginLoss", options, ["reduction", "margin", "p", "swap"]);
  const { reduction, margin = 1, p = 2, swap = false } = options;
  requirePair("tripletMarginLoss", ["anchor", "positive"], anchor, positive);
  requirePair("tripletMarginLoss", ["anchor", "negative"], anchor, negative);
  anchor = widened(anchor);
  positive = widened(positive);
  negative = widened(negative);
  requireAtLeast("tripletMarginLoss", "p", p, 1);
  const near = distance(anchor, positive, p);
  const far = distance(anchor, negative, p);
  const other = swap ? far.minimum(distance(positive, negative, p)) : far;
  return reduceLoss(near.sub(other).add(margin).relu(), reduction);
}

/** The p-norm of x − y + 1e-6 along the last axis (torch.nn.functional.pairwise_distance). */
function distance(x: Tensor, y: Tensor, p: number): Tensor {
  const difference = x.sub(y).add(1e-6);
  if (p === 2) return difference.square().sum(-1).sqrt();
  const size = difference.abs();
  return p === 1
    ? size.sum(-1)
    : size
        .pow(p)
        .sum(-1)
        .pow(1 / p);
}

/**
 * max(0, −target·(first − second) + margin), with targets of 1 (first should be larger) or −1
 * (torch.nn.functional.margin_ranking_loss; margin 0 by default). All of one shape.
 */
export function marginRankingLoss(first: Tensor, second: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
  checkOptions("marginRankingLoss", options, ["reduction", "margin"]);
  const { reduction, margin = 0 } = options;
  requirePair("marginRankingLoss", ["first", "second"], first, second);
  first = widened(first);
  second = widened(second);
  requireTensor("marginRankingLoss", "target", target);
  requireFloat("marginRankingLoss", target);
  return reduceLoss(first.sub(second).mul(target.neg()).add(margin).relu(), reduction);
}
