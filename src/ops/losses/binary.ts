/** Losses of yes or no: binary cross-entropy of probabilities and of logits, and the focal loss. */
import type { Tensor } from "../../tensor/tensor.ts";
import { checkOptions, requireTensor } from "../../tensor/door/door.ts";
import type { LossOptions } from "./reduction.ts";
import { reduceLoss, requireAtLeast, requirePair } from "./reduction.ts";
import { widened } from "../autocast.ts";

/** Options of `binaryCrossEntropy`. */
export interface BinaryCrossEntropyOptions extends LossOptions {
  /** Factor of each element's loss; broadcast to the shape of the probabilities. */
  readonly weight?: Tensor;
}

/** Options of `binaryCrossEntropyWithLogits`. */
export interface BinaryCrossEntropyWithLogitsOptions extends BinaryCrossEntropyOptions {
  /** Factor of what a positive target costs, one a class; broadcast to the shape of the logits. */
  readonly posWeight?: Tensor;
}

/** log x, and −100 where x is 0, as PyTorch cuts it. The gradient there is 0. */
function cutLog(x: Tensor): Tensor {
  const nothing = x.eq(0);
  return nothing.where(-100, nothing.where(1, x).log().maximum(-100));
}

/**
 * −(t·log p + (1 − t)·log(1 − p)) of probabilities p and targets t in [0, 1], of one shape
 * (torch.nn.functional.binary_cross_entropy; logarithms are cut at −100, as there). From logits, `binaryCrossEntropyWithLogits`
 * is the accurate way.
 */
export function binaryCrossEntropy(
  probabilities: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyOptions = {},
): Tensor {
  checkOptions("binaryCrossEntropy", options, ["reduction", "weight"]);
  const { reduction, weight } = options;
  requirePair("binaryCrossEntropy", ["probabilities", "target"], probabilities, target);
  probabilities = widened(probabilities);
  target = widened(target);
  const yes = target.mul(cutLog(probabilities));
  const no = target
    .neg()
    .add(1)
    .mul(cutLog(probabilities.neg().add(1)));
  return reduceLoss(weighted("binaryCrossEntropy", yes.add(no).neg(), weight), reduction);
}

/**
 * Binary cross-entropy of the logits' sigmoids with targets t in [0, 1], of one shape, without overflow
 * (torch.nn.functional.binary_cross_entropy_with_logits).
 */
export function binaryCrossEntropyWithLogits(
  logits: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyWithLogitsOptions = {},
): Tensor {
  checkOptions("binaryCrossEntropyWithLogits", options, ["reduction", "weight", "posWeight"]);
  const { reduction, weight, posWeight } = options;
  const op = "binaryCrossEntropyWithLogits";
  requirePair(op, ["logits", "target"], logits, target);
  logits = widened(logits);
  target = widened(target);
  // −log sigmoid(x) = softplus(−x), and −log(1 − sigmoid(x)) = x + softplus(−x).
  const cost = logits.neg().softplus();
  let factor = cost;
  if (posWeight !== undefined) {
    requireTensor(op, "posWeight", posWeight);
    factor = cost.mul(posWeight.sub(1).mul(target).add(1));
  }
  return reduceLoss(weighted(op, target.neg().add(1).mul(logits).add(factor), weight), reduction);
}

/** Options of `focalLoss`. */
export interface FocalOptions extends LossOptions {
  /** Weight of positive targets, 1 − α of negative ones; below 0 there is none. Default 0.25. */
  readonly alpha?: number;
  /** How much well-classified examples are turned down; default 2. */
  readonly gamma?: number;
}

/**
 * −α_t·(1 − p_t)^γ·log p_t of the logits' sigmoids with targets of 0 or 1, of one shape (Lin et al. 2017, "Focal Loss for
 * Dense Object Detection", eq. 5; torchvision.ops.sigmoid_focal_loss, whose reduction is "none" by default).
 */
export function focalLoss(logits: Tensor, target: Tensor, options: FocalOptions = {}): Tensor {
  checkOptions("focalLoss", options, ["reduction", "alpha", "gamma"]);
  const { reduction, alpha = 0.25, gamma = 2 } = options;
  requirePair("focalLoss", ["logits", "target"], logits, target);
  logits = widened(logits);
  target = widened(target);
  requireAtLeast("focalLoss", "gamma", gamma, 0);
  if (!(alpha <= 1)) throw new Error(`focalLoss: alpha is ${alpha}; it must be at most 1 (below 0: no weights)`);
  const cross = binaryCrossEntropyWithLogits(logits, target, { reduction: "none" });
  const probability = logits.sigmoid();
  const off = target.neg().add(1);
  const wrong = probability.mul(off).add(probability.neg().add(1).mul(target));
  const each = gamma === 0 ? cross : cross.mul(gamma === 2 ? wrong.square() : wrong.pow(gamma));
  return reduceLoss(alpha < 0 ? each : each.mul(target.mul(alpha).add(off.mul(1 - alpha))), reduction);
}

function weighted(op: string, each: Tensor, weight: Tensor | undefined): Tensor {
  if (weight === undefined) return each;
  requireTensor(op, "weight", weight);
  return each.mul(weight);
}
