/** The products that a HiCo step is made of, and the square one that everybody measures: sizes and layouts. */
import type { Product } from "../../test/shaders/matmul/matmul-problem.ts";

export const PRODUCT_CASES: Readonly<Record<string, Product>> = {
  "1024": { batch: 1, m: 1024, n: 1024, k: 1024 },
  tall: { batch: 1, m: 13632, n: 512, k: 512 },
  widen: { batch: 1, m: 4096, n: 512, k: 128 },
  narrow: { batch: 1, m: 4096, n: 128, k: 512 },
  grad: { batch: 1, m: 128, n: 512, k: 4096, transposeA: true },
  "grad-small": { batch: 1, m: 128, n: 128, k: 4096, transposeA: true },
  "grad-150": { batch: 1, m: 512, n: 150, k: 4096, transposeA: true },
  "input-grad": { batch: 1, m: 4096, n: 512, k: 128, transposeB: true },
  heads: { batch: 256, m: 64, n: 64, k: 32 },
  classes: { batch: 1, m: 4096, n: 10, k: 512 },
  vector: { batch: 1, m: 4096, n: 1, k: 512 },
};

/** What a case is, in a few signs: `4096 × 512 × 128, A transposed`. */
export function describeProduct({ batch, m, n, k, transposeA, transposeB }: Product): string {
  const turned = [transposeA ? "A" : "", transposeB ? "B" : ""].filter((name) => name !== "").join(" and ");
  return `${batch > 1 ? `${batch} of ` : ""}${m} × ${n} × ${k}${turned ? `, ${turned} transposed` : ""}`;
}
