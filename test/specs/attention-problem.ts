/** Attentions to be computed and what they must give: specs, random operands, and the results of both passes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ATTENTION, ATTENTION_BACKWARD } from "../../src/ops/attention.ts";
import {
  attentionBackwardInputs,
  attentionBackwardOutputs,
  attentionForwardInputs,
  attentionForwardOutputs,
} from "../../src/shaders/attention/attention.ts";
import { keepWidth, outputNames } from "../../src/specs/attention.ts";
import type { AttentionSpec } from "../../src/specs/attention.ts";
import { f32 } from "../../src/specs/tensor-spec.ts";
import type { ValueSpec } from "../../src/tensor/fused.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { Pass } from "../support/decomposition.ts";
import { assertNear, float64, leaf, passOf } from "../support/decomposition.ts";
import { seededRandom } from "../support/draw.ts";

/** Float64 operands, apart, whatever the spec packs. */
export interface Operands {
  q: Float64Array;
  k: Float64Array;
  v: Float64Array;
  mask?: Float64Array;
  keep?: Float64Array;
  dout: Float64Array;
}

/** Values that f32 holds exactly, so that kernel and decomposition start from the same numbers. */
export function operandsOf(spec: AttentionSpec, seed: number): Operands {
  const random = seededRandom(seed);
  const { batch, heads, queries, keys, dim } = spec;
  const draw = (size: number): Float64Array => Float64Array.from({ length: size }, () => Math.fround(random() * 4 - 2));
  const [q, k, v] = [queries, keys, keys].map((rows) => draw(batch * rows * heads * dim));
  const dout = draw(q.length);
  const choose = (size: number, share: number, value: number): Float64Array =>
    Float64Array.from({ length: size }, () => (random() < share ? value : 0));
  return {
    q,
    k,
    v,
    dout,
    mask: spec.mask ? choose(batch * keys, 0.7, 1) : undefined,
    keep: spec.keep ? choose(batch * heads * queries * keepWidth(spec), 0.75, Math.fround(1 / 0.75)) : undefined,
  };
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

/** Whether key j is open to query i, as 1 and 0 [B, 1, Tq, Tk]: neither masked nor of another sequence. */
function openPairs({ batch, queries, keys, segments }: AttentionSpec, mask?: Float64Array): Float64Array {
  const sequence = (segments ?? [Math.max(queries, keys)]).flatMap((length, s) => new Array<number>(length).fill(s));
  return Float64Array.from({ length: batch * queries * keys }, (_, at) => {
    const [b, i, j] = [Math.floor(at / (queries * keys)), Math.floor(at / keys) % queries, at % keys];
    return sequence[i] === sequence[j] && mask?.[b * keys + j] !== 0 ? 1 : 0;
  });
}

/** The sums that gradients are, over absolute values: what rounding errors of each element are in proportion to. */
async function termsOf(spec: AttentionSpec, x: Operands, lse: Float64Array): Promise<Float64Array[]> {
  const { batch, heads, queries, keys, dim, scale, segments } = spec;
  const [q, dout] = [x.q, x.dout].map((a) => leaf(f32(batch, queries, heads, dim), a).permute([0, 2, 1, 3]));
  const [k, v] = [x.k, x.v].map((a) => leaf(f32(batch, keys, heads, dim), a).permute([0, 2, 1, 3]));
  const open = leaf(f32(batch, 1, queries, keys), openPairs(spec, x.mask)).ne(0);
  const logarithms = q
    .matmul(k.transpose())
    .mul(scale)
    .sub(leaf(f32(batch, heads, queries, 1), lse));
  const p = open.expand(logarithms.shape).where(logarithms, -1e30).exp();
  // With several sequences, for each of which the columns of `keep` count anew, nothing is taken to be dropped.
  const factor = segments ? 1 / 0.75 : x.keep && leaf(f32(batch, heads, queries, keys), x.keep);
  const keep = (t: Tensor): Tensor => (x.keep && factor ? t.mul(factor) : t);
  const dp = keep(dout.matmul(v.transpose()).abs());
  const ds = p.mul(dp.add(p.mul(dp).sum(-1, true))).mul(Math.abs(scale));
  const [dq, dk, dv] = await float64(
    [ds.matmul(k.abs()), ds.transpose().matmul(q.abs()), keep(p).transpose().matmul(dout.abs())].map((t) =>
      t.permute([0, 2, 1, 3]),
    ),
  );
  return spec.packed ? [pack([dq, dk, dv], heads * dim)] : [dq, dk, dv];
}

/** Both passes of an attention, and the terms of the gradients. */
export interface AttentionProblem {
  readonly name: string;
  readonly forward: Pass;
  readonly backward: Pass;
  readonly terms: readonly Float64Array[];
}

export async function attentionProblem(spec: AttentionSpec, x: Operands): Promise<AttentionProblem> {
  const { heads, dim, scale, packed, segments } = spec;
  const attrs = { heads, scale, packed, mask: spec.mask, keep: spec.keep, segments };
  const projections = packed ? [pack([x.q, x.k, x.v], heads * dim)] : [x.q, x.k, x.v];
  const options = [x.mask, x.keep].filter((a) => a !== undefined);
  const forward = await passOf(
    ATTENTION,
    attentionForwardInputs(spec),
    attrs,
    [...projections, ...options],
    outputNames(spec, false),
  );
  // The decomposition's own out and lse are given, so that a wrong backward cannot hide behind a wrong forward.
  const [out, lse] = forward.expected;
  const backward = await passOf(
    ATTENTION_BACKWARD,
    attentionBackwardInputs(spec),
    attrs,
    [x.dout, ...projections, out, lse, ...options],
    outputNames(spec, true),
  );
  assert.deepEqual(forward.sizes, sizes(attentionForwardOutputs(spec)));
  assert.deepEqual(backward.sizes, sizes(attentionBackwardOutputs(spec)));
  return { name: JSON.stringify(spec), forward, backward, terms: await termsOf(spec, x, lse) };
}

const sizes = (specs: readonly ValueSpec[]): number[] => specs.map((s) => sizeOf(s.shape));

/** Asserts that out, lse and the gradients are those expected. */
export function assertAttention(
  { name, forward, backward, terms }: AttentionProblem,
  results: readonly Float32Array[],
  bound = 1e-5,
): void {
  forward.names.forEach((output, i) => assertNear(`${output} of ${name}`, results[i], forward.expected[i], { bound }));
  const gradients = results.slice(forward.names.length);
  backward.names.forEach((output, i) =>
    assertNear(`${output} of ${name}`, gradients[i], backward.expected[i], { bound, terms: terms[i] }),
  );
}

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
