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
} from "../../src/shaders/attention.ts";
import type { AttentionSpec } from "../../src/shaders/attention.ts";
import type { AttentionTile } from "../../src/shaders/attention-blocks.ts";
import { cpuAttentionBackward, cpuAttentionForward } from "../../src/shaders/attention-cpu.ts";
import type { Lowering } from "../../src/shaders/kernel.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { runLowering, seededRandom, testProfile } from "./lowering-runner.ts";

/** Float64 operands, apart, whatever the spec packs. */
interface Operands {
  q: Float64Array;
  k: Float64Array;
  v: Float64Array;
  mask?: Float64Array;
  keep?: Float64Array;
  dout: Float64Array;
}

/** Values that f32 holds exactly, so that kernel and reference start from the same numbers. */
function operandsOf(spec: AttentionSpec, seed: number): Operands {
  const random = seededRandom(seed);
  const { batch, heads, queries, keys, dim } = spec;
  const draw = (size: number): Float64Array => Float64Array.from({ length: size }, () => Math.fround(random() * 4 - 2));
  return {
    q: draw(batch * queries * heads * dim),
    k: draw(batch * keys * heads * dim),
    v: draw(batch * keys * heads * dim),
    dout: draw(batch * queries * heads * dim),
    mask: spec.mask ? Float64Array.from({ length: batch * keys }, () => (random() < 0.7 ? 1 : 0)) : undefined,
    keep: spec.keep
      ? Float64Array.from(
        { length: batch * heads * queries * Math.max(...(spec.segments ?? [keys])) },
        () => (random() < 0.75 ? Math.fround(1 / 0.75) : 0),
      )
      : undefined,
  };
}

/** First row of the sequence that row i belongs to: two rows meet only where it is the same. */
function sequenceOf(spec: AttentionSpec, i: number): number {
  let start = 0;
  for (const length of spec.segments ?? []) {
    if (i < start + length) return start;
    start += length;
  }
  return 0;
}

/** The dropout factor of row `row` of [B·H·Tq] and key j. */
function keepAt(spec: AttentionSpec, x: Operands, row: number, j: number): number {
  if (!x.keep) return 1;
  const width = spec.segments ? Math.max(...spec.segments) : spec.keys;
  return x.keep[row * width + j - sequenceOf(spec, j)] ?? 1;
}

interface Forward {
  out: Float64Array;
  lse: Float64Array;
  /** Probabilities before dropout, [B, H, Tq, Tk]. */
  p: Float64Array;
}

function referenceForward(spec: AttentionSpec, x: Operands): Forward {
  const { batch, heads, queries, keys, dim, scale } = spec;
  const out = new Float64Array(x.q.length);
  const lse = new Float64Array(batch * heads * queries);
  const p = new Float64Array(batch * heads * queries * keys);
  for (let b = 0; b < batch; b++) for (let h = 0; h < heads; h++) for (let i = 0; i < queries; i++) {
    const row = (b * heads + h) * queries + i;
    const attended = Array.from({ length: keys }, (_, j) => j)
      .filter((j) => sequenceOf(spec, j) === sequenceOf(spec, i))
      .filter((j) => x.mask === undefined || x.mask[b * keys + j] !== 0);
    if (attended.length === 0) continue;
    const scores = attended.map((j) => {
      let s = 0;
      for (let d = 0; d < dim; d++) {
        s += x.q[((b * queries + i) * heads + h) * dim + d] * x.k[((b * keys + j) * heads + h) * dim + d];
      }
      return s * scale;
    });
    const top = Math.max(...scores);
    const sum = scores.reduce((a, s) => a + Math.exp(s - top), 0);
    lse[row] = top + Math.log(sum);
    attended.forEach((j, n) => {
      p[row * keys + j] = Math.exp(scores[n] - lse[row]);
      const weight = p[row * keys + j] * keepAt(spec, x, row, j);
      for (let d = 0; d < dim; d++) {
        out[((b * queries + i) * heads + h) * dim + d] += weight * x.v[((b * keys + j) * heads + h) * dim + d];
      }
    });
  }
  return { out, lse, p };
}

interface Backward {
  dq: Float64Array;
  dk: Float64Array;
  dv: Float64Array;
  /** The same sums over absolute values: what rounding errors of each element are in proportion to. */
  terms: { dq: Float64Array; dk: Float64Array; dv: Float64Array };
}

function referenceBackward(spec: AttentionSpec, x: Operands): Backward {
  const { batch, heads, queries, keys, dim, scale } = spec;
  const { p } = referenceForward(spec, x);
  const [dq, dk, dv] = [x.q, x.k, x.v].map((a) => new Float64Array(a.length));
  const terms = { dq: dq.slice(), dk: dk.slice(), dv: dv.slice() };
  for (let b = 0; b < batch; b++) for (let h = 0; h < heads; h++) for (let i = 0; i < queries; i++) {
    const row = (b * heads + h) * queries + i;
    const at = ((b * queries + i) * heads + h) * dim;
    const key = (j: number): number => ((b * keys + j) * heads + h) * dim;
    const dp = Array.from({ length: keys }, (_, j) => {
      let g = 0;
      for (let d = 0; d < dim; d++) g += x.dout[at + d] * x.v[key(j) + d];
      return g * keepAt(spec, x, row, j);
    });
    const mean = dp.reduce((a, g, j) => a + g * p[row * keys + j], 0);
    for (let j = 0; j < keys; j++) {
      const ds = p[row * keys + j] * (dp[j] - mean) * scale;
      const size = p[row * keys + j] * (Math.abs(dp[j]) + Math.abs(mean)) * Math.abs(scale);
      const weight = p[row * keys + j] * keepAt(spec, x, row, j);
      for (let d = 0; d < dim; d++) {
        terms.dq[at + d] += Math.abs(size * x.k[key(j) + d]);
        terms.dk[key(j) + d] += Math.abs(size * x.q[at + d]);
        terms.dv[key(j) + d] += Math.abs(weight * x.dout[at + d]);
        dq[at + d] += ds * x.k[key(j) + d];
        dk[key(j) + d] += ds * x.q[at + d];
        dv[key(j) + d] += weight * x.dout[at + d];
      }
    }
  }
  return { dq, dk, dv, terms };
}

/** Interleaves three [B·T, W] blocks as [B·T, 3·W]. */
function pack(blocks: readonly Float64Array[], width: number): Float64Array {
  const rows = blocks[0].length / width;
  const packed = new Float64Array(rows * 3 * width);
  blocks.forEach((block, n) => {
    for (let r = 0; r < rows; r++) packed.set(block.subarray(r * width, (r + 1) * width), (r * 3 + n) * width);
  });
  return packed;
}

/** Every element within `bound` of the largest of `terms` (by default of the expected values themselves). */
function assertClose(what: string, actual: Float32Array, expected: Float64Array, terms = expected, bound = 1e-5): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const scale = terms.reduce((a, x) => Math.max(a, Math.abs(x)), 1e-30);
  expected.forEach((x, i) => {
    const error = Math.abs(actual[i] - x) / scale;
    assert.ok(error <= bound, `${what}[${i}] is ${actual[i]}, expected ${x} (error ${error} of scale ${scale})`);
  });
}

const f32 = (x: Float64Array): Float32Array => Float32Array.from(x);

interface Check {
  /** Allowed error, relative to the largest term. */
  readonly bound?: number;
  /** A tile other than the one that the size suggests (cpu profile). */
  readonly tile?: AttentionTile;
  /** What the backward may keep between its dispatches (cpu profile). */
  readonly mostBytes?: number;
}

async function checkKernels(
  spec: AttentionSpec, kind: "cpu" | "gpu", seed: number, { bound = 1e-5, tile, mostBytes }: Check = {},
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
  assert.deepEqual(forwardInputs.map((a) => a.length), attentionForwardInputs(spec).map((s) => sizeOf(s.shape)));
  const [out, lse] = await runLowering(
    lowerings[0],
    forwardInputs.map(f32),
    attentionForwardOutputs(spec).map((s) => sizeOf(s.shape)),
  );
  assertClose(`out of ${name}`, out, forward.out, forward.out, bound);
  assertClose(`lse of ${name}`, lse, forward.lse, undefined, bound);

  // The reference's own out and lse are given, so that a wrong backward cannot hide behind a wrong forward.
  const backwardInputs = [x.dout, ...projections, forward.out, forward.lse, ...options];
  assert.deepEqual(backwardInputs.map((a) => a.length), attentionBackwardInputs(spec).map((s) => sizeOf(s.shape)));
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

function specOf(given: Partial<AttentionSpec>): AttentionSpec {
  const dim = given.dim ?? 8;
  return {
    batch: 2, heads: 2, queries: 5, keys: 7, dim, scale: 1 / Math.sqrt(dim), packed: false, mask: false, keep: false,
    ...given,
  };
}

/** Sizes that meet every edge of the tiles: 1, around 16 and 32, and several tiles. */
const length = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1, 16, 17, 32, 33, 64, 65));
const specs: fc.Arbitrary<AttentionSpec> = fc.record({
  batch: fc.integer({ min: 1, max: 3 }),
  heads: fc.integer({ min: 1, max: 3 }),
  queries: length,
  keys: length,
  dim: fc.oneof(fc.constantFrom(4, 8, 12, 32, 36), fc.integer({ min: 1, max: 19 })),
  scale: fc.constantFrom(1, 0.25, -0.5),
  packed: fc.boolean(),
  mask: fc.boolean(),
  keep: fc.boolean(),
}).map((s) => (s.packed ? { ...s, keys: s.queries } : s));

describe("attention, float64 reference", () => {
  test("its gradient agrees with central differences", () => {
    fc.assert(fc.property(fc.nat(), fc.boolean(), fc.boolean(), (seed, mask, keep) => {
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
    }), { numRuns: 8 });
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
  for (const [rows, columns] of [[4, 8], [8, 8], [8, 16], [16, 16]]) {
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

  test("refuses sizes and options that mean nothing", () => {
    const lower = (given: Partial<AttentionSpec>) => () => attentionForward(specOf(given), testProfile("cpu"));
    assert.throws(lower({ keys: 0 }), /attention: keys is 0; it must be an integer ≥ 1/);
    assert.throws(lower({ scale: NaN }), /attention: scale is NaN/);
    assert.throws(lower({ queries: 3, keys: 3, segments: [2, 2] }), /segments 2, 2 must be/);
    assert.throws(lower({ packed: true, queries: 3, keys: 4 }), /queries is 3 and keys is 4/);
  });
});
