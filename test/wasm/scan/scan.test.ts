/**
 * The recurrent scans as WebAssembly against the ops' decompositions in float64, and their results' independence of how
 * units are dealt out.
 */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { valueAndGrad } from "../../../src/autograd/grad.ts";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../../src/device/reference/reference.ts";
import { gruScan, lstmScan } from "../../../src/ops/scan.ts";
import type { ScanSpec } from "../../../src/specs/scan.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { compile } from "../../../src/tensor/program/compile.ts";
import { tensor } from "../../../src/tensor/create.ts";
import { sizeOf } from "../../../src/tensor/shape.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { wasmFeatures } from "../../../src/wasm/assembler/features.ts";
import type { WasmLowering } from "../../../src/wasm/kernel.ts";
import { scanBackward, scanForward } from "../../../src/wasm/scan/scan.ts";
import type { Scan } from "../../specs/scan-problem.ts";
import { SCANS, assertPass, scanProblem } from "../../specs/scan-problem.ts";
import type { Pass } from "../../support/decomposition.ts";
import { seededRandom } from "../../support/draw.ts";
import { runLowering } from "../run-lowering.ts";

async function check(scan: Scan, spec: ScanSpec, seed: number, scale = 1): Promise<void> {
  const { forward, backward } = await scanProblem(scan, spec, seed, scale);
  const label = `${scan.name} ${JSON.stringify(spec)}`;
  const run = (lowering: WasmLowering, pass: Pass): Float32Array[] => {
    const outputs = runLowering(lowering, pass.inputs, pass.sizes);
    assertPass(label, pass, outputs);
    for (const split of [1, 3]) {
      const parts = runLowering(lowering, pass.inputs, pass.sizes, { split });
      assert.deepEqual(parts, outputs, `${label}: ${split} units a call`);
    }
    return outputs;
  };
  const results = run(scanForward(scan.cell, spec), forward).slice(0, 1 + scan.cell.states.length);
  const alone = runLowering(
    scanForward(scan.cell, spec, false),
    forward.inputs,
    forward.sizes.slice(0, 1 + scan.cell.states.length),
  );
  assert.deepEqual(alone, results, `${label}: results where nothing is kept for a backward pass`);
  const gradients = run(scanBackward(scan.cell, spec), backward);
  // In pairs of vectors, which any engine runs, nothing changes.
  const wideResults = run(scanForward(scan.cell, spec, true, true), forward);
  assert.deepEqual(wideResults.slice(0, 1 + scan.cell.states.length), results, `${label}: results in pairs of vectors`);
  const wideAlone = runLowering(
    scanForward(scan.cell, spec, false, true),
    forward.inputs,
    forward.sizes.slice(0, 1 + scan.cell.states.length),
  );
  assert.deepEqual(wideAlone, results, `${label}: results in pairs of vectors where nothing is kept`);
  assert.deepEqual(
    run(scanBackward(scan.cell, spec, true), backward),
    gradients,
    `${label}: gradients in pairs of vectors`,
  );
}

/** Sizes with several blocks of rows, rows left over, hidden sizes around the tile's. */
const specs: fc.Arbitrary<ScanSpec> = fc
  .record({
    segments: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
    batch: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 10, max: 37 })),
    directions: fc.integer({ min: 1, max: 2 }),
    hidden: fc.oneof(fc.integer({ min: 1, max: 18 }), fc.integer({ min: 19, max: 70 })),
    masked: fc.boolean(),
  })
  .map(({ segments, ...rest }) => ({
    ...rest,
    steps: segments.reduce((a, b) => a + b, 0),
    ...(segments.length > 1 ? { segments } : {}),
  }));

for (const scan of SCANS) {
  describe(`${scan.name} scan as WebAssembly`, () => {
    test("random sizes", async () => {
      const seeds = fc.integer({ min: 1, max: 1e6 });
      await fc.assert(
        fc.asyncProperty(specs, seeds, (spec, seed) => check(scan, spec, seed)),
        { numRuns: 40 },
      );
    });

    test("a weight larger than the caches of one core", async () => {
      await check(scan, { steps: 2, batch: 22, directions: 2, hidden: 301, masked: true }, 5);
      await check(scan, { steps: 4, batch: 18, directions: 2, hidden: 211, masked: false, segments: [1, 3] }, 6);
    });

    test("few rows: every shape of the panels", async () => {
      for (const batch of [1, 2, 3]) {
        for (const hidden of [1, 8, 9, 31, 40]) {
          await check(scan, { steps: 3, batch, directions: 2, hidden, masked: batch === 2 }, hidden);
        }
      }
    });

    test("saturated gates give finite values", async () => {
      await check(scan, { steps: 3, batch: 2, directions: 1, hidden: 6, masked: false }, 3, 500);
    });

    test("without fused multiply-add", async () => {
      const spec: ScanSpec = { steps: 4, batch: 9, directions: 2, hidden: 21, masked: true };
      const { forward, backward } = await scanProblem(scan, spec, 8);
      const features = { ...wasmFeatures(), relaxedSimd: false };
      assertPass(
        "forward",
        forward,
        runLowering(scanForward(scan.cell, spec), forward.inputs, forward.sizes, { features }),
      );
      assertPass(
        "backward",
        backward,
        runLowering(scanBackward(scan.cell, spec), backward.inputs, backward.sizes, { features }),
      );
    });

    test("what stands at masked steps does not matter, NaN neither", async () => {
      const spec: ScanSpec = { steps: 6, batch: 5, directions: 2, hidden: 10, masked: true };
      const { forward, backward } = await scanProblem(scan, spec, 21);
      for (const [pass, lowering, spoiled] of [
        [forward, scanForward(scan.cell, spec), ["gates"]],
        [backward, scanBackward(scan.cell, spec), ["dy", "saved"]],
      ] as const) {
        const { inputs, outputs } = pass.signature;
        const mask = pass.inputs[inputs.findIndex((s) => s.name === "mask")];
        assert.ok(mask.includes(0) && mask.includes(1));
        const given = pass.inputs.map((data, i) => {
          const part = data.length / mask.length;
          if (!spoiled.some((name) => name === inputs[i].name)) return data;
          return data.map((x, at) => (mask[Math.floor(at / part)] === 0 ? NaN : x));
        });
        const found = runLowering(lowering, given, pass.sizes);
        const clean = runLowering(lowering, pass.inputs, pass.sizes);
        outputs.forEach(({ name }, i) => {
          // Kept for the backward pass alone, which ignores it.
          if (name !== "saved") assert.deepEqual(found[i], clean[i], name);
        });
      }
    });
  });
}

describe("scans on the cpu device", () => {
  after(() => setDefaultDevice(undefined));

  test("different scans in one program, with and without what a backward pass needs", async () => {
    const draw = seededRandom(4);
    const random = (...shape: number[]) =>
      tensor(
        Float32Array.from({ length: sizeOf(shape) }, () => draw() - 0.5),
        { shape },
      );
    const scan = (cell: "gru" | "lstm", batch: number, directions: number, hidden: number) => {
      const rows = (cell === "gru" ? 3 : 4) * hidden;
      return (x: Tensor, weight: Tensor): Tensor => {
        const gates = x.slice(null, [0, batch], [0, directions], [0, rows]);
        const given = { gates, weight: weight.slice([0, directions], [0, rows], [0, hidden]) };
        const { y, hn } = cell === "gru" ? gruScan(given) : lstmScan(given);
        return y.square().sum().add(hn.sum());
      };
    };
    const scans = [
      scan("gru", 6, 1, 9),
      scan("gru", 6, 2, 9),
      scan("gru", 2, 2, 9),
      scan("gru", 6, 1, 7),
      scan("lstm", 6, 2, 9),
      scan("lstm", 2, 1, 7),
    ];
    const all = (x: Tensor, weight: Tensor): Tensor[] =>
      scans.flatMap((f, i) => {
        if (i % 2 === 0) return [f(x, weight)];
        const [value, gradient] = valueAndGrad((w: Tensor) => f(x, w))(weight);
        return [value, gradient, f(x.neg(), weight)];
      });
    const given = [random(4, 6, 2, 36), random(2, 36, 9)] as const;
    const found: number[][] = [];
    const cpu = await CpuDevice.open({ threads: 2 });
    for (const on of [cpu, new ReferenceDevice()]) {
      setDefaultDevice(on);
      const results = await compile(all)(...given);
      found.push((await Promise.all(results.map(async (r) => [...(await r.read())]))).flat());
    }
    assert.equal(cpu.counters.modulesCompiled, 1);
    cpu.close();
    const [actual, expected] = found;
    expected.forEach((value, i) => {
      assert.ok(Math.abs(actual[i] - value) <= 1e-5 * Math.max(1, Math.abs(value)), `${i}: ${actual[i]}, not ${value}`);
    });
  });
});
