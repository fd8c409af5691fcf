/** Each level of the hierarchy alone: a map of its features, and how well classes are apart in them. */
import type { FeatureTable } from "../../hico/judge/features.ts";
import { daviesBouldin } from "./davies-bouldin.ts";
import { evenly, levelOf, unitRows } from "./feature-rows.ts";

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

/** The levels of a table. */
interface Levels {
  /** Features of all clips at length 1, finest level first. */
  readonly tables: readonly FeatureTable[];
  /** Rows of the clips on the maps. */
  readonly shown: readonly number[];
}

/** @param most clips on a map at most */
export function levelsOf(test: FeatureTable, granularity: number, most: number): Levels {
  const tables = Array.from({ length: granularity }, (_, level) => unitRows(levelOf(test, level, granularity)));
  return { tables, shown: evenly(test.rows, most) };
}

/** @param layouts where each level's shown clips are in the plane, as `tsne` gives it */
export function levelMaps({ tables, shown }: Levels, layouts: readonly Float64Array[]): LevelMaps {
  const levels = tables.map((table, level): LevelMap => {
    const index = daviesBouldin(table.data, table.labels);
    const axis = (offset: number): number[] => shown.map((_, i) => Number(layouts[level][2 * i + offset].toFixed(3)));
    return { daviesBouldin: index === undefined ? undefined : Number(index.toFixed(4)), x: axis(0), y: axis(1) };
  });
  return { labels: shown.map((row) => tables[0].labels[row]), levels };
}
