/** InfoNCE losses to be computed and what they must give: specs, random operands, and the results of both passes. */
import fc from "fast-check";
import { INFO_NCE, INFO_NCE_BACKWARD } from "../../src/ops/losses/contrastive.ts";
import { infoNceBackwardInputs, infoNceForwardInputs } from "../../src/specs/info-nce.ts";
import type { InfoNceSpec } from "../../src/specs/info-nce.ts";
import { f32 } from "../../src/specs/tensor-spec.ts";
import type { Pass } from "../support/decomposition.ts";
import { assertNear, float64, leaf, passOf } from "../support/decomposition.ts";
import { seededRandom } from "../support/draw.ts";

interface Operands {
  q: Float64Array;
  k: Float64Array;
  queue: Float64Array;
  dloss: Float64Array;
}

/** Values that f32 holds exactly; `size` is about the length of q, k and of the queue's columns. */
function operandsOf({ rows, channels, positives, negatives }: InfoNceSpec, seed: number, size = 1.5): Operands {
  const random = seededRandom(seed);
  const unit = size * Math.sqrt(3 / channels);
  const draw = (n: number, scale: number): Float64Array =>
    Float64Array.from({ length: n }, () => Math.fround((random() * 2 - 1) * scale));
  return {
    q: draw(rows * channels, unit),
    k: draw(rows * positives * channels, unit),
    queue: draw(channels * negatives, unit),
    dloss: draw(rows, 1),
  };
}

/** The sums that dq and dk are, over absolute values: what rounding errors of each element are in proportion to. */
function termsOf(spec: InfoNceSpec, x: Operands, all: Float64Array, some: Float64Array): Promise<Float64Array[]> {
  const { rows, channels, positives, negatives, temperature } = spec;
  const q = leaf(f32(rows, channels), x.q);
  const k = leaf(f32(rows, positives, channels), x.k);
  const queue = leaf(f32(channels, negatives), x.queue);
  const [lseAll, lseSome, dloss] = [all, some, x.dloss].map((a) => leaf(f32(rows, 1), a));
  const weight = dloss.abs().div(temperature);
  const positive = k.mul(q.unsqueeze(1)).sum(-1).div(temperature);
  const negative = q.matmul(queue).div(temperature);
  const onPositive = positive.sub(lseAll).exp().add(positive.sub(lseSome).exp()).mul(weight).unsqueeze(-1);
  const onNegative = negative.sub(lseAll).exp().mul(weight);
  return float64([
    onPositive.mul(k.abs()).sum(1).add(onNegative.matmul(queue.transpose().abs())),
    onPositive.mul(q.abs().unsqueeze(1)),
  ]);
}

/** Both passes of a loss, and the terms of the gradients. */
export interface InfoNceProblem {
  readonly name: string;
  readonly forward: Pass;
  readonly backward: Pass;
  readonly terms: readonly Float64Array[];
}

/** A loss on random operands; `size` is about the length of q, k and of the queue's columns. */
export async function infoNceProblem(spec: InfoNceSpec, seed: number, size = 1.5): Promise<InfoNceProblem> {
  const x = operandsOf(spec, seed, size);
  const { temperature } = spec;
  const operands = [x.q, x.k, x.queue];
  const names = ["loss", "lse over all", "lse over positives"];
  const forward = await passOf(INFO_NCE, infoNceForwardInputs(spec), { temperature }, operands, names);
  // The decomposition's own log-sum-exps are given, so that a wrong backward cannot hide behind a wrong forward.
  const [, all, some] = forward.expected;
  const given = [x.dloss, ...operands, all, some];
  const backward = await passOf(INFO_NCE_BACKWARD, infoNceBackwardInputs(spec), { temperature }, given, ["dq", "dk"]);
  return { name: JSON.stringify(spec), forward, backward, terms: await termsOf(spec, x, all, some) };
}

/** Asserts that loss, the log-sum-exps, dq and dk are those expected. */
export function assertInfoNce(
  { name, forward, backward, terms }: InfoNceProblem,
  results: readonly Float32Array[],
  bound = 1e-5,
): void {
  // The loss is a difference of the two others.
  const [, all, some] = forward.expected;
  const larger = all.map((a, n) => Math.max(Math.abs(a), Math.abs(some[n]), 1));
  forward.names.forEach((output, i) =>
    assertNear(`${output} of ${name}`, results[i], forward.expected[i], { bound, terms: larger }),
  );
  backward.names.forEach((output, i) =>
    assertNear(`${output} of ${name}`, results[3 + i], backward.expected[i], { bound, terms: terms[i] }),
  );
}

export const specOf = (given: Partial<InfoNceSpec> = {}): InfoNceSpec => ({
  rows: 5,
  channels: 8,
  positives: 1,
  negatives: 33,
  temperature: 0.2,
  ...given,
});

export const specs: fc.Arbitrary<InfoNceSpec> = fc.record({
  rows: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(16, 17, 64, 70)),
  channels: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(16, 64, 130)),
  positives: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 9 }), fc.constantFrom(64, 65)),
  negatives: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(64, 128, 516, 1030)),
  temperature: fc.constantFrom(0.2, 0.5, 1),
});
