/** Sizes of fused ops as their kernels ask for them, from operands and attributes: the same for every device. */
import type { AttentionAttrs } from "../ops/attention.ts";
import type { InfoNceAttrs } from "../ops/losses/contrastive.ts";
import type { ScanAttrs } from "../ops/scan.ts";
import type { AttentionSpec } from "../ops/specs/attention.ts";
import type { InfoNceSpec } from "../ops/specs/info-nce.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import type { ScanSpec } from "../ops/specs/scan.ts";

/** @param perStep shape [T, B, D, …]; @param state shape of a state, [D, B, H] */
export function scanSpec(
  perStep: readonly number[],
  state: readonly number[],
  { masked, segments }: ScanAttrs,
): ScanSpec {
  const [steps, batch, directions] = perStep;
  return { steps, batch, directions, hidden: state[2], masked, segments };
}

export function attentionSpec(inputs: readonly ValueSpec[], attrs: AttentionAttrs): AttentionSpec {
  const { heads, scale, packed, mask, keep, segments } = attrs;
  const [batch, queries, width] = inputs[0].shape;
  const keys = packed ? queries : inputs[1].shape[1];
  const dim = packed ? width / (3 * heads) : inputs[0].shape[3];
  return { batch, heads, queries, keys, dim, scale, packed, mask, keep, segments };
}

export function infoNceSpec(k: ValueSpec, queue: ValueSpec, { temperature }: InfoNceAttrs): InfoNceSpec {
  const [rows, positives, channels] = k.shape;
  return { rows, channels, positives, negatives: queue.shape[1], temperature };
}
