/** Products in float32: every tile that is worth a look, each checked, with its share of the adapter's peak. */
import { candidateTiles, chooseTile, emitMatmul, formatTile } from "../../src/shaders/matmul/matmul.ts";
import type { Product } from "../../test/shaders/matmul/matmul-problem.ts";
import { specOf } from "../../test/shaders/matmul/matmul-problem.ts";
import type { Part, PartContext } from "./part.ts";
import { describeProduct, PRODUCT_CASES } from "./product-cases.ts";
import { ProductProblem, TOLERANCE } from "./product-problem.ts";
import type { PartResult, Row } from "./results.ts";

/** Cases of small batteries, brought down to a size that a software driver does in a moment. */
const SMALL: readonly string[] = ["1024", "grad", "heads", "vector"];

function shrunk(product: Product): Product {
  const less = (size: number): number => Math.min(size, Math.max(64, size >> 4));
  return {
    ...product,
    batch: Math.min(product.batch, 4),
    m: less(product.m),
    n: Math.min(product.n, 64),
    k: less(product.k),
  };
}

/** Cases by name in the sizes of this battery. */
export function productCases(small: boolean): [string, Product][] {
  const all = Object.entries(PRODUCT_CASES);
  return small ? all.filter(([name]) => SMALL.includes(name)).map(([name, product]) => [name, shrunk(product)]) : all;
}

/** Parts of the row of a measured kernel that every table of products has. */
export function productRow(
  { figure }: Pick<PartContext, "figure">,
  problem: ProductProblem,
  { ms, error, compileMs }: { ms: number; error: number; compileMs: number },
): Row {
  const gflops = problem.flops / ms / 1e6;
  const peak = figure("peakGflops");
  const copy = figure("copyGbs");
  const bound =
    peak === undefined || copy === undefined ? null : Math.max(problem.flops / peak, problem.bytes / copy) / 1e6 / ms;
  return {
    ms,
    gflops,
    peak: peak === undefined ? null : gflops / peak,
    bound,
    compile: compileMs,
    error: Number.isFinite(error) ? error : "not a number",
  };
}

export const PRODUCT_COLUMNS = [
  { key: "ms", label: "ms", kind: "number" },
  { key: "gflops", label: "GFLOP/s", kind: "number" },
  { key: "peak", label: "of peak", kind: "share" },
  { key: "bound", label: "of bound", kind: "share" },
  { key: "compile", label: "compiled in ms", kind: "number" },
  { key: "error", label: "error", kind: "number" },
] as const;

async function run(context: PartContext): Promise<PartResult> {
  const { device, small, tell, timeLeft } = context;
  const { gpu } = device;
  const rows: Row[] = [];
  const best: Row[] = [];
  const notes: string[] = [];
  const cases = productCases(small);
  for (const [at, [name, product]] of cases.entries()) {
    if (at > 0 && timeLeft() < 0) {
      notes.push(`${name}: no time left`);
      continue;
    }
    // What is left is shared out among the cases that are to come.
    const until = performance.now() + timeLeft() / (cases.length - at);
    const spec = specOf(product);
    const chosen = formatTile(chooseTile(spec, gpu.profile));
    const tiles = candidateTiles(spec, gpu.profile, small ? 3 : 16);
    const problem = new ProductProblem(gpu, product);
    const candidates = tiles.map((tile) => ({
      name: formatTile(tile),
      kernels: [emitMatmul(spec, tile, gpu.profile)],
    }));
    const { found, failed } = await problem.measure(
      candidates,
      small ? { samples: 3, each: 1 } : { samples: 7, each: 8 },
      () => until - performance.now(),
      (kernel) => tell(`${describeProduct(product)}: ${kernel}`),
    );
    notes.push(...failed.map((text) => `${name}, ${text}`));
    const sorted = [...found].sort((p, q) => p.ms - q.ms);
    for (const one of sorted) {
      if (one.error > TOLERANCE) notes.push(`${name}, ${one.name}: WRONG, error ${one.error.toExponential(1)}`);
      rows.push({
        case: `${name}: ${describeProduct(product)}`,
        tile: one.name,
        chosen: one.name === chosen ? "the model's" : "",
        ...productRow(context, problem, one),
      });
    }
    const own = sorted.find(({ name: tile }) => tile === chosen);
    const right = sorted.filter(({ error }) => error <= TOLERANCE);
    if (own && right[0]) {
      best.push({
        case: `${name}: ${describeProduct(product)}`,
        best: right[0].name,
        chosen,
        gain: own.ms / right[0].ms,
        ...productRow(context, problem, right[0]),
      });
    }
    problem.dispose();
    gpu.trim();
  }
  const squares = best.find(({ case: name }) => String(name).startsWith("1024"));
  const gains = best.map(({ gain }) => Number(gain));
  const mean = Math.exp(gains.reduce((sum, gain) => sum + Math.log(gain), 0) / Math.max(1, gains.length));
  const gflops = Number(squares?.gflops ?? Number.NaN);
  return {
    summary:
      `${gflops.toPrecision(3)} GFLOP/s on ${describeProduct(cases[0][1])}` +
      `${typeof squares?.peak === "number" ? `, ${Math.round(100 * squares.peak)} % of the peak` : ""}; ` +
      `measured tiles are ${mean.toFixed(2)} times as fast as the model's`,
    figures: { productGflops: gflops, tuningGain: mean },
    tables: [
      {
        title: "The best tile of each product, and the one the model takes",
        columns: [
          { key: "case", label: "m × n × k", kind: "text" },
          { key: "best", label: "best tile", kind: "text" },
          { key: "chosen", label: "the model's tile", kind: "text" },
          { key: "gain", label: "times as fast", kind: "number" },
          ...PRODUCT_COLUMNS,
        ],
        rows: best,
      },
      {
        title: "Every tile",
        note: "Errors are relative to the sum of absolute products; the bound is the peak or the copy's bandwidth, whichever holds.",
        columns: [
          { key: "case", label: "m × n × k", kind: "text" },
          { key: "tile", label: "tile", kind: "text" },
          { key: "chosen", label: "", kind: "text" },
          ...PRODUCT_COLUMNS,
        ],
        rows,
      },
    ],
    notes,
  };
}

export const productsPart: Part = {
  name: "products",
  title: "Matrix products, float32",
  seconds: { full: 90, small: 20 },
  run,
};
