/** What is measured of a pretraining step, as numbers in a row and by name. */
import type { LossPart } from "../model/loss.ts";
import { LOSS_PARTS } from "../model/loss.ts";

/** What a step, or the mean over several, has: the sum of the losses, each of the five, contrastive accuracy. */
export interface Measures {
  readonly loss: number;
  /** 0 for levels of contrast that are left out. */
  readonly parts: Readonly<Record<LossPart, number>>;
  /** Share of instances (or what the last level of contrast compares) whose key is nearer than every negative. */
  readonly accuracy: number;
}

/** Numbers of a step: loss, five parts, accuracy. */
const MEASURED = 2 + LOSS_PARTS.length;

export function zeroSums(): number[] {
  return new Array<number>(MEASURED).fill(0);
}

export function meanOf(sums: readonly number[], count: number): number[] {
  return sums.map((sum) => sum / count);
}

export function measuresOf(values: readonly number[]): Measures {
  return {
    loss: values[0],
    parts: Object.fromEntries(LOSS_PARTS.map((name, i) => [name, values[1 + i]])) as Record<LossPart, number>,
    accuracy: values[MEASURED - 1],
  };
}

/** The same under the names that TensorBoard shows. */
export function scalarsOf(group: string, values: readonly number[]): Record<string, number> {
  const { loss, parts, accuracy } = measuresOf(values);
  return {
    [`${group}/loss`]: loss,
    ...Object.fromEntries(LOSS_PARTS.map((name) => [`${group}/loss-${name}`, parts[name]])),
    [`${group}/contrastive-accuracy`]: accuracy,
  };
}

/** What of a step is no number any more: the first of the five losses that is not, else their sum. */
export function nonFiniteMeasure(
  values: readonly number[],
): { readonly what: string; readonly value: number } | undefined {
  if (values.every(Number.isFinite)) return undefined;
  const part = LOSS_PARTS.findIndex((_, i) => !Number.isFinite(values[1 + i]));
  if (part < 0) return { what: "the total loss", value: values[0] };
  return { what: `the ${LOSS_PARTS[part]} loss`, value: values[1 + part] };
}
