/**
 * Attention kernels of both profiles against plain float64 loops, and those loops against finite differences.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  attentionBackward,
  attentionBackwardInputs,
  attentionBackwardOutputs,
  attentionForward,
  attentionForwardInputs,
  attentionForwardOutputs,
} from "../../../src/shaders/attention/attention.ts";
import type { AttentionSpec } from "../../../src/shaders/attention/attention.ts";
import type { AttentionTile } from "../../../src/shaders/attention/blocks.ts";
import { cpuAttentionBackward, cpuAttentionForward } from "../../../src/shaders/attention/cpu.ts";
import type { Lowering } from "../../../src/shaders/kernel.ts";
import { sizeOf } from "../../../src/tensor/shape.ts";
import {
  assertClose,
  f32,
  operandsOf,
  pack,
  referenceBackward,
  referenceForward,
  specOf,
  specs,
} from "./attention-reference.ts";
import { runLowering, testProfile } from "../lowering-runner.ts";

interface Check {
  /** Allowed error, relative to the largest term. */
  readonly bound?: number;
  /** A tile other than the one that the size suggests (cpu profile). */
  readonly tile?: AttentionTile;
  /** What the backward may keep between its dispatches (cpu profile). */
  readonly mostBytes?: number;
}

async function checkKernels(
  spec: AttentionSpec,
  kind: "cpu" | "gpu",
  seed: number,
  { bound = 1e-5, tile, mostBytes }: Check = {},
): Promise<void> {
  const profile = testProfile(kind);
  const lowerings: Lowering[] = [attentionForward(spec, profile)!, attentionBackward(spec, profile)!];
  if (tile) {
    lowerings[0] = { ...lowerings[0], kernels: [cpuAttentionForward(spec, tile)] };
    const { kernels, scratch } = cpuAttentionBackward(spec, tile, mostBytes);
    lowerings[1] = { kernels, scratch: scratch.map((size) => ({ shape: [size], dtype: "f32" })) };
  }
  const x = operandsOf(spec, seed);
  const width = spec.heads * spec.dim;
  const forward = referenceForward(spec, x);
  const backward = referenceBackward(spec, x);
  const projections = spec.packed ? [pack([x.q, x.k, x.v], width)] : [x.q, x.k, x.v];
  const options = [x.mask, x.keep].filter((a) => a !== undefined);
  const name = `${kind} ${JSON.stringify(spec)}`;

  const forwardInputs = [...projections, ...options];
  assert.deepEqual(
    forwardInputs.map((a) => a.length),
    attentionForwardInputs(spec).map((s) => sizeOf(s.shape)),
  );
  const [out, lse] = await runLowering(
    lowerings[0],
    forwardInputs.map(f32),
    attentionForwardOutputs(spec).map((s) => sizeOf(s.shape)),
  );
  assertClose(`out of ${name}`, out, forward.out, forward.out, bound);
  assertClose(`lse of ${name}`, lse, forward.lse, undefined, bound);

  // The reference's own out and lse are given, so that a wrong backward cannot hide behind a wrong forward.
  const backwardInputs = [x.dout, ...projections, forward.out, forward.lse, ...options];
  assert.deepEqual(
    backwardInputs.map((a) => a.length),
    attentionBackwardInputs(spec).map((s) => sizeOf(s.shape)),
  );
  const gradients = await runLowering(
    lowerings[1],
    backwardInputs.map(f32),
    attentionBackwardOutputs(spec).map((s) => sizeOf(s.shape)),
  );
  const expected = [backward.dq, backward.dk, backward.dv];
  const terms = [backward.terms.dq, backward.terms.dk, backward.terms.dv];
  if (spec.packed) assertClose(`dqkv of ${name}`, gradients[0], pack(expected, width), pack(terms, width), bound);
  else expected.forEach((g, i) => assertClose(`gradient ${i} of ${name}`, gradients[i], g, terms[i], bound));
}

describe("attention, float64 reference", () => {
  test("its gradient agrees with central differences", () => {
    fc.assert(
      fc.property(fc.nat(), fc.boolean(), fc.boolean(), (seed, mask, keep) => {
        const spec = specOf({ queries: 3, keys: 4, dim: 3, mask, keep });
        const x = operandsOf(spec, seed);
        const loss = (): number => {
          const { out } = referenceForward(spec, x);
          return out.reduce((a, y, i) => a + y * x.dout[i], 0);
        };
        const analytic = referenceBackward(spec, x);
        for (const operand of ["q", "k", "v"] as const) {
          const values = x[operand];
          const gradient = analytic[`d${operand}`];
          const scale = Math.max(1, ...gradient.map(Math.abs));
          for (let i = 0; i < values.length; i++) {
            const [kept, eps] = [values[i], 1e-5];
            values[i] = kept + eps;
            const above = loss();
            values[i] = kept - eps;
            const below = loss();
            values[i] = kept;
            const difference = (above - below) / (2 * eps);
            const error = Math.abs(difference - gradient[i]);
            assert.ok(error <= 1e-6 * scale, `d${operand}[${i}]: ${gradient[i]} vs ${difference}`);
          }
        }
      }),
      { numRuns: 8 },
    );
  });
});

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
      const forward = referenceForward(spec, x);
      const [out, lse] = await runLowering(
        attentionForward(spec, testProfile(kind))!,
        [x.q, x.k, x.v, x.mask!].map(f32),
        attentionForwardOutputs(spec).map((s) => sizeOf(s.shape)),
      );
      assert.ok(out.subarray(0, out.length / 2).every((y) => y === 0));
      assertClose("out", out, forward.out);
      assertClose("lse", lse, forward.lse);
      const gradients = await runLowering(
        attentionBackward(spec, testProfile(kind))!,
        [x.dout, x.q, x.k, x.v, forward.out, forward.lse, x.mask!].map(f32),
        attentionBackwardOutputs(spec).map((s) => sizeOf(s.shape)),
      );
      const expected = referenceBackward(spec, x);
      const { dq, dk, dv, terms } = expected;
      [dq, dk, dv].forEach((g, i) => assertClose(`gradient ${i}`, gradients[i], g, [terms.dq, terms.dk, terms.dv][i]));
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
