/**
 * Does a cost grow linearly with a size, or is there a step in its curve?
 *
 * A straight line with an intercept (what does not depend on the size) is fitted by least squares of relative residuals,
 * so that small sizes count as much as large ones. A **step** is an interval between two neighbouring sizes that costs
 * more than the line's slope allows for, by over a tenth of the cost at its end: a cache or a buffer outgrown, a second
 * pass, a worse kernel. Growth faster than linear shows as a step in the last interval.
 */

/** Share of a cost that an interval may take beyond the slope. */
export const STEP = 0.1;

export interface GrowthPoint {
  readonly size: number;
  readonly cost: number;
  /** What the line gives for the size. */
  readonly line: number;
  /** Cost over that of the size before; NaN for the first. */
  readonly ratio: number;
  /** What the interval before took beyond the slope, as a share of the cost; 0 for the first. */
  readonly excess: number;
}

export interface Growth {
  /** cost ≈ intercept + slope · size */
  readonly intercept: number;
  readonly slope: number;
  readonly points: readonly GrowthPoint[];
  /** Sizes at which an interval that is a step ends. */
  readonly steps: readonly number[];
}

/**
 * @param sizes ascending, at least two
 * @param costs above 0, one a size
 * @param slack what a cost may be off for reasons of its own, in its unit: an interval within it is no step
 */
export function linearGrowth(sizes: readonly number[], costs: readonly number[], slack = 0): Growth {
  // Weights 1/cost²; moments about the weighted mean keep the sums exact where sizes are large.
  const weights = costs.map((cost) => 1 / (cost * cost));
  const total = weights.reduce((a, b) => a + b, 0);
  const mean = (values: readonly number[]) => values.reduce((sum, value, i) => sum + weights[i] * value, 0) / total;
  const [middle, level] = [mean(sizes), mean(costs)];
  const slope =
    mean(sizes.map((size, i) => (size - middle) * (costs[i] - level))) /
    mean(sizes.map((size) => (size - middle) ** 2));
  const intercept = level - slope * middle;
  const points = sizes.map(
    (size, i): GrowthPoint => ({
      size,
      cost: costs[i],
      line: intercept + slope * size,
      ratio: i === 0 ? NaN : costs[i] / costs[i - 1],
      excess: i === 0 ? 0 : (costs[i] - costs[i - 1] - slope * (size - sizes[i - 1])) / costs[i],
    }),
  );
  const steps = points.filter(({ excess, cost }) => excess > STEP && excess * cost > slack).map(({ size }) => size);
  return { intercept, slope, points, steps };
}
