/** A thread that lays points out in the plane: answers the number of a table with its layout. */
import { workerData } from "node:worker_threads";
import { answerAll } from "../../data/threads.ts";
import { tsne } from "./tsne.ts";
import type { Points } from "./layouts.ts";

const tables = workerData as readonly Points[];

answerAll<Float64Array>((number) => {
  const layout = tsne(tables[number].data, tables[number].rows);
  return [layout, [layout.buffer as ArrayBuffer]];
});
