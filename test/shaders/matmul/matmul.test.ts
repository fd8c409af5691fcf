import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import type { Gpu } from "../../../src/device/webgpu/gpu/gpu.ts";
import type { AdapterProfile } from "../../../src/shaders/kernel.ts";
import type { MatmulTile, RegisterTile, SharedTile } from "../../../src/shaders/matmul/product.ts";
import {
  candidateTiles,
  chooseTile,
  emitMatmul,
  formatTile,
  invocationsOf,
  parseTile,
} from "../../../src/shaders/matmul/matmul.ts";
import { openTestGpu } from "../../environments/test-gpu.ts";
import type { Product } from "./matmul-problem.ts";
import { reference, run, specOf, values, worstError } from "./matmul-problem.ts";

/** The smallest limits any WebGPU adapter has. */
const profile = (kind: "cpu" | "gpu"): AdapterProfile => ({
  kind,
  maxStorageBuffers: 8,
  maxInvocations: 256,
  maxWorkgroupBytes: 16384,
  maxBindingBytes: 128 << 20,
  subgroups: false,
  f16: false,
});

const registers = (rows: number, columns: number, x: number, y: number): RegisterTile => ({
  kind: "registers",
  rows,
  columns,
  workgroup: [x, y],
});
const shared = (rows: number, columns: number, x: number, y: number, kTile: number, slices = 1): SharedTile => ({
  kind: "shared",
  rows,
  columns,
  workgroup: [x, y],
  kTile,
  slices,
});

/** f32 rounding of a sum of k products, in any order: (k + 1) units of 2^-24 of the sum of absolute products. */
const bound = (k: number): number => (k + 4) * 2 ** -24;

describe("matmul kernels", () => {
  let gpu: Gpu;
  before(async () => {
    gpu = await openTestGpu();
  });
  after(() => gpu.close());

  async function check(product: Product, tile: MatmulTile): Promise<void> {
    const a = values(product.batch * product.m * product.k, 1);
    const b = values(product.batch * product.k * product.n, 2);
    const got = await run(gpu, product, tile, a, b);
    const error = worstError(got, reference(product, a, b));
    assert.ok(error <= bound(product.k), `${JSON.stringify(product)} with "${formatTile(tile)}": error ${error}`);
  }

  /** Sizes around the tiles' own, and multiples of 4 often enough for vector reads. */
  const size = fc.oneof(
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 11 }).map((n) => 4 * n),
    fc.integer({ min: 10, max: 45 }),
  );
  const products = fc.record({
    batch: fc.constantFrom(1, 1, 2, 3),
    m: size,
    n: size,
    k: size,
    transposeA: fc.boolean(),
    transposeB: fc.boolean(),
    fused: fc.boolean(),
    scalar: fc.constantFrom(false, false, true),
  });

  // SwiftShader takes half a second to compile a kernel with barriers.
  const tiles: [string, number, MatmulTile[]][] = [
    ["register", 40, [registers(4, 1, 8, 1), registers(1, 2, 4, 2), registers(4, 2, 2, 4), registers(2, 1, 1, 8)]],
    [
      "shared",
      10,
      [
        shared(4, 1, 4, 4, 8),
        shared(8, 1, 4, 2, 16),
        shared(4, 1, 2, 2, 16, 4),
        shared(4, 2, 2, 4, 4),
        shared(4, 1, 4, 8, 32, 2),
      ],
    ],
    [
      "double-buffered",
      8,
      [
        { ...shared(4, 1, 4, 4, 8), double: true },
        { ...shared(8, 2, 2, 2, 4), double: true },
        { ...shared(4, 1, 2, 2, 16, 4), double: true },
      ],
    ],
  ];
  for (const [name, runs, choice] of tiles) {
    test(`${name} tiles agree with float64 on random shapes, layouts and tiles`, async () => {
      await fc.assert(fc.asyncProperty(products, fc.constantFrom(...choice), check), { numRuns: runs });
    });
  }

  test("the tiles chosen by themselves agree with float64, for both kinds of adapter", async () => {
    const both: Product[] = [
      { batch: 1, m: 1, n: 1, k: 1 },
      { batch: 1, m: 300, n: 1, k: 70 },
      { batch: 1, m: 64, n: 64, k: 512, transposeA: true },
    ];
    const cpuOnly: Product[] = [
      { batch: 1, m: 1, n: 300, k: 70 },
      { batch: 2, m: 33, n: 2, k: 12, transposeA: true },
      { batch: 1, m: 260, n: 10, k: 64 },
      { batch: 7, m: 20, n: 20, k: 8, transposeB: true },
    ];
    for (const product of [...both, ...cpuOnly]) await check(product, chooseTile(specOf(product), profile("cpu")));
    for (const product of both) await check(product, chooseTile(specOf(product), profile("gpu")));
  });

  test("the largest tiles are right, inside and at the edges", async () => {
    const blocks128 = shared(8, 2, 16, 16, 8);
    for (const tile of [registers(16, 4, 8, 1), blocks128, { ...blocks128, double: true }]) {
      await check({ batch: 1, m: 128, n: 128, k: 16 }, tile);
      await check({ batch: 1, m: 131, n: 132, k: 21, fused: true }, tile);
    }
  });

  test("more blocks than one dispatch dimension holds are all computed", async () => {
    const product: Product = { batch: 70_001, m: 2, n: 3, k: 2 };
    await check(product, registers(2, 1, 1, 1));
    await check(product, shared(4, 1, 1, 1, 4));
  });

  test("what lies beyond the end of k never reaches a result", async () => {
    // Were only one operand zeroed there, the padding would add inf * 0 = NaN.
    const product: Product = { batch: 1, m: 4, n: 4, k: 5 };
    const a = new Float32Array(20).fill(1);
    a[4] = Number.POSITIVE_INFINITY;
    const b = new Float32Array(20).fill(1);
    for (const double of [false, true]) {
      const got = await run(gpu, product, { ...shared(4, 1, 1, 1, 8), double }, a, b);
      assert.deepEqual([...got.slice(0, 4)], new Array(4).fill(Number.POSITIVE_INFINITY));
      assert.deepEqual([...got.slice(4)], new Array(12).fill(5));
    }
  });
});

describe("the choice of a tile", () => {
  const blocks = ({ batch, m, n, k }: Product, tile: MatmulTile): number => {
    const [x, y, z] = emitMatmul(specOf({ batch, m, n, k }), tile, profile("cpu")).workgroups;
    return x * y * z;
  };

  test("a product that takes a CPU-backed adapter a while is shared out over several workgroups", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 16, max: 300 }),
        fc.integer({ min: 16, max: 300 }),
        fc.integer({ min: 500, max: 5000 }),
        (m, n, k) => {
          fc.pre(m * n >= 8192);
          const product: Product = { batch: 1, m, n, k };
          const tile = chooseTile(specOf(product), profile("cpu"));
          assert.ok(blocks(product, tile) >= 4, `${formatTile(tile)}: ${blocks(product, tile)} workgroups`);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("large products get large tiles", () => {
    const large = { batch: 1, m: 1024, n: 1024, k: 1024 };
    const cpu = chooseTile(specOf(large), profile("cpu"));
    assert.deepEqual([cpu.rows, cpu.columns], [16, 4]);
    const gpu = chooseTile(specOf(large), profile("gpu"));
    assert.deepEqual([gpu.kind, gpu.rows, gpu.columns], ["shared", 8, 2]);
  });

  test("a weight's gradient on a GPU shares out its long k", () => {
    const tile = chooseTile(specOf({ batch: 1, m: 128, n: 128, k: 4096, transposeA: true }), profile("gpu"));
    assert.ok(tile.kind === "shared" && tile.slices > 1, formatTile(tile));
  });

  test("every candidate fits the adapter, has its own text, and comes back from that text", () => {
    for (const kind of ["cpu", "gpu"] as const) {
      for (const [m, n, k] of [
        [1, 1, 1],
        [4096, 10, 512],
        [128, 128, 4096],
        [150, 512, 99],
      ]) {
        const spec = specOf({ batch: 2, m, n, k });
        const found = candidateTiles(spec, profile(kind));
        assert.ok(found.length > 1);
        assert.equal(new Set(found.map(formatTile)).size, found.length);
        for (const tile of found) {
          assert.ok(invocationsOf(tile) <= 256);
          assert.deepEqual(parseTile(formatTile(tile)), tile);
          emitMatmul(spec, tile, profile(kind));
        }
      }
    }
  });
});

describe("matmul errors name the rule", () => {
  const spec = specOf({ batch: 1, m: 8, n: 8, k: 8 });
  const cases: [string, () => unknown, RegExp][] = [
    ["an empty size", () => emitMatmul({ ...spec, k: 0 }, registers(1, 1, 8, 1), profile("cpu")), /k is 0.*at least 1/],
    [
      "vectors along an odd axis",
      () => emitMatmul({ ...spec, k: 6 }, registers(1, 1, 8, 1), profile("cpu")),
      /operand A has vectorAxis "k", but k = 6/,
    ],
    [
      "vector stores of odd rows",
      () => emitMatmul({ ...spec, n: 6, b: { ...spec.b, vectorAxis: "none" } }, registers(1, 1, 8, 1), profile("cpu")),
      /storeVector is set, but n = 6/,
    ],
    ["too many invocations", () => emitMatmul(spec, registers(1, 1, 32, 32), profile("cpu")), /1024 invocations/],
    [
      "too much workgroup memory",
      () => emitMatmul(spec, shared(8, 2, 16, 16, 64), profile("gpu")),
      /bytes of workgroup memory/,
    ],
    [
      "a tile of odd rows",
      () => emitMatmul(spec, shared(6, 1, 8, 8, 8), profile("gpu")),
      /rows = 6 must be a multiple of 4/,
    ],
    ["a tile nobody can read", () => parseTile("registers 4"), /"registers 4" is not understood/],
  ];
  for (const [name, body, message] of cases) test(name, () => assert.throws(body, message));
});
