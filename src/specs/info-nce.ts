/** Sizes and operands of one InfoNCE loss: what every device's kernels are asked for. */
import type { ValueSpec } from "../tensor/fused.ts";
import { f32 } from "./tensor-spec.ts";

/** Sizes of one loss; they are fixed into the kernels. */
export interface InfoNceSpec {
  /** N, queries. */
  readonly rows: number;
  /** C, channels. */
  readonly channels: number;
  /** P, positives of each query. */
  readonly positives: number;
  /** K, columns of the queue. */
  readonly negatives: number;
  /** τ, above 0. */
  readonly temperature: number;
}

/** q [N, C], k [N, P, C], queue [C, K]. */
export function infoNceForwardInputs({ rows, channels, positives, negatives }: InfoNceSpec): ValueSpec[] {
  return [f32(rows, channels), f32(rows, positives, channels), f32(channels, negatives)];
}

/** loss, the log-sum-exp over all logits, and that over the positives; each [N]. */
export function infoNceForwardOutputs({ rows }: InfoNceSpec): ValueSpec[] {
  return [f32(rows), f32(rows), f32(rows)];
}

/** dloss [N], q, k, queue, and the two saved log-sum-exps [N]. */
export function infoNceBackwardInputs(spec: InfoNceSpec): ValueSpec[] {
  return [f32(spec.rows), ...infoNceForwardInputs(spec), f32(spec.rows), f32(spec.rows)];
}

/** dq [N, C], dk [N, P, C]. */
export function infoNceBackwardOutputs(spec: InfoNceSpec): ValueSpec[] {
  return infoNceForwardInputs(spec).slice(0, 2);
}
