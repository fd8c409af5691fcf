/** Maps of several tables at once, each on a thread of its own: a thread starts in a twentieth of the time a map takes. */
import { Threads } from "../../data/threads.ts";
import type { FeatureTable } from "../../hico/judge/features.ts";

/** Rows that are laid out in the plane. */
export type Points = Pick<FeatureTable, "data" | "rows">;

/** What `tsne` makes of each table, in their order. `onProgress` may throw, which ends the threads. */
export async function layoutsOf(
  tables: readonly Points[],
  onProgress?: (done: number, total: number) => void,
): Promise<Float64Array[]> {
  const layouts: Float64Array[] = [];
  onProgress?.(0, tables.length);
  const made = new Threads<Float64Array>({
    program: new URL("./tsne-worker.js", import.meta.url),
    setup: tables.map(({ data, rows }): Points => ({ data, rows })),
    from: 0,
    until: tables.length,
    threads: tables.length,
    ahead: tables.length,
  });
  try {
    for (let layout = await made.next(); layout; layout = await made.next()) {
      layouts.push(layout);
      onProgress?.(layouts.length, tables.length);
    }
  } finally {
    await made.close();
  }
  return layouts;
}
