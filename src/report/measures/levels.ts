/** Each level of the hierarchy alone: a map of its features, and how well classes are apart in them. */
import type { FeatureTable } from "../../hico/judge/features.ts";
import { daviesBouldin } from "./davies-bouldin.ts";
import { evenly, levelOf, rowsOf, unitRows } from "./feature-rows.ts";
import { tsne } from "./tsne.ts";

/** The maps of all levels. */
export interface LevelMaps {
  /** Class of each clip on the maps. */
  readonly labels: readonly number[];
  /** Finest first. */
  readonly levels: readonly LevelMap[];
}

/** Where one level puts the clips on a map, and how well it separates the classes. */
export interface LevelMap {
  /** Davies–Bouldin index of all test clips' features at length 1: lower is better. Absent for fewer than two classes. */
  readonly daviesBouldin?: number;
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** @param most clips on a map at most */
export function levelMaps(
  test: FeatureTable,
  granularity: number,
  most: number,
  onProgress?: (done: number, total: number) => void,
): LevelMaps {
  const shown = evenly(test.rows, most);
  const levels = Array.from({ length: granularity }, (_, level): LevelMap => {
    const table = unitRows(levelOf(test, level, granularity));
    const layout = tsne(rowsOf(table, shown).data, shown.length, {
      onIteration: (d, n) => onProgress?.(level + d / n, granularity),
    });
    const index = daviesBouldin(table.data, table.labels);
    const axis = (offset: number): number[] => shown.map((_, i) => Number(layout[2 * i + offset].toFixed(3)));
    return { daviesBouldin: index === undefined ? undefined : Number(index.toFixed(4)), x: axis(0), y: axis(1) };
  });
  return { labels: shown.map((row) => test.labels[row]), levels };
}
