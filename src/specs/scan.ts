/** Sizes and operands of the recurrent scans: what every device's kernels are asked for. */
import type { Shape } from "../tensor/shape.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import type { GatedCell } from "./cells.ts";

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

const f32 = (name: string, ...shape: number[]): NamedSpec => ({ name, shape, dtype: "f32" });

/** Number of independent sequences along the time axis. */
export const segmentsOf = (spec: ScanSpec): number => spec.segments?.length ?? 1;

/** Values that a step keeps of a unit, the states before it but for h included: those lie behind the others. */
export const keptParts = ({ kept, states }: GatedCell): number => kept + states.length - 1;

/** Shape of a tensor with the scan's time, batch and direction axes and `parts` values a unit. */
const perStep = ({ steps, batch, directions, hidden }: ScanSpec, parts: number): Shape => [
  steps,
  batch,
  directions,
  parts * hidden,
];

/** One for each state, `[D, S·B, H]`. */
const statesOf = (cell: GatedCell, spec: ScanSpec, name: (state: string) => string): NamedSpec[] =>
  cell.states.map((state) => f32(name(state), spec.directions, segmentsOf(spec) * spec.batch, spec.hidden));

const maskOf = ({ masked, steps, batch }: ScanSpec): NamedSpec[] => (masked ? [f32("mask", steps, batch)] : []);

const weightOf = ({ gates }: GatedCell, { directions, hidden }: ScanSpec): NamedSpec =>
  f32("weight", directions, gates * hidden, hidden);

/**
 * Operands of a forward scan, for T steps, B rows, D directions, H units, G gates.
 * Inputs: gates `[T,B,D,G·H]` (x·W_ihᵀ + b_ih), weight `[D,G·H,H]` (W_hh), bias `[D,G·H]` (b_hh), h0 (and c0)
 * `[D,B,H]`, and with `masked` mask `[T,B]` (0 or 1).
 * Outputs: y `[T,B,D·H]`, hn (and cn) `[D,B,H]`, and for the backward saved `[T,B,D,P·H]` (`keptParts` values) and
 * hPrev `[T,B,D,H]`, the hidden state each step started from (for direction 1 the one left by step t+1).
 */
export function forwardSignature(cell: GatedCell, spec: ScanSpec): ScanSignature {
  const { steps, batch, directions, hidden } = spec;
  return {
    inputs: [
      f32("gates", ...perStep(spec, cell.gates)),
      weightOf(cell, spec),
      f32("bias", directions, cell.gates * hidden),
      ...statesOf(cell, spec, (state) => `${state}0`),
      ...maskOf(spec),
    ],
    outputs: [
      f32("y", steps, batch, directions * hidden),
      ...statesOf(cell, spec, (state) => `${state}n`),
      f32("saved", ...perStep(spec, keptParts(cell))),
      f32("hPrev", ...perStep(spec, 1)),
    ],
  };
}

/**
 * Operands of a backward scan.
 * Inputs: dy `[T,B,D·H]`, dhn (and dcn) `[D,B,H]`, saved and, where the cell reads it, hPrev as the forward scan left
 * them, weight, and with `masked` mask.
 * Outputs: dgates `[T,B,D,G·H]`, where a gate scales a part dgatesH of the same shape, the cotangents of W_hh h + b_hh,
 * dh0 (and dc0). The gates' are 0 at masked steps.
 */
export function backwardSignature(cell: GatedCell, spec: ScanSpec): ScanSignature {
  const { steps, batch, directions, hidden } = spec;
  return {
    inputs: [
      f32("dy", steps, batch, directions * hidden),
      ...statesOf(cell, spec, (state) => `d${state}n`),
      f32("saved", ...perStep(spec, keptParts(cell))),
      ...(cell.readsState ? [f32("hPrev", ...perStep(spec, 1))] : []),
      weightOf(cell, spec),
      ...maskOf(spec),
    ],
    outputs: [
      ...["dgates", ...(cell.scaled ? ["dgatesH"] : [])].map((name) => f32(name, ...perStep(spec, cell.gates))),
      ...statesOf(cell, spec, (state) => `d${state}0`),
    ],
  };
}

/** Where an operand stands among others. */
export const placeOf = (operands: readonly NamedSpec[], name: string): number =>
  operands.findIndex((operand) => operand.name === name);
