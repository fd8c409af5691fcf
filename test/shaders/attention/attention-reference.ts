/**
 * Attention by plain float64 loops, forward and backward, with operands and random specs: what every device's kernels
 * are held to.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { AttentionSpec } from "../../../src/shaders/attention/attention.ts";
import { seededRandom } from "../lowering-runner.ts";

/** Float64 operands, apart, whatever the spec packs. */
export interface Operands {
  q: Float64Array;
  k: Float64Array;
  v: Float64Array;
  mask?: Float64Array;
  keep?: Float64Array;
  dout: Float64Array;
}

/** Values that f32 holds exactly, so that kernel and reference start from the same numbers. */
export function operandsOf(spec: AttentionSpec, seed: number): Operands {
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
      ? Float64Array.from({ length: batch * heads * queries * Math.max(...(spec.segments ?? [keys])) }, () =>
          random() < 0.75 ? Math.fround(1 / 0.75) : 0,
        )
      : undefined,
  };
}

/** First row of the sequence that row i belongs to: two rows meet only where it is the same. */
export function sequenceOf(spec: AttentionSpec, i: number): number {
  let start = 0;
  for (const length of spec.segments ?? []) {
    if (i < start + length) return start;
    start += length;
  }
  return 0;
}

/** The dropout factor of row `row` of [B·H·Tq] and key j. */
export function keepAt(spec: AttentionSpec, x: Operands, row: number, j: number): number {
  if (!x.keep) return 1;
  const width = spec.segments ? Math.max(...spec.segments) : spec.keys;
  return x.keep[row * width + j - sequenceOf(spec, j)] ?? 1;
}

export interface Forward {
  out: Float64Array;
  lse: Float64Array;
  /** Probabilities before dropout, [B, H, Tq, Tk]. */
  p: Float64Array;
}

export function referenceForward(spec: AttentionSpec, x: Operands): Forward {
  const { batch, heads, queries, keys, dim, scale } = spec;
  const out = new Float64Array(x.q.length);
  const lse = new Float64Array(batch * heads * queries);
  const p = new Float64Array(batch * heads * queries * keys);
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < queries; i++) {
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

export interface Backward {
  dq: Float64Array;
  dk: Float64Array;
  dv: Float64Array;
  /** The same sums over absolute values: what rounding errors of each element are in proportion to. */
  terms: { dq: Float64Array; dk: Float64Array; dv: Float64Array };
}

export function referenceBackward(spec: AttentionSpec, x: Operands): Backward {
  const { batch, heads, queries, keys, dim, scale } = spec;
  const { p } = referenceForward(spec, x);
  const [dq, dk, dv] = [x.q, x.k, x.v].map((a) => new Float64Array(a.length));
  const terms = { dq: dq.slice(), dk: dk.slice(), dv: dv.slice() };
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < queries; i++) {
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
export function pack(blocks: readonly Float64Array[], width: number): Float64Array {
  const rows = blocks[0].length / width;
  const packed = new Float64Array(rows * 3 * width);
  blocks.forEach((block, n) => {
    for (let r = 0; r < rows; r++) packed.set(block.subarray(r * width, (r + 1) * width), (r * 3 + n) * width);
  });
  return packed;
}

/** Every element within `bound` of the largest of `terms` (by default of the expected values themselves). */
export function assertClose(
  what: string,
  actual: Float32Array,
  expected: Float64Array,
  terms = expected,
  bound = 1e-5,
): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const scale = terms.reduce((a, x) => Math.max(a, Math.abs(x)), 1e-30);
  expected.forEach((x, i) => {
    const error = Math.abs(actual[i] - x) / scale;
    assert.ok(error <= bound, `${what}[${i}] is ${actual[i]}, expected ${x} (error ${error} of scale ${scale})`);
  });
}

export const f32 = (x: Float64Array): Float32Array => Float32Array.from(x);

export function specOf(given: Partial<AttentionSpec>): AttentionSpec {
  const dim = given.dim ?? 8;
  return {
    batch: 2,
    heads: 2,
    queries: 5,
    keys: 7,
    dim,
    scale: 1 / Math.sqrt(dim),
    packed: false,
    mask: false,
    keep: false,
    ...given,
  };
}

/** Sizes that meet every edge of the tiles: 1, around 16 and 32, and several tiles. */
export const length = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(1, 16, 17, 32, 33, 64, 65));
export const specs: fc.Arbitrary<AttentionSpec> = fc
  .record({
    batch: fc.integer({ min: 1, max: 3 }),
    heads: fc.integer({ min: 1, max: 3 }),
    queries: length,
    keys: length,
    dim: fc.oneof(fc.constantFrom(4, 8, 12, 32, 36), fc.integer({ min: 1, max: 19 })),
    scale: fc.constantFrom(1, 0.25, -0.5),
    packed: fc.boolean(),
    mask: fc.boolean(),
    keep: fc.boolean(),
  })
  .map((s) => (s.packed ? { ...s, keys: s.queries } : s));
