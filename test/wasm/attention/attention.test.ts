/**
 * Attention kernels of the cpu device against plain float64 loops, and against themselves where the work is split.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  attentionBackwardInputs,
  attentionBackwardOutputs,
  attentionForwardInputs,
  attentionForwardOutputs,
} from "../../../src/shaders/attention/attention.ts";
import type { AttentionSpec } from "../../../src/shaders/attention/attention.ts";
import { sizeOf } from "../../../src/tensor/shape.ts";
import { keyGroups } from "../../../src/wasm/attention/backward.ts";
import { attentionBackward, attentionForward } from "../../../src/wasm/attention/attention.ts";
import { wasmFeatures } from "../../../src/wasm/assembler/features.ts";
import {
  assertClose,
  f32,
  operandsOf,
  pack,
  referenceBackward,
  referenceForward,
  specOf,
  specs,
} from "../../shaders/attention/attention-reference.ts";
import type { Operands } from "../../shaders/attention/attention-reference.ts";
import { runLowering } from "../run-lowering.ts";

const sizes = (tensors: readonly { shape: readonly number[] }[]): number[] => tensors.map((s) => sizeOf(s.shape));

type Run = { readonly split?: number; readonly relaxedSimd?: boolean; readonly wide?: boolean };

/** out, lse, and the gradients, in one run of each lowering. */
function runKernels(spec: AttentionSpec, x: Operands, { split, relaxedSimd, wide }: Run = {}) {
  const features = { ...wasmFeatures(), ...(relaxedSimd === undefined ? {} : { relaxedSimd }), wide };
  const width = spec.heads * spec.dim;
  const projections = spec.packed ? [pack([x.q, x.k, x.v], width)] : [x.q, x.k, x.v];
  const options = [x.mask, x.keep].filter((a) => a !== undefined);
  const forwardInputs = [...projections, ...options];
  assert.deepEqual(
    forwardInputs.map((a) => a.length),
    sizes(attentionForwardInputs(spec)),
  );
  const forward = runLowering(attentionForward(spec), forwardInputs.map(f32), sizes(attentionForwardOutputs(spec)), {
    split,
    features,
  });
  // The reference's own out and lse are given, so that a wrong backward cannot hide behind a wrong forward.
  const { out, lse } = referenceForward(spec, x);
  const backwardInputs = [x.dout, ...projections, out, lse, ...options];
  assert.deepEqual(
    backwardInputs.map((a) => a.length),
    sizes(attentionBackwardInputs(spec)),
  );
  const gradients = runLowering(
    attentionBackward(spec),
    backwardInputs.map(f32),
    sizes(attentionBackwardOutputs(spec)),
    { split, features },
  );
  return [...forward, ...gradients];
}

function checkKernels(spec: AttentionSpec, seed: number, bound = 1e-5, given?: Operands, run?: Run): void {
  const x = given ?? operandsOf(spec, seed);
  const results = runKernels(spec, x, run);
  // In pairs of vectors, which any engine runs, nothing changes.
  assert.deepEqual(runKernels(spec, x, { ...run, wide: true }), results, `wide ${JSON.stringify(spec)}`);
  const [out, lse, ...gradients] = results;
  const name = JSON.stringify(spec);
  const forward = referenceForward(spec, x);
  assertClose(`out of ${name}`, out, forward.out, forward.out, bound);
  assertClose(`lse of ${name}`, lse, forward.lse, undefined, bound);
  const { dq, dk, dv, terms } = referenceBackward(spec, x);
  const width = spec.heads * spec.dim;
  const [expected, scales] = [
    [dq, dk, dv],
    [terms.dq, terms.dk, terms.dv],
  ];
  if (spec.packed) assertClose(`dqkv of ${name}`, gradients[0], pack(expected, width), pack(scales, width), bound);
  else expected.forEach((g, i) => assertClose(`gradient ${i} of ${name}`, gradients[i], g, scales[i], bound));
}

describe("attention kernels of the cpu device", () => {
  test("agree with the reference on random shapes", () => {
    fc.assert(
      fc.property(specs, fc.nat(), (spec, seed) => checkKernels(spec, seed)),
      {
        numRuns: Number(process.env.HICO_PROPERTY_RUNS ?? 60),
      },
    );
  });

  test("agree with the reference where sequences follow each other", () => {
    const segmented = fc.tuple(specs, fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 5 }));
    fc.assert(
      fc.property(segmented, fc.nat(), ([spec, segments], seed) => {
        const steps = segments.reduce((a, b) => a + b, 0);
        checkKernels({ ...spec, batch: 2, queries: steps, keys: steps, segments }, seed);
      }),
      { numRuns: Number(process.env.HICO_PROPERTY_RUNS ?? 25) },
    );
  });

  test("agree with the reference where sequences are longer than a block, and keys are dealt out in groups", () => {
    const grouped = specOf({ batch: 1, heads: 1, queries: 150, keys: 333, dim: 9, mask: true, keep: true });
    assert.ok(keyGroups(grouped).groups > 1);
    checkKernels(grouped, 1);
    checkKernels({ ...grouped, heads: 3, queries: 333, packed: true }, 2);
    const alone = specOf({ batch: 8, heads: 4, queries: 130, keys: 70, dim: 4 });
    assert.equal(keyGroups(alone).groups, 1);
    checkKernels(alone, 3);
  });

  test("agree with the reference at the sizes of training, and without fused multiply-add", () => {
    const spec = specOf({ batch: 1, heads: 4, queries: 64, keys: 64, dim: 128, packed: true, keep: true });
    checkKernels(spec, 4);
    checkKernels(spec, 5, 1e-5, undefined, { relaxedSimd: false });
  });

  test("rows whose keys are all masked attend to nothing", () => {
    for (const keys of [5, 8, 70, 333]) {
      const spec = specOf({ batch: 2, keys, dim: 6, mask: true });
      const x = operandsOf(spec, 6);
      x.mask!.fill(0, 0, keys);
      checkKernels(spec, 6, 1e-5, x);
      const [out, lse, dq, dk, dv] = runKernels(spec, x);
      for (const x of [out, lse, dq, dk, dv]) assert.ok(x.subarray(0, x.length / 2).every((y) => y === 0));
    }
  });

  test("a first block of keys that is all masked does not count", () => {
    const spec = specOf({ batch: 1, keys: 150, dim: 8, mask: true });
    const x = operandsOf(spec, 7);
    x.mask!.fill(0, 0, 100);
    checkKernels(spec, 7, 1e-5, x);
  });

  test("scores far beyond the range of exp stay finite", () => {
    // The error of a probability is that of its score, which is hundreds here: hence the wider bound.
    checkKernels(specOf({ keys: 40, dim: 8, scale: 60 }), 8, 1e-3);
    checkKernels(specOf({ keys: 140, dim: 8, scale: 60 }), 9, 1e-3);
  });

  test("have the same bits however the units are split", () => {
    fc.assert(
      fc.property(specs, fc.nat(), fc.integer({ min: 1, max: 5 }), (spec, seed, split) => {
        const x = operandsOf(spec, seed);
        assert.deepEqual(runKernels(spec, x, { split }), runKernels(spec, x));
      }),
      { numRuns: 15 },
    );
    const long = specOf({ batch: 1, heads: 1, queries: 150, keys: 333, dim: 9 });
    assert.deepEqual(runKernels(long, operandsOf(long, 1), { split: 1 }), runKernels(long, operandsOf(long, 1)));
  });
});
