/**
 * InfoNCE kernels of both profiles against plain float64 loops, and those loops against finite differences.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  infoNceBackwardInputs,
  infoNceBackwardOutputs,
  infoNceForwardInputs,
  infoNceForwardOutputs,
} from "../../../src/specs/info-nce.ts";
import { infoNceBackward, infoNceForward } from "../../../src/shaders/info-nce/info-nce.ts";
import type { InfoNceSpec } from "../../../src/specs/info-nce.ts";
import type { AdapterProfile } from "../../../src/shaders/kernel.ts";
import { sizeOf } from "../../../src/tensor/shape.ts";
import {
  assertClose,
  f32,
  logitsOf,
  operandsOf,
  referenceBackward,
  referenceForward,
  specOf,
  specs,
} from "./info-nce-reference.ts";
import { runLowering, testProfile } from "../lowering-runner.ts";

const sizes = (specs: readonly { shape: readonly number[] }[]): number[] => specs.map((s) => sizeOf(s.shape));

async function checkKernels(
  spec: InfoNceSpec,
  profile: AdapterProfile,
  seed: number,
  { size = 1.5, bound = 1e-5 } = {},
): Promise<void> {
  const x = operandsOf(spec, seed, size);
  const name = `${profile.kind} ${JSON.stringify(spec)}`;
  const expected = referenceForward(spec, x);
  const operands = [x.q, x.k, x.queue];
  assert.deepEqual(
    operands.map((a) => a.length),
    sizes(infoNceForwardInputs(spec)),
  );
  const [loss, all, some] = await runLowering(
    infoNceForward(spec, profile),
    operands.map(f32),
    sizes(infoNceForwardOutputs(spec)),
  );
  // The loss is a difference of the two others.
  const larger = expected.all.map((a, n) => Math.max(Math.abs(a), Math.abs(expected.some[n]), 1));
  assertClose(`loss of ${name}`, loss, expected.loss, larger, bound);
  assertClose(`lse over all of ${name}`, all, expected.all, larger, bound);
  assertClose(`lse over positives of ${name}`, some, expected.some, larger, bound);

  // The reference's own log-sum-exps are given, so that a wrong backward cannot hide behind a wrong forward.
  const given = [x.dloss, ...operands, expected.all, expected.some];
  assert.deepEqual(
    given.map((a) => a.length),
    sizes(infoNceBackwardInputs(spec)),
  );
  const results = await runLowering(
    infoNceBackward(spec, profile),
    given.map(f32),
    sizes(infoNceBackwardOutputs(spec)),
  );
  const { gradients, terms } = referenceBackward(spec, x);
  (["dq", "dk"] as const).forEach((g, i) => assertClose(`${g} of ${name}`, results[i], gradients[g], terms[g], bound));
}

describe("InfoNCE, float64 reference", () => {
  test("its gradient agrees with central differences", () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 3 }), (seed, positives) => {
        const spec = specOf({ rows: 2, channels: 3, positives, negatives: 4, temperature: 0.5 });
        const x = operandsOf(spec, seed);
        const weighted = (): number => referenceForward(spec, x).loss.reduce((a, l, n) => a + l * x.dloss[n], 0);
        const { gradients } = referenceBackward(spec, x);
        for (const operand of ["q", "k", "queue"] as const) {
          const values = x[operand];
          const gradient = gradients[`d${operand}`];
          const scale = Math.max(1, ...gradient.map(Math.abs));
          for (let i = 0; i < values.length; i++) {
            const [kept, eps] = [values[i], 1e-5];
            values[i] = kept + eps;
            const above = weighted();
            values[i] = kept - eps;
            const below = weighted();
            values[i] = kept;
            const difference = (above - below) / (2 * eps);
            const error = Math.abs(difference - gradient[i]);
            assert.ok(error <= 1e-6 * scale, `d${operand}[${i}]: ${gradient[i]} vs ${difference}`);
          }
        }
      }),
      { numRuns: 10 },
    );
  });

  test("with one positive it is cross-entropy with the positive as class 0", () => {
    const spec = specOf();
    const x = operandsOf(spec, 3);
    const { loss } = referenceForward(spec, x);
    for (let n = 0; n < spec.rows; n++) {
      const logits = logitsOf(spec, x, n);
      const sum = logits.reduce((a, l) => a + Math.exp(l), 0);
      assert.ok(Math.abs(loss[n] + Math.log(Math.exp(logits[0]) / sum)) < 1e-12);
    }
  });
});

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
