/**
 * How well classes are apart: the index of Davies and Bouldin ("A cluster separation measure", IEEE PAMI 1979). For every
 * class the worst ratio of two classes' spreads to the distance of their means, averaged; lower is better.
 */

/**
 * @param points [count, width], row by row
 * @param labels class of each row; rows below 0 do not count
 * @returns undefined where there are fewer than two classes, Infinity where two have the same mean
 */
/**
 * The Davies–Bouldin index (1979) of points, row by row, with a class each in `labels`: lower is better. Undefined for
 * fewer than two classes.
 */
export function daviesBouldin(points: Float32Array, labels: ArrayLike<number>): number | undefined {
  const count = labels.length;
  if (count === 0 || points.length % count !== 0)
    throw new Error(`daviesBouldin: ${points.length} values are not rows of ${count} points`);
  const width = points.length / count;
  const classes = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    if (labels[i] < 0) continue;
    const rows = classes.get(labels[i]) ?? [];
    rows.push(i);
    classes.set(labels[i], rows);
  }
  if (classes.size < 2) return undefined;
  const clusters = [...classes.values()].map((rows) => {
    const mean = new Float64Array(width);
    for (const row of rows) for (let c = 0; c < width; c++) mean[c] += points[row * width + c] / rows.length;
    const spread =
      rows.reduce((sum, row) => sum + distance(points.subarray(row * width, (row + 1) * width), mean), 0) / rows.length;
    return { mean, spread };
  });
  const worst = clusters.map((own, i) =>
    Math.max(
      ...clusters
        .filter((_, j) => j !== i)
        .map((other) => {
          const apart = distance(own.mean, other.mean);
          return apart > 0 ? (own.spread + other.spread) / apart : Infinity;
        }),
    ),
  );
  return worst.reduce((sum, ratio) => sum + ratio, 0) / worst.length;
}

function distance(a: ArrayLike<number>, b: Float64Array): number {
  let sum = 0;
  for (let c = 0; c < b.length; c++) sum += (a[c] - b[c]) ** 2;
  return Math.sqrt(sum);
}
