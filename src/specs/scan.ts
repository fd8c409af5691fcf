/** Sizes and operands of the recurrent scans: what every device's kernels are asked for. */
import type { Shape } from "../tensor/shape.ts";
import type { ValueSpec } from "../tensor/fused.ts";

/** Sizes of one layer's scan. `directions` 2 adds a scan that runs from the last step to the first. */
export interface ScanSpec {
  readonly steps: number;
  readonly batch: number;
  readonly directions: number;
  readonly hidden: number;
  /** With a mask input `[steps, batch]`: where it is 0 the state is carried over and the output is 0. */
  readonly masked: boolean;
  /**
   * Lengths, adding up to `steps`, of independent sequences that follow each other along the time axis and are run
   * side by side; absent, one sequence of all steps. States are then `[directions, segments * batch, hidden]`,
   * sequence after sequence.
   */
  readonly segments?: readonly number[];
}

/** An operand with the name the documentation and the kernel text use. */
export interface NamedSpec extends ValueSpec {
  readonly name: string;
}

/** A lowering's operands, in the order of `Binding.index` of the roles `in` and `out`. */
export interface ScanSignature {
  readonly inputs: readonly NamedSpec[];
  readonly outputs: readonly NamedSpec[];
}

/** Gates of a cell as PyTorch stacks them: GRU r, z, n; LSTM i, f, g, o. */
export type GateCount = 3 | 4;

export const f32 = (name: string, ...shape: number[]): NamedSpec => ({ name, shape, dtype: "f32" });

/** Number of independent sequences along the time axis. */
export const segmentsOf = (spec: ScanSpec): number => spec.segments?.length ?? 1;

/** Shape of a tensor with the scan's time, batch and direction axes and `width` values each. */
export const perStep = (spec: ScanSpec, width: number): Shape => [spec.steps, spec.batch, spec.directions, width];
