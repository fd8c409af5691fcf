/** Attention kernels of both profiles against the op's decomposition in float64. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { attentionBackward, attentionForward } from "../../../src/shaders/attention/attention.ts";
import type { AttentionTile } from "../../../src/shaders/attention/blocks.ts";
import { cpuAttentionBackward, cpuAttentionForward } from "../../../src/shaders/attention/cpu.ts";
import type { AttentionSpec } from "../../../src/specs/attention.ts";
import type { Lowering } from "../../../src/shaders/kernel.ts";
import type { AttentionProblem } from "../../specs/attention-problem.ts";
import { assertAttention, attentionProblem, operandsOf, specOf, specs } from "../../specs/attention-problem.ts";
import { runLowering, testProfile } from "../lowering-runner.ts";

interface Check {
  /** Allowed error, relative to the largest term. */
  readonly bound?: number;
  /** A tile other than the one that the size suggests (cpu profile). */
  readonly tile?: AttentionTile;
  /** What the backward may keep between its dispatches (cpu profile). */
  readonly mostBytes?: number;
}

/** out, lse, and the gradients. */
async function runKernels(
  [forward, backward]: readonly Lowering[],
  problem: AttentionProblem,
): Promise<Float32Array[]> {
  return [
    ...(await runLowering(forward, problem.forward.inputs, problem.forward.sizes)),
    ...(await runLowering(backward, problem.backward.inputs, problem.backward.sizes)),
  ];
}

function loweringsOf(spec: AttentionSpec, kind: "cpu" | "gpu", { tile, mostBytes }: Check = {}): Lowering[] {
  if (!tile) return [attentionForward, attentionBackward].map((lower) => lower(spec, testProfile(kind))!);
  const { kernels, scratch } = cpuAttentionBackward(spec, tile, mostBytes);
  return [
    { kernels: [cpuAttentionForward(spec, tile)], scratch: [] },
    { kernels, scratch: scratch.map((size) => ({ shape: [size], dtype: "f32" })) },
  ];
}

async function checkKernels(spec: AttentionSpec, kind: "cpu" | "gpu", seed: number, check?: Check): Promise<void> {
  const problem = await attentionProblem(spec, operandsOf(spec, seed));
  assertAttention(problem, await runKernels(loweringsOf(spec, kind, check), problem), check?.bound);
}

for (const kind of ["cpu", "gpu"] as const) {
  describe(`attention kernels, ${kind} profile`, () => {
    // Kernels with barriers take seconds to compile on a CPU, so the gpu profile is held to fewer shapes.
    test("agree with the reference on the edges of the tiles", async () => {
      if (kind === "cpu") await checkKernels(specOf({ batch: 1, heads: 1, queries: 1, keys: 1, dim: 1 }), kind, 1);
      await checkKernels(specOf({ queries: 33, keys: 65, dim: 32, mask: true, keep: true }), kind, 2);
      await checkKernels(specOf({ queries: 17, keys: 17, dim: 12, packed: true, mask: true }), kind, 3);
      await checkKernels(specOf({ batch: 1, queries: 9, keys: 34, dim: 128 }), kind, 4);
      await checkKernels(specOf({ batch: 1, heads: 1, queries: 3, keys: 4, dim: 67 }), kind, 5);
    });

    test("sequences one after the other attend to themselves only", async () => {
      const of = (segments: number[], given: Partial<AttentionSpec>): AttentionSpec => {
        const steps = segments.reduce((a, b) => a + b, 0);
        return specOf({ segments, queries: steps, keys: steps, ...given });
      };
      await checkKernels(of([33, 16, 8, 4], { dim: 12, packed: true, mask: true, keep: true }), kind, 21);
      if (kind === "gpu") return;
      await checkKernels(of([5, 40, 1], { dim: 8, keep: true }), kind, 22);
      await checkKernels(of([64, 32], { batch: 1, heads: 1, dim: 128, packed: true }), kind, 23);
    });

    test("agree with the reference on random shapes", async () => {
      await fc.assert(
        fc.asyncProperty(specs, fc.nat(), (spec, seed) => checkKernels(spec, kind, seed)),
        { numRuns: Number(process.env.HICO_PROPERTY_RUNS ?? (kind === "cpu" ? 8 : 2)) },
      );
    });

    test("a row with every key masked gives zeros and no NaN", async () => {
      const spec = specOf({ batch: 2, mask: true });
      const x = operandsOf(spec, 9);
      x.mask!.fill(0, 0, spec.keys);
      x.mask!.fill(1, spec.keys);
      const problem = await attentionProblem(spec, x);
      const results = await runKernels(loweringsOf(spec, kind), problem);
      assertAttention(problem, results);
      assert.ok(results[0].subarray(0, results[0].length / 2).every((y) => y === 0));
    });

    test("scores far beyond the range of exp stay finite", async () => {
      // The error of a probability is that of its score, which is hundreds here: hence the wider bound.
      await checkKernels(specOf({ keys: 40, dim: 8, scale: 60 }), kind, 11, { bound: 1e-3 });
    });
  });
}

describe("attention kernels, every tile of the cpu profile", () => {
  for (const [rows, columns] of [
    [4, 8],
    [8, 8],
    [8, 16],
    [16, 16],
  ]) {
    test(`${rows}x${columns}`, async () => {
      const tile = { rows, columns };
      await checkKernels(specOf({ heads: 1, queries: 33, keys: 37, dim: 8, mask: true }), "cpu", 31, { tile });
      const odd = specOf({ batch: 1, heads: 1, queries: 16, keys: 32, dim: 5, keep: true });
      await checkKernels(odd, "cpu", 32, { tile });
    });
  }

  test("where the probabilities would take too much memory they are computed again", async () => {
    const check = { tile: { rows: 4, columns: 8 }, mostBytes: 0 };
    await checkKernels(specOf({ queries: 19, keys: 11, dim: 12, mask: true, keep: true }), "cpu", 33, check);
    const segmented = specOf({ queries: 16, keys: 16, segments: [9, 7], packed: true, dim: 5 });
    await checkKernels(segmented, "cpu", 34, check);
    await checkKernels(segmented, "cpu", 34, { ...check, mostBytes: 1 << 20 });
  });
});

describe("attention lowering", () => {
  test("needs at most 10 storage buffers, and three dispatches backward", () => {
    for (const kind of ["cpu", "gpu"] as const) {
      const spec = specOf({ dim: 128, mask: true, keep: true });
      const profile = testProfile(kind);
      for (const lowering of [attentionForward(spec, profile)!, attentionBackward(spec, profile)!]) {
        for (const kernel of lowering.kernels) assert.ok(kernel.bindings.length <= 10, kernel.name);
        assert.ok(lowering.kernels.length <= 3);
      }
    }
  });

  test("there is none for heads wider than 128", () => {
    assert.equal(attentionForward(specOf({ dim: 129 }), testProfile("cpu")), undefined);
    assert.equal(attentionBackward(specOf({ dim: 129 }), testProfile("gpu")), undefined);
  });
});
