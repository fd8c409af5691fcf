/**
 * Attention kernels of the cpu device against the op's decomposition in float64, and against themselves where
 * the work is split.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import type { AttentionSpec } from "../../../src/specs/attention.ts";
import { keyGroups } from "../../../src/wasm/attention/backward.ts";
import { attentionBackward, attentionForward } from "../../../src/wasm/attention/attention.ts";
import type { AttentionProblem, Operands } from "../../specs/attention-problem.ts";
import { assertAttention, attentionProblem, operandsOf, specOf, specs } from "../../specs/attention-problem.ts";
import type { Run } from "../run-lowering.ts";
import { runPasses } from "../run-lowering.ts";

/** out, lse, and the gradients, in one run of each lowering. */
const runKernels = (spec: AttentionSpec, problem: AttentionProblem, run?: Run): Float32Array[] =>
  runPasses([attentionForward(spec), attentionBackward(spec)], problem, run);

async function checkKernels(
  spec: AttentionSpec,
  seed: number,
  bound?: number,
  given?: Operands,
  run?: Run,
): Promise<Float32Array[]> {
  const problem = await attentionProblem(spec, given ?? operandsOf(spec, seed));
  const results = runKernels(spec, problem, run);
  // In pairs of vectors, which any engine runs, nothing changes.
  assert.deepEqual(runKernels(spec, problem, { ...run, wide: true }), results, `wide ${problem.name}`);
  assertAttention(problem, results, bound);
  return results;
}

describe("attention kernels of the cpu device", () => {
  test("agree with the reference on random shapes", async () => {
    await fc.assert(
      fc.asyncProperty(specs, fc.nat(), async (spec, seed) => void (await checkKernels(spec, seed))),
      {
        numRuns: Number(process.env.HICO_PROPERTY_RUNS ?? 60),
      },
    );
  });

  test("agree with the reference where sequences follow each other", async () => {
    const segmented = fc.tuple(specs, fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 5 }));
    await fc.assert(
      fc.asyncProperty(segmented, fc.nat(), async ([spec, segments], seed) => {
        const steps = segments.reduce((a, b) => a + b, 0);
        await checkKernels({ ...spec, batch: 2, queries: steps, keys: steps, segments }, seed);
      }),
      { numRuns: Number(process.env.HICO_PROPERTY_RUNS ?? 25) },
    );
  });

  test("agree with the reference where sequences are longer than a block, and keys are dealt out in groups", async () => {
    const grouped = specOf({ batch: 1, heads: 1, queries: 150, keys: 333, dim: 9, mask: true, keep: true });
    assert.ok(keyGroups(grouped).groups > 1);
    await checkKernels(grouped, 1);
    await checkKernels({ ...grouped, heads: 3, queries: 333, packed: true }, 2);
    const alone = specOf({ batch: 8, heads: 4, queries: 130, keys: 70, dim: 4 });
    assert.equal(keyGroups(alone).groups, 1);
    await checkKernels(alone, 3);
  });

  test("agree with the reference at the sizes of training, and without fused multiply-add", async () => {
    const spec = specOf({ batch: 1, heads: 4, queries: 64, keys: 64, dim: 128, packed: true, keep: true });
    await checkKernels(spec, 4);
    await checkKernels(spec, 5, 1e-5, undefined, { relaxedSimd: false });
  });

  test("rows whose keys are all masked attend to nothing", async () => {
    for (const keys of [5, 8, 70, 333]) {
      const spec = specOf({ batch: 2, keys, dim: 6, mask: true });
      const given = operandsOf(spec, 6);
      given.mask!.fill(0, 0, keys);
      for (const x of await checkKernels(spec, 6, 1e-5, given))
        assert.ok(x.subarray(0, x.length / 2).every((y) => y === 0));
    }
  });

  test("a first block of keys that is all masked does not count", async () => {
    const spec = specOf({ batch: 1, keys: 150, dim: 8, mask: true });
    const x = operandsOf(spec, 7);
    x.mask!.fill(0, 0, 100);
    await checkKernels(spec, 7, 1e-5, x);
  });

  test("scores far beyond the range of exp stay finite", async () => {
    // The error of a probability is that of its score, which is hundreds here: hence the wider bound.
    await checkKernels(specOf({ keys: 40, dim: 8, scale: 60 }), 8, 1e-3);
    await checkKernels(specOf({ keys: 140, dim: 8, scale: 60 }), 9, 1e-3);
  });

  test("have the same bits however the units are split", async () => {
    await fc.assert(
      fc.asyncProperty(specs, fc.nat(), fc.integer({ min: 1, max: 5 }), async (spec, seed, split) => {
        const problem = await attentionProblem(spec, operandsOf(spec, seed));
        assert.deepEqual(runKernels(spec, problem, { split }), runKernels(spec, problem));
      }),
      { numRuns: 15 },
    );
    const long = specOf({ batch: 1, heads: 1, queries: 150, keys: 333, dim: 9 });
    const problem = await attentionProblem(long, operandsOf(long, 1));
    assert.deepEqual(runKernels(long, problem, { split: 1 }), runKernels(long, problem));
  });
});
