/** Matrix products of a very long inner axis as sums of products of parts, for kernels that sum it in one chain (long.ts). */
import { sizeOf } from "../tensor/shape.ts";
import type { LongProduct } from "./long.ts";
import { inParts } from "./long.ts";

/** Elements of a part of the inner axis at least. */
const PART = 1024;
/** Elements of all the parts' products together. */
const MOST_PRODUCTS = 2 ** 24;

export const productInParts: LongProduct = (a, b) => {
  const rank = a.rank;
  const [m, k] = a.shape.slice(-2);
  const lead = a.shape.slice(0, -2);
  const least = (k * m * b.shape[rank - 1] * sizeOf(lead)) / MOST_PRODUCTS;
  const parts = Math.ceil(k / Math.max(PART, Math.ceil(least / 4) * 4));
  // [.., m, parts, each] and [.., parts, each, n], multiplied part by part.
  const order = [...lead.map((_, i) => i), rank - 1, rank - 2, rank];
  const left = inParts(a, rank - 1, parts).permute(order);
  return left.matmul(inParts(b, rank - 2, parts)).sum(rank - 2);
};
