/** Cross-entropy of classes. */
import { checkOptions, requireFloat, requireTensor } from "../../tensor/door/door.ts";
import { inBounds } from "../../tensor/bounds.ts";
import { arange } from "../../tensor/create.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { logSumExp } from "../softmax.ts";
import { classShare } from "./divergence.ts";
import type { Reduction } from "./reduction.ts";
import { reduceLoss } from "./reduction.ts";
import { widened } from "../autocast.ts";

/** Settings of `crossEntropy`. */
export interface CrossEntropyOptions {
  /** Factor of each class's loss, [C]. The mean divides by the sum of the labels' factors, as in PyTorch. */
  readonly weight?: Tensor;
  /** Share of the target spread evenly over all classes; default 0. */
  readonly labelSmoothing?: number;
  readonly reduction?: Reduction;
  /** Rows of this label count for nothing: their loss is 0, and the mean is over the others. Default −100. */
  readonly ignoreIndex?: number;
}

/**
 * −log softmax(logits)[label] (torch.nn.functional.cross_entropy). `logits` [..., C]; `labels` [...] of class numbers,
 * i32 or u32, or `ignoreIndex`. Where all rows are ignored the mean is NaN.
 */
export function crossEntropy(logits: Tensor, labels: Tensor, options: CrossEntropyOptions = {}): Tensor {
  requireFloat("crossEntropy", logits);
  requireTensor("crossEntropy", "labels", labels);
  logits = widened(logits);
  checkOptions("crossEntropy", options, ["weight", "labelSmoothing", "reduction", "ignoreIndex"]);
  const { weight, labelSmoothing = 0, reduction = "mean", ignoreIndex = -100 } = options;
  if (!sameShape(logits.shape.slice(0, -1), labels.shape) || logits.rank === 0) {
    throw new Error(
      `crossEntropy: logits ${formatShape(logits.shape)} need labels of shape ${formatShape(logits.shape.slice(0, -1))}, ` +
        `not ${formatShape(labels.shape)}`,
    );
  }
  if (labels.dtype !== "i32" && labels.dtype !== "u32")
    throw new Error(`crossEntropy: labels must be i32 or u32, not ${labels.dtype}`);
  if (!(labelSmoothing >= 0 && labelSmoothing < 1))
    throw new Error(`crossEntropy: labelSmoothing ${labelSmoothing} must be in [0, 1)`);
  if (!Number.isInteger(ignoreIndex)) {
    throw new Error(`crossEntropy: ignoreIndex is ${ignoreIndex}; it must be a whole number, as labels are`);
  }
  const classes = logits.shape[logits.rank - 1];
  // No label of u32 is negative.
  const ignores = labels.dtype === "i32" || ignoreIndex >= 0;
  const ignore = ignores ? ignoreIndex : undefined;
  const checked = new Tensor(inBounds(labels.node, { op: "crossEntropy", what: "label", size: classes, ignore }));
  const right = checked.unsqueeze(-1).eq(arange(classes).cast(labels.dtype));
  if (weight !== undefined) {
    const kept = ignores ? labels.ne(ignoreIndex) : undefined;
    const share = classShare(weight, right, kept, logits)!;
    const logProbabilities = logits.sub(logSumExp(logits).unsqueeze(-1));
    const own = logProbabilities
      .mask(right)
      .sum(-1)
      .mul(share)
      .mul(labelSmoothing - 1);
    const spread = logProbabilities.mul(weight).mean(-1).mul(-labelSmoothing);
    const all = labelSmoothing > 0 ? own.add(kept === undefined ? spread : spread.mask(kept)) : own;
    const each = kept === undefined ? all : all.mask(kept);
    return reduction === "mean" ? each.sum().div(share.sum()) : reduceLoss(each, reduction);
  }
  // Compared rather than gathered: the pick then runs in the same pass as the sum of exponentials.
  let picked = logits.mask(right).sum(-1);
  if (labelSmoothing > 0) picked = picked.mul(1 - labelSmoothing).add(logits.mean(-1).mul(labelSmoothing));
  // An infinite logit leaves no probabilities, whatever the label.
  const whole = logSumExp(logits);
  const each = whole.detach().isFinite().where(whole.sub(picked), NaN);
  if (!ignores) return reduceLoss(each, reduction);
  const kept = labels.ne(ignoreIndex);
  const losses = each.mask(kept);
  return reduction === "mean" ? losses.sum().div(kept.cast(logits.dtype).sum()) : reduceLoss(losses, reduction);
}
