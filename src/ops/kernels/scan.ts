/** The kernels of the recurrent scans, and the sizes they ask for. */
import { scanBackward as wgslBackward, scanForward as wgslForward } from "../../shaders/scan/scan.ts";
import type { GatedCell } from "../../specs/cells.ts";
import type { ScanSpec } from "../../specs/scan.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import { scanBackward, scanForward } from "../../wasm/scan/scan.ts";
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

/** Of each step: the product with the recurrent weight of all gates, and the cell's own arithmetic. */
const flopsOf = ({ steps, batch, directions, hidden }: ScanSpec, gates: number, pointwise: number): number =>
  steps * batch * directions * hidden * (2 * gates * hidden + pointwise);

/** Operands as the op `cell.name` has them: see `ops/scan.ts`. */
export function forwardKernels(cell: GatedCell): Kernels<ScanAttrs> {
  const spec = ([gates, , , h0]: readonly ValueSpec[], attrs: ScanAttrs) => specOf(gates, h0, attrs);
  /** Whether anything reads what is kept for the backward pass, which comes after y and the last states. */
  const saves = (read: readonly boolean[]): boolean => read.slice(1 + cell.states.length).some(Boolean);
  return {
    cpu: (inputs, attrs, read, wide) => scanForward(cell, spec(inputs, attrs), saves(read), wide),
    webgpu: (inputs, attrs, profile, read) => wgslForward(cell, spec(inputs, attrs), profile, saves(read)),
    flops: (inputs, attrs) => flopsOf(spec(inputs, attrs), cell.gates, cell.flops.forward),
  };
}

export function backwardKernels(cell: GatedCell): Kernels<ScanAttrs> {
  const spec = (inputs: readonly ValueSpec[], attrs: ScanAttrs) =>
    specOf(inputs[1 + cell.states.length], inputs[1], attrs);
  return {
    cpu: (inputs, attrs, _, wide) => scanBackward(cell, spec(inputs, attrs), wide),
    webgpu: (inputs, attrs, profile) => wgslBackward(cell, spec(inputs, attrs), profile),
    flops: (inputs, attrs) => flopsOf(spec(inputs, attrs), cell.gates, cell.flops.backward),
  };
}
