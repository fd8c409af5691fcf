/** Losses of log-probabilities: negative log-likelihood of labels, and Kullback and Leibler's divergence. */
import { inBounds } from "../../tensor/bounds.ts";
import { arange } from "../../tensor/create.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import { checkOptions, requireTensor, requireFloat } from "../../tensor/door/door.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { LossOptions, Reduction } from "./reduction.ts";
import { reduceLoss, requirePair } from "./reduction.ts";
import { widened } from "../autocast.ts";

/** Options of `nllLoss`. */
export interface NllOptions extends LossOptions {
  /** Factor of each class's loss, [C]. The mean divides by the sum of the factors, as in PyTorch. */
  readonly weight?: Tensor;
  /** Rows of this label count for nothing. Default −100. */
  readonly ignoreIndex?: number;
}

/**
 * −logProbabilities[label] (torch.nn.functional.nll_loss). `logProbabilities` [..., C], as `logSoftmax` gives them;
 * `labels` [...] of class numbers, i32 or u32, or `ignoreIndex`.
 */
export function nllLoss(logProbabilities: Tensor, labels: Tensor, options: NllOptions = {}): Tensor {
  checkOptions("nllLoss", options, ["reduction", "weight", "ignoreIndex"]);
  const { reduction = "mean", weight, ignoreIndex = -100 } = options;
  requireTensor("nllLoss", "logProbabilities", logProbabilities);
  requireTensor("nllLoss", "labels", labels);
  requireFloat("nllLoss", logProbabilities);
  logProbabilities = widened(logProbabilities);
  const rows = logProbabilities.shape.slice(0, -1);
  if (logProbabilities.rank === 0 || !sameShape(rows, labels.shape)) {
    throw new Error(
      `nllLoss: logProbabilities ${formatShape(logProbabilities.shape)} need labels of shape ${formatShape(rows)}, ` +
        `not ${formatShape(labels.shape)}`,
    );
  }
  if (labels.dtype !== "i32" && labels.dtype !== "u32")
    throw new Error(`nllLoss: labels must be i32 or u32, not ${labels.dtype}; cast("i32") makes them so`);
  const classes = logProbabilities.shape[logProbabilities.rank - 1]!;
  const ignore = labels.dtype === "i32" || ignoreIndex >= 0 ? ignoreIndex : undefined;
  const checked = new Tensor(inBounds(labels.node, { op: "nllLoss", what: "label", size: classes, ignore }));
  const right = checked.unsqueeze(-1).eq(arange(classes).cast(labels.dtype));
  const picked = logProbabilities.mask(right).sum(-1);
  const kept = ignore === undefined ? undefined : labels.ne(ignore);
  const share = classShare(weight, right, kept, logProbabilities);
  const each = share === undefined ? picked.neg() : picked.mul(share).neg();
  const losses = kept === undefined ? each : each.mask(kept);
  if (reduction !== "mean" || share === undefined) return reduceLoss(losses, reduction);
  return losses.sum().div(share.sum());
}

/** What each row counts: its class's weight, 0 where it is ignored; undefined where all count the same. */
export function classShare(
  weight: Tensor | undefined,
  right: Tensor,
  kept: Tensor | undefined,
  like: Tensor,
): Tensor | undefined {
  if (weight === undefined) return kept?.cast(like.dtype);
  requireTensor("weight of the classes", "weight", weight);
  const classes = right.shape[right.rank - 1]!;
  if (!sameShape(weight.shape, [classes]))
    throw new Error(`weight is ${formatShape(weight.shape)}; it must be [${classes}], one number a class`);
  const own = weight.expand(right.shape).mask(right).sum(-1);
  return kept === undefined ? own : own.mask(kept);
}

/** Options of `klDivergence`. */
export interface KlOptions {
  /** Whether the target is of log-probabilities as well; default false. */
  readonly logTarget?: boolean;
  /** Default "mean", over all elements, as in PyTorch; "batchmean", the sum over the first axis's length, is the divergence itself. */
  readonly reduction?: Reduction | "batchmean";
}

/**
 * target·(log target − input) elementwise, `input` being log-probabilities (torch.nn.functional.kl_div; Kullback,
 * Leibler 1951). Where the target is 0 the term is 0. Both of one shape.
 */
export function klDivergence(input: Tensor, target: Tensor, options: KlOptions = {}): Tensor {
  checkOptions("klDivergence", options, ["logTarget", "reduction"]);
  const { logTarget = false, reduction = "mean" } = options;
  requirePair("klDivergence", ["input", "target"], input, target);
  input = widened(input);
  target = widened(target);
  const nothing = target.eq(0);
  const each = logTarget
    ? target.exp().mul(target.sub(input))
    : nothing.where(0, target.mul(nothing.where(1, target).log().sub(input)));
  if (reduction !== "batchmean") return reduceLoss(each, reduction);
  return each.sum().div(input.rank === 0 ? 1 : input.shape[0]!);
}
