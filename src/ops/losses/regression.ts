/** Losses between two tensors of numbers: squared, absolute, Huber's. */
import { checkOptions } from "../../tensor/door/door.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { LossOptions, Reduction } from "./reduction.ts";
import { reduceLoss, requireAbove, requireAtLeast, requirePair } from "./reduction.ts";
import { widened } from "../autocast.ts";

const NAMES = ["prediction", "target"] as const;

/** (prediction − target)², averaged by default (torch.nn.functional.mse_loss). Both of one shape. */
export function meanSquaredError(prediction: Tensor, target: Tensor, reduction: Reduction = "mean"): Tensor {
  requirePair("meanSquaredError", NAMES, prediction, target);
  prediction = widened(prediction);
  target = widened(target);
  return reduceLoss(prediction.sub(target).square(), reduction);
}

/** |prediction − target|, averaged by default (torch.nn.functional.l1_loss). Both of one shape. */
export function l1Loss(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  checkOptions("l1Loss", options, ["reduction"]);
  const { reduction } = options;
  requirePair("l1Loss", NAMES, prediction, target);
  prediction = widened(prediction);
  target = widened(target);
  return reduceLoss(prediction.sub(target).abs(), reduction);
}

/** Options of `huberLoss`. */
export interface HuberOptions extends LossOptions {
  /** Where the square passes into the line; default 1. */
  readonly delta?: number;
}

/**
 * d²/2 for |d| ≤ δ, else δ·(|d| − δ/2), where d = prediction − target (torch.nn.functional.huber_loss; Huber 1964).
 * Both of one shape.
 */
export function huberLoss(prediction: Tensor, target: Tensor, options: HuberOptions = {}): Tensor {
  checkOptions("huberLoss", options, ["reduction", "delta"]);
  const { reduction, delta = 1 } = options;
  requirePair("huberLoss", NAMES, prediction, target);
  prediction = widened(prediction);
  target = widened(target);
  requireAbove("huberLoss", "delta", delta, 0);
  const distance = prediction.sub(target);
  const size = distance.abs();
  const each = size.le(delta).where(distance.square().mul(0.5), size.sub(delta / 2).mul(delta));
  return reduceLoss(each, reduction);
}

/** Options of `smoothL1Loss`. */
export interface SmoothL1Options extends LossOptions {
  /** Where the square passes into the line; default 1, and 0 gives `l1Loss`. */
  readonly beta?: number;
}

/**
 * d²/(2β) for |d| < β, else |d| − β/2, where d = prediction − target (torch.nn.functional.smooth_l1_loss; Girshick 2015,
 * Fast R-CNN, eq. 3). Both of one shape.
 */
export function smoothL1Loss(prediction: Tensor, target: Tensor, options: SmoothL1Options = {}): Tensor {
  checkOptions("smoothL1Loss", options, ["reduction", "beta"]);
  const { reduction, beta = 1 } = options;
  requirePair("smoothL1Loss", NAMES, prediction, target);
  prediction = widened(prediction);
  target = widened(target);
  requireAtLeast("smoothL1Loss", "beta", beta, 0);
  const distance = prediction.sub(target);
  const size = distance.abs();
  if (beta === 0) return reduceLoss(size, reduction);
  return reduceLoss(size.lt(beta).where(distance.square().mul(0.5 / beta), size.sub(beta / 2)), reduction);
}
