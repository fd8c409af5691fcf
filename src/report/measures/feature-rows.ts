/** Rows and columns picked out of tables of features. */
import type { FeatureTable } from "../../hico/judge/features.ts";

/** `most` rows of `count`, evenly spread. */
export function evenly(count: number, most: number): number[] {
  const n = Math.min(count, most);
  return Array.from({ length: n }, (_, i) => Math.floor((i * count) / n));
}

export function rowsOf({ data, width, labels, clips }: FeatureTable, rows: readonly number[]): FeatureTable {
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => picked.set(data.subarray(row * width, (row + 1) * width), i * width));
  return {
    data: picked,
    rows: rows.length,
    width,
    labels: Int32Array.from(rows, (r) => labels[r]),
    clips: rows.map((r) => clips[r]),
  };
}

/** The table with rows of length 1: squared distances then are 2 − 2·cosine, what retrieval goes by. */
export function unitRows({ data, width, ...rest }: FeatureTable): FeatureTable {
  const scaled = Float32Array.from(data);
  for (let from = 0; from < scaled.length; from += width) {
    const row = scaled.subarray(from, from + width);
    const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0)) || 1;
    for (let c = 0; c < width; c++) row[c] /= length;
  }
  return { data: scaled, width, ...rest };
}

/**
 * Features of one level of the hierarchy: of [clip levels, part levels], G·d numbers each, the level's slice of both.
 * @param level counted from 0, the finest
 */
export function levelOf(
  { data, width, rows, ...rest }: FeatureTable,
  level: number,
  granularity: number,
): FeatureTable {
  if (width % (2 * granularity) !== 0)
    throw new Error(`features of width ${width} are not those of ${granularity} levels of two domains`);
  const size = width / (2 * granularity);
  const picked = new Float32Array(rows * 2 * size);
  for (let row = 0; row < rows; row++) {
    for (const domain of [0, 1]) {
      const from = row * width + (domain * granularity + level) * size;
      picked.set(data.subarray(from, from + size), (2 * row + domain) * size);
    }
  }
  return { data: picked, width: 2 * size, rows, ...rest };
}
