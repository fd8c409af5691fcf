/** The kernels of the recurrent scans, and the sizes they ask for. */
import { gruBackward as wgslGruBackward, gruForward as wgslGruForward } from "../../shaders/scan/gru.ts";
import { lstmBackward as wgslLstmBackward, lstmForward as wgslLstmForward } from "../../shaders/scan/lstm.ts";
import type { ScanSpec } from "../../specs/scan.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import { gruBackward, gruForward } from "../../wasm/scan/gru.ts";
import { lstmBackward, lstmForward } from "../../wasm/scan/lstm.ts";
import type { Kernels } from "./kernels.ts";

export interface ScanAttrs {
  readonly masked: boolean;
  /**
   * Lengths of independent sequences that follow each other along the time axis; absent, one of all steps. States are
   * then [D, S·B, H], sequence after sequence.
   */
  readonly segments?: readonly number[];
}

/** @param perStep of shape [T, B, D, …]; @param state of shape [D, B, H] */
function specOf(perStep: ValueSpec, state: ValueSpec, { masked, segments }: ScanAttrs): ScanSpec {
  const [steps, batch, directions] = perStep.shape;
  return { steps, batch, directions, hidden: state.shape[2], masked, segments };
}

/** Of each step: the product with the recurrent weight of so many gates, and the gates' own arithmetic. */
const flopsOf = ({ steps, batch, directions, hidden }: ScanSpec, gates: number, pointwise: number): number =>
  steps * batch * directions * hidden * (2 * gates * hidden + pointwise);

export const GRU_FORWARD: Kernels<ScanAttrs> = {
  cpu: ([gates, , , h0], attrs, [, , saved, hPrev], wide) => gruForward(specOf(gates, h0, attrs), saved || hPrev, wide),
  webgpu: ([gates, , , h0], attrs, profile, [, , saved, hPrev]) =>
    wgslGruForward(specOf(gates, h0, attrs), profile, saved || hPrev),
  flops: ([gates, , , h0], attrs) => flopsOf(specOf(gates, h0, attrs), 3, 14),
};

export const GRU_BACKWARD: Kernels<ScanAttrs> = {
  cpu: ([, dhn, saved], attrs, _, wide) => gruBackward(specOf(saved, dhn, attrs), wide),
  webgpu: ([, dhn, saved], attrs, profile) => wgslGruBackward(specOf(saved, dhn, attrs), profile),
  flops: ([, dhn, saved], attrs) => flopsOf(specOf(saved, dhn, attrs), 3, 20),
};

export const LSTM_FORWARD: Kernels<ScanAttrs> = {
  cpu: ([gates, , , h0], attrs, [, , , saved, hPrev], wide) =>
    lstmForward(specOf(gates, h0, attrs), saved || hPrev, wide),
  webgpu: ([gates, , , h0], attrs, profile, [, , , saved, hPrev]) =>
    wgslLstmForward(specOf(gates, h0, attrs), profile, saved || hPrev),
  flops: ([gates, , , h0], attrs) => flopsOf(specOf(gates, h0, attrs), 4, 12),
};

export const LSTM_BACKWARD: Kernels<ScanAttrs> = {
  cpu: ([, dhn, , saved], attrs, _, wide) => lstmBackward(specOf(saved, dhn, attrs), wide),
  webgpu: ([, dhn, , saved], attrs, profile) => wgslLstmBackward(specOf(saved, dhn, attrs), profile),
  flops: ([, dhn, , saved], attrs) => flopsOf(specOf(saved, dhn, attrs), 4, 20),
};
