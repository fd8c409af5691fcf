/** Losses of representation learning that need no negatives: VICReg and Barlow Twins. */
import { checkOptions } from "../../tensor/door/door.ts";
import { eye } from "../../tensor/create.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { meanSquaredError } from "./regression.ts";
import { requireAtLeast, requirePair } from "./reduction.ts";
import { widened } from "../autocast.ts";

/** Options of `vicReg`. */
export interface VicRegOptions {
  /** Weight of the invariance term; default 25. */
  readonly similarity?: number;
  /** Weight of the variance term; default 25. */
  readonly variance?: number;
  /** Weight of the covariance term; default 1. */
  readonly covariance?: number;
  /** Added to variances before their root; default 1e-4. */
  readonly epsilon?: number;
}

/**
 * VICReg of two views' embeddings, `first` and `second`, both [N, D] with N of at least 2 (Bardes, Ponce, LeCun 2022,
 * eqs. 1–6, as the authors' code has it: the variance term is the mean of both views' hinges, halved; covariances are
 * summed over both views). A scalar.
 */
export function vicReg(first: Tensor, second: Tensor, options: VicRegOptions = {}): Tensor {
  checkOptions("vicReg", options, ["similarity", "variance", "covariance", "epsilon"]);
  const { similarity = 25, variance = 25, covariance = 1, epsilon = 1e-4 } = options;
  requireViews("vicReg", first, second);
  first = widened(first);
  second = widened(second);
  const sides = [first, second].map((view) => view.sub(view.mean(0)));
  const spread = sides.map((centred) => {
    const deviation = centred
      .square()
      .sum(0)
      .div(centred.shape[0]! - 1)
      .add(epsilon)
      .sqrt();
    return deviation.neg().add(1).relu().mean().mul(0.5);
  });
  const shared = sides.map((centred) => {
    const [rows, width] = centred.shape as [number, number];
    const products = centred
      .transpose()
      .matmul(centred)
      .div(rows - 1);
    return products
      .mask(eye(width, width, first.dtype).eq(0))
      .square()
      .sum()
      .div(width);
  });
  return meanSquaredError(first, second)
    .mul(similarity)
    .add(spread[0]!.add(spread[1]!).mul(variance))
    .add(shared[0]!.add(shared[1]!).mul(covariance));
}

/** Options of `barlowTwins`. */
export interface BarlowTwinsOptions {
  /** Weight λ of the off-diagonal elements; default 0.0051. */
  readonly lambda?: number;
  /** Added to variances; default 1e-5, as batch normalisation has it. */
  readonly epsilon?: number;
}

/**
 * Barlow Twins of two views' embeddings, `first` and `second`, both [N, D] with N of at least 2: Σ (1 − Cᵢᵢ)² +
 * λ·Σ_{i≠j} Cᵢⱼ², where C is the correlation of the columns, normalised over the batch (Zbontar et al. 2021, eqs. 1 and
 * 2). A scalar.
 */
export function barlowTwins(first: Tensor, second: Tensor, options: BarlowTwinsOptions = {}): Tensor {
  checkOptions("barlowTwins", options, ["lambda", "epsilon"]);
  const { lambda = 0.0051, epsilon = 1e-5 } = options;
  requireViews("barlowTwins", first, second);
  first = widened(first);
  second = widened(second);
  requireAtLeast("barlowTwins", "lambda", lambda, 0);
  const [rows, width] = first.shape as [number, number];
  const [x, y] = [first, second].map((view) => {
    const centred = view.sub(view.mean(0));
    return centred.mul(centred.square().mean(0).add(epsilon).rsqrt());
  });
  const correlation = x!.transpose().matmul(y!).div(rows);
  const same = eye(width, width, first.dtype);
  return correlation
    .sub(same)
    .square()
    .mul(same.add(same.neg().add(1).mul(lambda)))
    .sum();
}

function requireViews(op: string, first: Tensor, second: Tensor): void {
  requirePair(op, ["first", "second"], first, second);
  if (first.rank === 2 && first.shape[0]! >= 2) return;
  throw new Error(`${op}: the views are ${formatShape(first.shape)}; they must be [N, D], N at least 2`);
}
