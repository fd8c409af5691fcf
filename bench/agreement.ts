/**
 * Do the engines of a benchmark compute the same thing? Held against a float64 reference and against each other.
 *
 * The last loss alone would not show a wrong gradient: in a few steps a loss moves by percents. So the fall of the loss
 * is compared too, relative to itself.
 */

/** Largest relative difference of a loss from the reference, and from the other engines. */
export const LOSS_TOLERANCE = 1e-3;
/** Largest relative difference between two engines in how far the loss fell. */
export const FALL_TOLERANCE = 1e-2;

export interface LossCurve {
  readonly engine: string;
  /** The losses of the same steps for every engine, the first at the initial parameters. */
  readonly losses: readonly number[];
}

/**
 * What is wrong, a line each; empty when all agree.
 * @param reference the first loss, in float64
 * @param curves the first engine is the one the others are compared to
 */
export function disagreements(reference: number, curves: readonly LossCurve[]): string[] {
  const lines: string[] = [];
  const first = curves[0];
  for (const { engine, losses } of curves) {
    const compare = (what: string, value: number, wanted: number, tolerance: number) => {
      // Written so that NaN is a disagreement.
      if (Math.abs(value - wanted) <= tolerance * Math.abs(wanted)) return;
      lines.push(`${engine}: ${what} is ${value}, should be ${wanted} within ${tolerance} relative`);
    };
    compare("the first loss", losses[0], reference, LOSS_TOLERANCE);
    compare(`the last loss (by ${first.engine})`, last(losses), last(first.losses), LOSS_TOLERANCE);
    compare(
      `the fall of the loss (by ${first.engine})`,
      losses[0] - last(losses),
      first.losses[0] - last(first.losses),
      FALL_TOLERANCE,
    );
  }
  return lines;
}

function last(values: readonly number[]): number {
  return values[values.length - 1];
}
