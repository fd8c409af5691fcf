/** Which fused ops have kernels of their own on the cpu device. An op that is not here runs its decomposition. */
import type { AttentionAttrs } from "../../ops/attention.ts";
import type { InfoNceAttrs } from "../../ops/losses/contrastive.ts";
import type { ScanAttrs } from "../../ops/scan.ts";
import type { TopKAttrs } from "../../ops/top-k.ts";
import type { FusedOp, ValueSpec } from "../../tensor/fused.ts";
import { attentionBackward, attentionForward } from "../../wasm/attention/attention.ts";
import { gruBackward, gruForward } from "../../wasm/scan/gru.ts";
import { infoNceBackward, infoNceForward } from "../../wasm/info-nce/info-nce.ts";
import type { WasmLowering } from "../../wasm/kernel.ts";
import { lstmBackward, lstmForward } from "../../wasm/scan/lstm.ts";
import { scatterAdd } from "../../wasm/scatter-add.ts";
import type { ScatterAttrs } from "../../tensor/scatter.ts";
import { topK } from "../../wasm/top-k.ts";
import { attentionSpec, infoNceSpec, scanSpec } from "../fused-specs.ts";

/**
 * @param read which of the op's results anybody reads
 * @param wide whether the engine joins neighbouring vectors into one of 256 bits
 */
type Lower = (
  inputs: readonly ValueSpec[],
  attrs: never,
  read: readonly boolean[],
  wide: boolean,
) => WasmLowering | undefined;

const LOWERINGS: Record<string, Lower> = {
  gruScan: ([gates, , , h0], attrs: ScanAttrs, [, , saved, hPrev], wide) =>
    gruForward(scanSpec(gates.shape, h0.shape, attrs), saved || hPrev, wide),
  gruScanBackward: ([, dhn, saved], attrs: ScanAttrs, _, wide) =>
    gruBackward(scanSpec(saved.shape, dhn.shape, attrs), wide),
  lstmScan: ([gates, , , h0], attrs: ScanAttrs, [, , , saved, hPrev], wide) =>
    lstmForward(scanSpec(gates.shape, h0.shape, attrs), saved || hPrev, wide),
  lstmScanBackward: ([, dhn, , saved], attrs: ScanAttrs, _, wide) =>
    lstmBackward(scanSpec(saved.shape, dhn.shape, attrs), wide),
  attention: (inputs, attrs: AttentionAttrs) => attentionForward(attentionSpec(inputs, attrs)),
  attentionBackward: (inputs, attrs: AttentionAttrs) => attentionBackward(attentionSpec(inputs.slice(1), attrs)),
  infoNce: ([, k, queue], attrs: InfoNceAttrs) => infoNceForward(infoNceSpec(k, queue, attrs)),
  infoNceBackward: ([, , k, queue], attrs: InfoNceAttrs) => infoNceBackward(infoNceSpec(k, queue, attrs)),
  scatterAdd: ([index, source], { size }: ScatterAttrs) =>
    size <= FEW_PLACES ? undefined : scatterAdd(index, source, size),
  topK: ([x], { k }: TopKAttrs) => topK(x.shape, k),
};

/** Places up to which the decomposition is cheap, and fuses with what is around it. */
const FEW_PLACES = 16;

export function lowerFusedToWasm(
  op: FusedOp,
  attrs: object,
  inputs: readonly ValueSpec[],
  read: readonly boolean[],
  wide: boolean,
): WasmLowering | undefined {
  // The kernels are written for float32; other dtypes go by the decomposition.
  if (op.name !== "scatterAdd" && inputs.some((i) => i.dtype !== "f32")) return undefined;
  return LOWERINGS[op.name]?.(inputs, attrs as never, read, wide);
}
