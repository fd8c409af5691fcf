/**
 * Kernels that the engine does not take by itself, beside the tile that it takes: double-buffered tiles, split-k for
 * weight gradients, several products of one shape in one dispatch, operands in float16. Each is checked like any tile.
 */
import { groupProducts } from "../../src/shaders/matmul/grouped.ts";
import { chooseTile, emitMatmul, formatTile, parseTile } from "../../src/shaders/matmul/matmul.ts";
import type { MatmulTile } from "../../src/shaders/matmul/product.ts";
import { emitSplitK } from "../../src/shaders/matmul/split-k.ts";
import type { AdapterProfile } from "../../src/shaders/kernel.ts";
import type { Product } from "../../test/shaders/matmul/matmul-problem.ts";
import { declarationsOf, specOf } from "../../test/shaders/matmul/matmul-problem.ts";
import type { Part, PartContext } from "./part.ts";
import { describeProduct } from "./product-cases.ts";
import { type Candidate, ProductProblem, TOLERANCE } from "./product-problem.ts";
import { PRODUCT_COLUMNS, productCases, productRow } from "./products-part.ts";
import type { PartResult, Row } from "./results.ts";

/** Blocks of 128 × 128 with 8 × 8 results an invocation, and smaller ones; `d` is for double buffering. */
const BLOCKS = ["8x2 16x16 k8", "8x2 16x16 k8 d", "8x2 16x16 k16 d", "8x1 8x8 k16 d", "4x1 8x8 k16", "4x1 8x8 k16 d"];
const SMALL_BLOCKS = ["4x1 4x4 k8", "4x1 4x4 k8 d"];
/** Products that are put together. */
const GROUP = 4;

function tilesOf(texts: readonly string[], profile: AdapterProfile): MatmulTile[] {
  return texts
    .map((text) => parseTile(`shared ${text}`))
    .filter((tile) => tile.workgroup[0] * tile.workgroup[1] <= profile.maxInvocations);
}

/** Tiles of workgroup memory that fit, and why others do not. */
function blocks(product: Product, profile: AdapterProfile, small: boolean): { made: Candidate[]; failed: string[] } {
  const made: Candidate[] = [];
  const failed: string[] = [];
  for (const tile of tilesOf(small ? SMALL_BLOCKS : BLOCKS, profile)) {
    try {
      made.push({ name: formatTile(tile), kernels: [emitMatmul(specOf(product), tile, profile)] });
    } catch (error) {
      failed.push(`${formatTile(tile)}: ${(error as Error).message}`);
    }
  }
  return { made, failed };
}

/** Split-k with the tile that the engine would take for a part. */
function splits(product: Product, profile: AdapterProfile, small: boolean): Candidate[] {
  if (product.k < (small ? 128 : 2048)) return [];
  return (small ? [4] : [4, 8, 16, 32]).map((parts) => {
    const spec = specOf(product);
    const tile = chooseTile({ ...spec, batch: spec.batch * parts, k: Math.ceil(spec.k / parts) }, profile);
    const operands = { declarations: declarationsOf(product, { a: 0, b: 1 }), binding: 2 };
    const results = { declarations: declarationsOf(product, { c: 1 }), binding: 0 };
    const { partial, sum, scratch } = emitSplitK(spec, { parts, operands, results }, tile, profile);
    return {
      name: `split-k in ${parts}, ${formatTile(tile)}`,
      scratch,
      kernels: [
        { ...partial, binds: ["a", "b", "scratch"], writes: "scratch" },
        { ...sum, binds: ["scratch", "c"] },
      ],
    };
  });
}

/** Operands in float16, sums in float32: half the bytes of A and B. */
function halves(product: Product, profile: AdapterProfile): Candidate[] {
  const { m, n, k, transposeA = false, transposeB = false } = product;
  const fours = (transposeA ? m : k) % 4 === 0 && (transposeB ? k : n) % 4 === 0;
  if (!profile.f16 || !fours) return [];
  const spec = specOf(product);
  const widened = (operand: typeof spec.a): typeof spec.a => ({
    ...operand,
    load: (...at) => `f32(${operand.load(...at)})`,
    load4: (...at) => `vec4<f32>(${operand.load4(...at)})`,
  });
  const half = (text: string): string => text.replaceAll("vec4<f32>", "vec4<f16>");
  const declarations = [
    "enable f16;",
    half(declarationsOf(product, { a: 0, b: 1 })),
    declarationsOf(product, { c: 2 }),
  ].join("\n");
  const tile = chooseTile(spec, profile);
  const kernel = emitMatmul({ ...spec, a: widened(spec.a), b: widened(spec.b), declarations }, tile, profile);
  return [{ name: `float16 operands, ${formatTile(tile)}`, kernels: [{ ...kernel, binds: ["a16", "b16", "c"] }] }];
}

/** The product several times over: a dispatch each, or one for all. Times and rates are of all of them. */
function groups(product: Product, profile: AdapterProfile): { all: Product; made: Candidate[] } {
  const all = { ...product, batch: GROUP * product.batch };
  // SwiftShader takes minutes to compile a choice of buffers at every load of a large tile.
  const tile = profile.kind === "cpu" ? parseTile("registers 1x1 8x1") : chooseTile(specOf(product), profile);
  const single = emitMatmul(specOf(product), tile, profile);
  const specs = Array.from({ length: GROUP }, (_, i) => specOf(product, String(i), 3 * i));
  const grouped = emitMatmul(groupProducts("grouped", specs), tile, profile);
  const members = Array.from({ length: GROUP }, (_, i) => i);
  return {
    all,
    made: [
      {
        name: `${GROUP} dispatches, ${formatTile(tile)}`,
        kernels: members.map((member) => ({ ...single, binds: [{ a: member }, { b: member }, { c: member }] })),
      },
      {
        name: `one dispatch of ${GROUP}, ${formatTile(tile)}`,
        kernels: [{ ...grouped, binds: members.flatMap((member) => [{ a: member }, { b: member }, { c: member }]) }],
      },
    ],
  };
}

async function run(context: PartContext): Promise<PartResult> {
  const { device, small, tell, timeLeft } = context;
  const { gpu } = device;
  const rows: Row[] = [];
  const gains: { name: string; gain: number }[] = [];
  const notes: string[] = [
    "subgroup matrices: this battery has no kernel of them" +
      (gpu.info.features.some((name) => name.includes("subgroup-matrix")) ? "; the adapter has the feature" : ""),
  ];
  if (!gpu.profile.f16) notes.push("float16 operands: the adapter has no shader-f16");
  // One copy of A, B and C each has to lie at an offset that can be bound, with all of them bound at once.
  const groupable = ({ batch, m, n, k }: Product): boolean =>
    [m * k, k * n, m * n].every((count) => (4 * batch * count) % 256 === 0) &&
    3 * GROUP <= gpu.profile.maxStorageBuffers;
  const left = small ? ["1024", "heads", "vector"] : ["classes", "vector"];
  const cases = productCases(small).filter(([name]) => !left.includes(name));
  for (const [at, [name, product]] of cases.entries()) {
    if (at > 0 && timeLeft() < 0) {
      notes.push(`${name}: no time left`);
      continue;
    }
    const until = performance.now() + timeLeft() / (cases.length - at);
    const spec = specOf(product);
    const chosen = chooseTile(spec, gpu.profile);
    const { made, failed } = blocks(product, gpu.profile, small);
    notes.push(...failed.map((text) => `${name}, ${text}`));
    const baseline = { name: `the engine's, ${formatTile(chosen)}`, kernels: [emitMatmul(spec, chosen, gpu.profile)] };
    const apart = made.filter((one) => one.name !== formatTile(chosen));
    const list: { product: Product; candidates: Candidate[] }[] = [
      {
        product,
        candidates: [baseline, ...apart, ...splits(product, gpu.profile, small), ...halves(product, gpu.profile)],
      },
    ];
    if (product.batch === 1 && groupable(product) && product.m * product.n <= 4096 * 512) {
      const { all, made: candidates } = groups(product, gpu.profile);
      list.push({ product: all, candidates });
    }
    for (const { product: measured, candidates } of list) {
      const problem = new ProductProblem(gpu, measured);
      const result = await problem.measure(
        candidates,
        small ? { samples: 2, each: 1 } : { samples: 7, each: 8 },
        () => until - performance.now(),
        (kernel) => tell(`${describeProduct(measured)}: ${kernel}`),
      );
      notes.push(...result.failed.map((text) => `${name}, ${text}`));
      const [first] = result.found;
      for (const one of result.found) {
        const right = one.error <= TOLERANCE;
        if (!right) notes.push(`${name}, ${one.name}: WRONG, error ${one.error.toExponential(1)}`);
        if (right && one !== first) gains.push({ name: `${one.name} on ${name}`, gain: first.ms / one.ms });
        rows.push({
          case: `${name}: ${describeProduct(measured)}`,
          kernel: one.name,
          gain: first.ms / one.ms,
          ...productRow(context, problem, one),
        });
      }
      problem.dispose();
    }
    gpu.trim();
  }
  const [best] = gains.sort((p, q) => q.gain - p.gain);
  return {
    summary: best ? `most is gained by ${best.name}: ${best.gain.toPrecision(3)} times the engine's` : "nothing ran",
    figures: Object.fromEntries(best ? [["otherKernelGain", best.gain]] : []),
    tables: [
      {
        title: "Beside the engine's tile",
        note: "Times as fast as the first of the same product; of several products in one row all of them are done.",
        columns: [
          { key: "case", label: "m × n × k", kind: "text" },
          { key: "kernel", label: "kernel", kind: "text" },
          { key: "gain", label: "times as fast", kind: "number" },
          ...PRODUCT_COLUMNS,
        ],
        rows,
      },
    ],
    notes,
  };
}

export const otherKernelsPart: Part = {
  name: "other-kernels",
  title: "Kernels beside the engine's",
  seconds: { full: 60, small: 15 },
  run,
};
