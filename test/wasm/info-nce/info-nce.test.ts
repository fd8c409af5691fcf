/**
 * InfoNCE kernels of the cpu device against plain float64 loops, and against themselves under other splits of the work.
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
import type { InfoNceSpec } from "../../../src/specs/info-nce.ts";
import { sizeOf } from "../../../src/tensor/shape.ts";
import { wasmFeatures } from "../../../src/wasm/assembler/features.ts";
import { infoNceBackward, infoNceForward } from "../../../src/wasm/info-nce/info-nce.ts";
import {
  assertClose,
  f32,
  operandsOf,
  referenceBackward,
  referenceForward,
  specOf,
  specs,
} from "../../shaders/info-nce/info-nce-reference.ts";
import type { Operands } from "../../shaders/info-nce/info-nce-reference.ts";
import { runLowering } from "../run-lowering.ts";

const sizes = (tensors: readonly { shape: readonly number[] }[]): number[] => tensors.map((s) => sizeOf(s.shape));

type Run = { readonly split?: number; readonly relaxedSimd?: boolean; readonly wide?: boolean };

/** loss, all, some, dq, dk. */
function runKernels(spec: InfoNceSpec, x: Operands, { split, relaxedSimd, wide }: Run = {}): Float32Array[] {
  const features = { ...wasmFeatures(), ...(relaxedSimd === undefined ? {} : { relaxedSimd }), wide };
  const operands = [x.q, x.k, x.queue];
  assert.deepEqual(
    operands.map((a) => a.length),
    sizes(infoNceForwardInputs(spec)),
  );
  const forward = runLowering(infoNceForward(spec), operands.map(f32), sizes(infoNceForwardOutputs(spec)), {
    split,
    features,
  });
  // The reference's own log-sum-exps are given, so that a wrong backward cannot hide behind a wrong forward.
  const { all, some } = referenceForward(spec, x);
  const given = [x.dloss, ...operands, all, some];
  assert.deepEqual(
    given.map((a) => a.length),
    sizes(infoNceBackwardInputs(spec)),
  );
  const backward = runLowering(infoNceBackward(spec), given.map(f32), sizes(infoNceBackwardOutputs(spec)), {
    split,
    features,
  });
  return [...forward, ...backward];
}

function checkKernels(spec: InfoNceSpec, seed: number, { size = 1.5, bound = 1e-5, run = {} as Run } = {}): void {
  const x = operandsOf(spec, seed, size);
  const name = JSON.stringify(spec);
  const results = runKernels(spec, x, run);
  // In pairs of vectors, which any engine runs, nothing changes.
  assert.deepEqual(runKernels(spec, x, { ...run, wide: true }), results, `wide ${JSON.stringify(spec)}`);
  const [loss, all, some, dq, dk] = results;
  const expected = referenceForward(spec, x);
  // The loss is a difference of the two others.
  const larger = expected.all.map((a, n) => Math.max(Math.abs(a), Math.abs(expected.some[n]), 1));
  assertClose(`loss of ${name}`, loss, expected.loss, larger, bound);
  assertClose(`lse over all of ${name}`, all, expected.all, larger, bound);
  assertClose(`lse over positives of ${name}`, some, expected.some, larger, bound);
  const { gradients, terms } = referenceBackward(spec, x);
  assertClose(`dq of ${name}`, dq, gradients.dq, terms.dq, bound);
  assertClose(`dk of ${name}`, dk, gradients.dk, terms.dk, bound);
}

describe("InfoNCE kernels of the cpu device", () => {
  test("agree with the reference where sizes are 1 or overhang every block", () => {
    checkKernels(specOf({ rows: 1, channels: 1, negatives: 1 }), 1);
    checkKernels(specOf({ rows: 17, channels: 130, positives: 3, negatives: 1030 }), 2);
    checkKernels(specOf({ rows: 131, channels: 7, positives: 2, negatives: 4099 }), 3);
  });

  test("agree with the reference at the sizes of training, and without fused multiply-add", () => {
    const spec = specOf({ rows: 64, channels: 128, negatives: 2048 });
    checkKernels(spec, 4);
    checkKernels({ ...spec, positives: 4 }, 5, { run: { relaxedSimd: false } });
  });

  test("agree with the reference on random shapes", () => {
    fc.assert(
      fc.property(specs, fc.nat(), (spec, seed) => checkKernels(spec, seed)),
      {
        numRuns: Number(process.env.HICO_PROPERTY_RUNS ?? 60),
      },
    );
  });

  test("agree with the reference where a group has several chunks", () => {
    checkKernels(specOf({ rows: 3, channels: 5, negatives: 20001 }), 6);
  });

  test("logits far beyond the range of exp stay finite", () => {
    checkKernels(specOf({ positives: 2, temperature: 0.01 }), 7, { size: 3, bound: 1e-4 });
  });

  test("have the same bits however the units are split", () => {
    fc.assert(
      fc.property(specs, fc.nat(), fc.integer({ min: 1, max: 5 }), (spec, seed, split) => {
        const x = operandsOf(spec, seed);
        assert.deepEqual(runKernels(spec, x, { split }), runKernels(spec, x));
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
