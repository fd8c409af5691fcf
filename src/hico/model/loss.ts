/**
 * The hierarchical loss: clip, part, crossed domains, and instance (Dong et al., AAAI 2023, eqs. 2 to 6).
 *
 * Clips and parts: the query's finest level against the keys of all G levels as positives. Domains are crossed: the
 * temporal query meets the spatial key and the spatial queue, and the other way round.
 */
import { infoNCE } from "../../ops/losses/contrastive.ts";
import { l2Normalize } from "../../ops/normalization.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { concat } from "../../tensor/methods/join.ts";
import type { ContrastLevel } from "./contrast-levels.ts";
import type { Projections } from "./network.ts";

/** Names of the five parts, in the order of PARTS. */
export type LossPart = keyof Projections;
/** The five losses that the hierarchical loss sums, in its order. */
export const LOSS_PARTS: readonly LossPart[] = ["clip", "part", "temporal", "spatial", "instance"];

/** The parts of the loss that belong to these levels, in the order of LOSS_PARTS. */
export function partsOfLevels(levels: readonly ContrastLevel[]): readonly LossPart[] {
  return LOSS_PARTS.filter((name) => levels.includes(name === "temporal" || name === "spatial" ? "domain" : name));
}

/** What one part compares: query [N, C], positives [N, P, C] or [N, C], and the queue [C, K] of negatives. */
export interface Contrast {
  readonly query: Tensor;
  readonly positives: Tensor;
  readonly queue: Tensor;
}

/** All vectors at length 1. */
export function normalizeProjections(z: Projections): Projections {
  return mapParts((name) => l2Normalize(z[name]));
}

/** The comparisons of normalised queries q and keys k; `queues` [C, K] hold the negatives of each part. */
export function contrasts(
  q: Projections,
  k: Projections,
  queues: Readonly<Record<LossPart, Tensor>>,
): Record<LossPart, Contrast> {
  return {
    clip: { query: q.clip.slice(null, 0), positives: k.clip, queue: queues.clip },
    part: { query: q.part.slice(null, 0), positives: k.part, queue: queues.part },
    temporal: { query: q.temporal, positives: k.spatial, queue: queues.spatial },
    spatial: { query: q.spatial, positives: k.temporal, queue: queues.temporal },
    instance: { query: q.instance, positives: k.instance, queue: queues.instance },
  };
}

/** The five losses of what is `compared`, at this `temperature`: each a scalar, averaged over the batch. */
export function hierarchicalLosses(
  compared: Readonly<Record<LossPart, Contrast>>,
  temperature: number,
): Record<LossPart, Tensor> {
  return mapParts((name) => {
    const { query, positives, queue } = compared[name];
    return infoNCE(query, positives, queue, { temperature });
  });
}

/** Similarities over the temperature, positives first: [N, P + K]. For inspection; the loss does not need them. */
export function logitsOf({ query, positives, queue }: Contrast, temperature: number): Tensor {
  const k = positives.rank === 2 ? positives.unsqueeze(1) : positives;
  return concat([k.mul(query.unsqueeze(1)).sum(-1), query.matmul(queue)], 1).mul(1 / temperature);
}

/**
 * Share of the batch whose positive is more similar than every negative: a scalar. With several positives, their best.
 */
export function contrastiveAccuracy({ query, positives, queue }: Contrast): Tensor {
  const q = query.detach();
  const k = positives.rank === 2 ? positives.unsqueeze(1) : positives;
  const best = k.mul(q.unsqueeze(1)).sum(-1).max(-1);
  return best.gt(q.matmul(queue).max(-1)).cast(query.dtype).mean();
}

/** A record of the five parts. */
export function mapParts<T>(f: (name: LossPart) => T): Record<LossPart, T> {
  return Object.fromEntries(LOSS_PARTS.map((name) => [name, f(name)])) as Record<LossPart, T>;
}
