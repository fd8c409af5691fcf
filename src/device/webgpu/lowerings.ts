/** Which fused ops have kernels of their own on WebGPU. An op that is not here, or declines, runs its decomposition. */
import type { FusedKernel } from "../../compiler/kernels.ts";
import type { AttentionAttrs } from "../../ops/attention.ts";
import type { InfoNceAttrs } from "../../ops/losses/contrastive.ts";
import type { ScanAttrs } from "../../ops/scan.ts";
import type { TopKAttrs } from "../../ops/top-k.ts";
import { attentionBackward, attentionForward } from "../../shaders/attention/attention.ts";
import { gruBackward, gruForward } from "../../shaders/scan/gru.ts";
import { infoNceBackward, infoNceForward } from "../../shaders/info-nce/info-nce.ts";
import type { AdapterProfile, Lowering } from "../../shaders/kernel.ts";
import { lstmBackward, lstmForward } from "../../shaders/scan/lstm.ts";
import { fewPlaces, scatterAdd } from "../../shaders/scatter-add.ts";
import type { ScatterAttrs } from "../../tensor/scatter.ts";
import { topK } from "../../shaders/top-k.ts";
import type { FusedOp, ValueSpec } from "../../tensor/fused.ts";
import { attentionSpec, infoNceSpec, scanSpec } from "../fused-specs.ts";

/** @param read which of the op's results anybody reads */
type Lower = (
  inputs: readonly ValueSpec[],
  attrs: never,
  profile: AdapterProfile,
  read: readonly boolean[],
) => Lowering | undefined;

const LOWERINGS: Record<string, Lower> = {
  gruScan: ([gates, , , h0], attrs: ScanAttrs, profile, [, , saved, hPrev]) =>
    gruForward(scanSpec(gates.shape, h0.shape, attrs), profile, saved || hPrev),
  gruScanBackward: ([, dhn, saved], attrs: ScanAttrs, profile) =>
    gruBackward(scanSpec(saved.shape, dhn.shape, attrs), profile),
  lstmScan: ([gates, , , h0], attrs: ScanAttrs, profile, [, , , saved, hPrev]) =>
    lstmForward(scanSpec(gates.shape, h0.shape, attrs), profile, saved || hPrev),
  lstmScanBackward: ([, dhn, , saved], attrs: ScanAttrs, profile) =>
    lstmBackward(scanSpec(saved.shape, dhn.shape, attrs), profile),
  attention: (inputs, attrs: AttentionAttrs, profile) => attentionForward(attentionSpec(inputs, attrs), profile),
  attentionBackward: (inputs, attrs: AttentionAttrs, profile) =>
    attentionBackward(attentionSpec(inputs.slice(1), attrs), profile),
  infoNce: ([, k, queue], attrs: InfoNceAttrs, profile) =>
    isSmall(k, queue, profile) ? undefined : infoNceForward(infoNceSpec(k, queue, attrs), profile),
  infoNceBackward: ([, , k, queue], attrs: InfoNceAttrs, profile) =>
    isSmall(k, queue, profile) ? undefined : infoNceBackward(infoNceSpec(k, queue, attrs), profile),
  scatterAdd: ([index, source], { size }: ScatterAttrs, profile) =>
    source.dtype === "f16" || fewPlaces(source, size) ? undefined : scatterAdd(index, source, size, profile),
  topK: ([x], { k }: TopKAttrs, profile) => topK(x.shape, k, profile),
};

/**
 * Whether logits are so few that a GPU is done with them before it is asked for the next thing: the products and
 * reductions they are made of then share dispatches with their neighbours, which the loss's own kernels cannot.
 */
function isSmall(k: ValueSpec, queue: ValueSpec, profile: AdapterProfile): boolean {
  return profile.kind === "gpu" && k.shape[0] * queue.shape[1] < SMALL_LOGITS;
}

const SMALL_LOGITS = 1 << 18;

export function lowerFusedToWgsl(
  op: FusedOp,
  attrs: object,
  inputs: readonly ValueSpec[],
  profile: AdapterProfile,
  read: readonly boolean[],
): Lowering | undefined {
  // The kernels are written for float32; other dtypes go by the decomposition.
  if (op.name !== "scatterAdd" && inputs.some((i) => i.dtype !== "f32")) return undefined;
  return LOWERINGS[op.name]?.(inputs, attrs as never, profile, read);
}

/** Results of a fused kernel that nobody reads and its lowering writes all the same: they need memory. */
export function spareOutputs(kernel: FusedKernel, lowering: Lowering): number[] {
  const written = new Set(
    lowering.kernels.flatMap((k) => k.bindings.filter((b) => b.role === "out").map((b) => b.index)),
  );
  return kernel.outputs.flatMap(({ node }, i) => (node === undefined && written.has(i) ? [i] : []));
}
