/**
 * InfoNCE kernels of the cpu device against the op's decomposition in float64, and against themselves under
 * other splits of the work.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import type { InfoNceSpec } from "../../../src/specs/info-nce.ts";
import { sizeOf } from "../../../src/tensor/shape.ts";
import { infoNceBackward, infoNceForward } from "../../../src/wasm/info-nce/info-nce.ts";
import type { InfoNceProblem } from "../../specs/info-nce-problem.ts";
import { assertInfoNce, infoNceProblem, specOf, specs } from "../../specs/info-nce-problem.ts";
import type { Run } from "../run-lowering.ts";
import { runPasses } from "../run-lowering.ts";

/** loss, all, some, dq, dk. */
const runKernels = (spec: InfoNceSpec, problem: InfoNceProblem, run?: Run): Float32Array[] =>
  runPasses([infoNceForward(spec), infoNceBackward(spec)], problem, run);

async function checkKernels(
  spec: InfoNceSpec,
  seed: number,
  { size, bound, run }: { size?: number; bound?: number; run?: Run } = {},
): Promise<void> {
  const problem = await infoNceProblem(spec, seed, size);
  const results = runKernels(spec, problem, run);
  // In pairs of vectors, which any engine runs, nothing changes.
  assert.deepEqual(runKernels(spec, problem, { ...run, wide: true }), results, `wide ${problem.name}`);
  assertInfoNce(problem, results, bound);
}

describe("InfoNCE kernels of the cpu device", () => {
  test("agree with the reference where sizes are 1 or overhang every block", async () => {
    await checkKernels(specOf({ rows: 1, channels: 1, negatives: 1 }), 1);
    await checkKernels(specOf({ rows: 17, channels: 130, positives: 3, negatives: 1030 }), 2);
    await checkKernels(specOf({ rows: 131, channels: 7, positives: 2, negatives: 4099 }), 3);
  });

  test("agree with the reference at the sizes of training, and without fused multiply-add", async () => {
    const spec = specOf({ rows: 64, channels: 128, negatives: 2048 });
    await checkKernels(spec, 4);
    await checkKernels({ ...spec, positives: 4 }, 5, { run: { relaxedSimd: false } });
  });

  test("agree with the reference on random shapes", async () => {
    await fc.assert(
      fc.asyncProperty(specs, fc.nat(), (spec, seed) => checkKernels(spec, seed)),
      {
        numRuns: Number(process.env.HICO_PROPERTY_RUNS ?? 60),
      },
    );
  });

  test("agree with the reference where a group has several chunks", async () => {
    await checkKernels(specOf({ rows: 3, channels: 5, negatives: 20001 }), 6);
  });

  test("logits far beyond the range of exp stay finite", async () => {
    await checkKernels(specOf({ positives: 2, temperature: 0.01 }), 7, { size: 3, bound: 1e-4 });
  });

  test("have the same bits however the units are split", async () => {
    await fc.assert(
      fc.asyncProperty(specs, fc.nat(), fc.integer({ min: 1, max: 5 }), async (spec, seed, split) => {
        const problem = await infoNceProblem(spec, seed);
        assert.deepEqual(runKernels(spec, problem, { split }), runKernels(spec, problem));
      }),
      { numRuns: 15 },
    );
  });

  test("nothing of N×K is in the scratch", () => {
    const spec = specOf({ rows: 64, channels: 128, negatives: 65536 });
    for (const lowering of [infoNceForward(spec), infoNceBackward(spec)]) {
      const floats = lowering.scratch.reduce((sum, s) => sum + sizeOf(s.shape), 0);
      const own = lowering.kernels.reduce((most, k) => Math.max(most, k.threadBytes / 4), 0);
      assert.ok(floats <= (64 * 65536) / 8 && own <= (64 * 65536) / 8, `${floats} floats of scratch, ${own} a thread`);
    }
  });
});
