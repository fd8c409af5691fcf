/** InfoNCE kernels of both profiles against the op's decomposition in float64. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { infoNceBackward, infoNceForward } from "../../../src/shaders/info-nce/info-nce.ts";
import type { InfoNceSpec } from "../../../src/specs/info-nce.ts";
import type { AdapterProfile } from "../../../src/shaders/kernel.ts";
import { sizeOf } from "../../../src/tensor/shape.ts";
import { assertInfoNce, infoNceProblem, specOf, specs } from "../../specs/info-nce-problem.ts";
import { runLowering, testProfile } from "../lowering-runner.ts";

async function checkKernels(
  spec: InfoNceSpec,
  profile: AdapterProfile,
  seed: number,
  { size, bound }: { size?: number; bound?: number } = {},
): Promise<void> {
  const problem = await infoNceProblem(spec, seed, size);
  const { forward, backward } = problem;
  const results = [
    ...(await runLowering(infoNceForward(spec, profile), forward.inputs, forward.sizes)),
    ...(await runLowering(infoNceBackward(spec, profile), backward.inputs, backward.sizes)),
  ];
  assertInfoNce(problem, results, bound);
}

for (const kind of ["cpu", "gpu"] as const) {
  describe(`InfoNCE kernels, ${kind} profile`, () => {
    const profile = testProfile(kind);

    test("agree with the reference where sizes are 1 or overhang every tile", async () => {
      await checkKernels(specOf({ rows: 1, channels: 1, negatives: 1 }), profile, 1);
      await checkKernels(specOf({ rows: 17, channels: 130, positives: 3, negatives: 1030 }), profile, 2);
    });

    test("agree with the reference at the sizes of training", async () => {
      await checkKernels(specOf({ rows: 64, channels: 128, negatives: 2048 }), profile, 3);
    });

    test("agree with the reference on random shapes", async () => {
      await fc.assert(
        fc.asyncProperty(specs, fc.nat(), (spec, seed) => checkKernels(spec, profile, seed)),
        // Kernels with barriers take seconds to compile on a CPU.
        { numRuns: Number(process.env.HICO_PROPERTY_RUNS ?? (kind === "cpu" ? 8 : 3)) },
      );
    });

    test("a queue whose logit gradients do not fit in a binding is taken in segments", async () => {
      const narrow = testProfile(kind, { maxBindingBytes: 2048 });
      const spec = specOf({ rows: 9, channels: 12, positives: 2, negatives: 150 });
      assert.ok(infoNceBackward(spec, narrow).kernels.length > 4);
      await checkKernels(spec, narrow, 5);
      await checkKernels({ ...spec, negatives: 148 }, narrow, 6);
    });

    test("logits far beyond the range of exp stay finite", async () => {
      await checkKernels(specOf({ positives: 2, temperature: 0.01 }), profile, 7, { size: 3, bound: 1e-4 });
    });
  });
}

describe("InfoNCE lowering", () => {
  test("two dispatches forward, three backward, and nothing of N×K in the forward's scratch", () => {
    for (const kind of ["cpu", "gpu"] as const) {
      const spec = specOf({ rows: 64, channels: 128, negatives: 65536 });
      const forward = infoNceForward(spec, testProfile(kind));
      assert.equal(forward.kernels.length, 2);
      const floats = forward.scratch.reduce((sum, s) => sum + sizeOf(s.shape), 0);
      assert.ok(floats <= (64 * 65536) / 16, `${floats} floats of scratch`);
      const backward = infoNceBackward(spec, testProfile(kind));
      assert.equal(backward.kernels.length, 3);
      for (const kernel of [...forward.kernels, ...backward.kernels]) assert.ok(kernel.bindings.length <= 10);
    }
  });
});
