/**
 * Nearest neighbours by cosine similarity, on the device: the retrieval protocol.
 *
 * Similarities of a block of queries to a block of the gallery are one matrix product, from which the device keeps the
 * k largest; the host merges the blocks. No similarity matrix of the whole set is ever held.
 */
import { l2Normalize } from "../../ops/normalization.ts";
import { topK } from "../../ops/top-k.ts";
import { noGrad } from "../../autograd/grad.ts";
import { compile } from "../../tensor/program/compile.ts";
import { tensor } from "../../tensor/create.ts";
import { realize } from "../../tensor/program/realize.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { FeatureTable } from "./features.ts";
import { requireFinite, requireLabels } from "./features.ts";
import type { Scores } from "./scores.ts";
import { scoresOf } from "./scores.ts";

/** Per query, best first. */
export interface Neighbours {
  readonly k: number;
  /** Rows of the gallery, [queries, k]. */
  readonly rows: Int32Array;
  readonly similarities: Float32Array;
}

/** Rows of a block: similarities [1024, 4096] are 16 MB, and a block of features of width 4096 is 64 MB. */
const QUERY_BLOCK = 1024;
const GALLERY_BLOCK = 4096;

/** The `k` rows of the gallery with the largest cosine to each query, largest first. */
export async function nearest(gallery: FeatureTable, queries: FeatureTable, k = 1): Promise<Neighbours> {
  if (gallery.width !== queries.width)
    throw new Error(`kNN: features of width ${queries.width} against ${gallery.width}`);
  if (!Number.isInteger(k) || k < 1 || k > gallery.rows)
    throw new Error(`kNN: k is ${k}; it must be from 1 to the gallery's ${gallery.rows} clips`);
  for (const table of [gallery, queries]) requireFinite(table, "kNN");
  const rows = new Int32Array(queries.rows * k).fill(-1);
  const similarities = new Float32Array(queries.rows * k).fill(-Infinity);
  for (let g = 0; g < gallery.rows; g += GALLERY_BLOCK) {
    const block = blockOf(gallery, g, GALLERY_BLOCK);
    const held = Math.min(k, block.shape[0]);
    const normalized = l2Normalize(block);
    await realize([normalized]);
    const search = compile((q: Tensor, all: Tensor) =>
      noGrad(() => topK(l2Normalize(q).matmul(all.transpose()), held)),
    );
    for (let from = 0; from < queries.rows; from += QUERY_BLOCK) {
      const query = blockOf(queries, from, QUERY_BLOCK);
      const { values, indices } = await search(query, normalized);
      const [found, places] = [await values.read(), await indices.read()];
      for (let i = 0; i < query.shape[0]; i++) {
        for (let j = 0; j < held; j++)
          insert(rows, similarities, (from + i) * k, k, g + places[i * held + j], found[i * held + j]);
      }
      values.dispose();
      indices.dispose();
    }
    normalized.dispose();
  }
  return { k, rows, similarities };
}

function blockOf(table: FeatureTable, from: number, most: number): Tensor {
  const rows = Math.min(most, table.rows - from);
  return tensor(table.data.slice(from * table.width, (from + rows) * table.width), { shape: [rows, table.width] });
}

/** Puts a candidate where it belongs among the k best of a query; of equals the earlier stays first. */
function insert(
  rows: Int32Array,
  similarities: Float32Array,
  at: number,
  k: number,
  row: number,
  similarity: number,
): void {
  let place = k;
  while (place > 0 && similarity > similarities[at + place - 1]) place--;
  for (let i = k - 1; i > place; i--) {
    rows[at + i] = rows[at + i - 1];
    similarities[at + i] = similarities[at + i - 1];
  }
  if (place < k) {
    rows[at + place] = row;
    similarities[at + place] = similarity;
  }
}

/** Of so many `classes`, the one that most of the k neighbours have; of equals, the one with the nearest neighbour. */
export function vote({ k, rows }: Neighbours, gallery: FeatureTable, classes: number): Int32Array {
  requireLabels(gallery, classes, "kNN");
  return Int32Array.from({ length: rows.length / k }, (_, query) => {
    const votes = new Int32Array(classes);
    for (let j = 0; j < k; j++) votes[gallery.labels[rows[query * k + j]]]++;
    const most = Math.max(...votes);
    for (let j = 0; j < k; j++) {
      const label = gallery.labels[rows[query * k + j]];
      if (votes[label] === most) return label;
    }
    return -1;
  });
}

/** Scores of nearest neighbours with `k` votes. */
export interface KnnResult extends Scores {
  readonly k: number;
}

/** Accuracy of k-NN with the training clips as gallery; `classes` are names, by label. */
export async function knnAccuracy(
  train: FeatureTable,
  test: FeatureTable,
  classes: readonly string[],
  k = 1,
): Promise<KnnResult> {
  requireLabels(test, classes.length, "kNN");
  const answers = vote(await nearest(train, test, k), train, classes.length);
  return { k, ...scoresOf(answers, test.labels, classes) };
}
