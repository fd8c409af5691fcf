/** Drawing tokens from logits: temperature, the k likeliest, the likeliest that make up a share (nucleus). */
import type { Generator } from "../../tensor/random.ts";
import { rng } from "../../tensor/random.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkOptions, requireFloat, requireTensor } from "../../tensor/door/door.ts";
import { cumsum } from "../arrays/cumulative.ts";
import { sort } from "../arrays/sort.ts";
import { softmax } from "../softmax.ts";
import { LOWEST } from "../../specs/lowest.ts";
import { topK as largest } from "../top-k.ts";

/** Settings of `filterLogits` and `sampleTokens`. */
export interface SamplingOptions {
  /** What logits are divided by; 0: the likeliest. Default 1. */
  readonly temperature?: number;
  /** Only the k likeliest; default all. */
  readonly topK?: number;
  /** Only the likeliest whose probabilities add up to this share at least (Holtzman et al. 2020); default 1: all. */
  readonly topP?: number;
  /** Default: the shared one at the time of the call. */
  readonly generator?: Generator;
}

/** Kept in place of −∞, which shaders may assume not to be there. */
const lowestOf = (x: Tensor): number => (x.dtype === "f16" ? -60000 : LOWEST);

/**
 * Logits [..., V] over the temperature, those that are not to be drawn at the lowest number: first all but the `topK`
 * likeliest, then of these all but the likeliest of total probability `topP` (the order of Hugging Face's generate). Of
 * equal logits at a limit all stay.
 */
export function filterLogits(logits: Tensor, options: SamplingOptions = {}): Tensor {
  requireFloat("filterLogits", logits);
  checkOptions("filterLogits", options, ["temperature", "topK", "topP", "generator"]);
  const { temperature = 1, topK, topP = 1 } = options;
  const classes = logits.shape[logits.rank - 1] ?? 0;
  if (classes === 0) throw new Error(`filterLogits: ${formatShape(logits.shape)} has no last axis to draw from`);
  if (!(temperature >= 0)) throw new Error(`filterLogits: temperature ${temperature} must be at least 0`);
  if (!(topP > 0 && topP <= 1)) throw new Error(`filterLogits: topP ${topP} must be in (0, 1]`);
  if (topK !== undefined && (!Number.isInteger(topK) || topK < 1)) {
    throw new Error(`filterLogits: topK ${topK} must be a whole number of at least 1`);
  }
  let kept = temperature === 0 || temperature === 1 ? logits : logits.div(temperature);
  if (topK !== undefined && topK < classes) {
    const least = largest(kept, topK).values.min(-1, true);
    kept = kept.ge(least).where(kept, lowestOf(kept));
  }
  if (topP < 1) {
    const { values } = sort(kept, { descending: true });
    const probabilities = softmax(values);
    // Those before add up to less than the share: the first always stays.
    const before = cumsum(probabilities, -1).sub(probabilities);
    const least = before.lt(topP).where(values, values.max(-1, true)).min(-1, true);
    kept = kept.ge(least).where(kept, lowestOf(kept));
  }
  return kept;
}

/**
 * One token for each row of logits [..., V], i32 [...]: drawn with the probabilities softmax(filterLogits(logits)), by
 * the largest of logits plus Gumbel noise; the likeliest where the temperature is 0. A compiled function draws anew at
 * every call.
 */
export function sampleTokens(logits: Tensor, options: SamplingOptions = {}): Tensor {
  requireTensor("sampleTokens", "logits", logits);
  const kept = filterLogits(logits.detach(), options);
  if (options.temperature === 0) return kept.argmax(-1);
  const generator = options.generator ?? rng();
  // Uniform in (0, 1): neither logarithm is infinite.
  const unit = generator
    .uniform(kept.shape, 0, 1)
    .add(2 ** -25)
    .minimum(1 - 2 ** -24);
  const noise = unit.log().neg().log().neg().cast(kept.dtype);
  return kept.gt(lowestOf(kept)).where(kept.add(noise), lowestOf(kept)).argmax(-1);
}
