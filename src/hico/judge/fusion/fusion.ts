/**
 * Fusion of several runs' scores (joint, motion and bone streams, as the field does it): weighted sums of softmax
 * scores, or of cosine similarities, and the search for weights.
 *
 * A weighted sum of similarities needs no matrix of its own: it is the product of rows that hold every run's features
 * side by side, each at the square root of its run's weight.
 */
import type { ClipTable } from "../clip-table.ts";
import type { FeatureTable } from "../features.ts";
import { rowLength } from "../features.ts";

/** Σ weight · scores, [clips, classes]. The tables have been matched. */
export function fuseScores(tables: readonly Pick<ClipTable, "data">[], weights: readonly number[]): Float32Array {
  const fused = new Float64Array(tables[0].data.length);
  tables.forEach(({ data }, t) => data.forEach((value, i) => (fused[i] += weights[t] * value)));
  return Float32Array.from(fused);
}

/** One table whose inner products are weighted sums of cosines. Its rows have equal length: its cosines have their order. */
export function fuseFeatures(tables: readonly ClipTable[], weights: readonly number[]): FeatureTable {
  const [first] = tables;
  const rows = first.names.length;
  const width = tables.reduce((sum, table) => sum + table.width, 0);
  const data = new Float32Array(rows * width);
  let at = 0;
  tables.forEach((table, t) => {
    const factor = Math.sqrt(weights[t]);
    for (let row = 0; row < rows; row++) {
      const own = table.data.subarray(row * table.width, (row + 1) * table.width);
      const length = rowLength(table, row);
      for (let c = 0; c < own.length; c++) data[row * width + at + c] = (own[c] * factor) / length;
    }
    at += table.width;
  });
  return { data, rows, width, labels: first.labels, clips: Array.from({ length: rows }, (_, i) => i) };
}

/** All ways of giving `count` runs weights that are multiples of 1 / steps and sum to 1. */
export function weightGrid(count: number, steps = count <= 3 ? 10 : 5): number[][] {
  const grid: number[][] = [];
  const extend = (head: readonly number[], left: number): void => {
    if (head.length === count - 1) grid.push([...head, left].map((n) => n / steps));
    else for (let n = 0; n <= left; n++) extend([...head, n], left - n);
  };
  extend([], steps);
  return grid;
}

/** The best of a grid: highest accuracy, then the tie-breaker, then the weights closest to equal ones. */
export function bestWeights(
  judged: readonly { readonly weights: readonly number[]; readonly accuracy: number; readonly tieBreaker?: number }[],
): { readonly weights: readonly number[]; readonly accuracy: number } {
  const spread = (weights: readonly number[]): number => weights.reduce((sum, w) => sum + w * w, 0);
  return judged.reduce((best, next) => {
    const differences = [
      next.accuracy - best.accuracy,
      (next.tieBreaker ?? 0) - (best.tieBreaker ?? 0),
      spread(best.weights) - spread(next.weights),
    ];
    return (differences.find((d) => d !== 0) ?? 0) > 0 ? next : best;
  });
}
