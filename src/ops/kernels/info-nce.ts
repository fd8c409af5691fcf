/** The kernels of InfoNCE, the sizes they ask for, and where a GPU does without them. */
import { infoNceBackward as wgslBackward, infoNceForward as wgslForward } from "../../shaders/info-nce/info-nce.ts";
import type { AdapterProfile } from "../../shaders/kernel.ts";
import type { InfoNceSpec } from "../../specs/info-nce.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import { infoNceBackward, infoNceForward } from "../../wasm/info-nce/info-nce.ts";
import type { Kernels } from "./kernels.ts";

export interface InfoNceAttrs {
  readonly temperature: number;
}

function specOf(k: ValueSpec, queue: ValueSpec, { temperature }: InfoNceAttrs): InfoNceSpec {
  const [rows, positives, channels] = k.shape;
  return { rows, channels, positives, negatives: queue.shape[1], temperature };
}

/**
 * Whether logits are so few that a GPU is done with them before it is asked for the next thing: the products and
 * reductions they are made of then share dispatches with their neighbours, which the loss's own kernels cannot.
 */
function isSmall(k: ValueSpec, queue: ValueSpec, profile: AdapterProfile): boolean {
  return profile.kind === "gpu" && k.shape[0] * queue.shape[1] < SMALL_LOGITS;
}

const SMALL_LOGITS = 1 << 18;

/** Of each logit: `products` dot products or sums over C, and the exponential's part. */
const flopsOf = ({ rows, channels, positives, negatives }: InfoNceSpec, products: number): number =>
  rows * (positives + negatives) * (2 * products * channels + 4);

export const FORWARD: Kernels<InfoNceAttrs> = {
  cpu: ([, k, queue], attrs) => infoNceForward(specOf(k, queue, attrs)),
  webgpu: ([, k, queue], attrs, profile) =>
    isSmall(k, queue, profile) ? undefined : wgslForward(specOf(k, queue, attrs), profile),
  flops: ([, k, queue], attrs) => flopsOf(specOf(k, queue, attrs), 1),
};

export const BACKWARD: Kernels<InfoNceAttrs> = {
  cpu: ([, , k, queue], attrs) => infoNceBackward(specOf(k, queue, attrs)),
  webgpu: ([, , k, queue], attrs, profile) =>
    isSmall(k, queue, profile) ? undefined : wgslBackward(specOf(k, queue, attrs), profile),
  flops: ([, , k, queue], attrs) => flopsOf(specOf(k, queue, attrs), 2),
};
