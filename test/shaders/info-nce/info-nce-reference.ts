/**
 * InfoNCE by plain float64 loops, forward and backward, with operands and random specs: what every device's kernels are
 * held to.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { InfoNceSpec } from "../../../src/specs/info-nce.ts";
import { seededRandom } from "../lowering-runner.ts";

export interface Operands {
  q: Float64Array;
  k: Float64Array;
  queue: Float64Array;
  dloss: Float64Array;
}

/** Values that f32 holds exactly; `size` is about the length of q, k and of the queue's columns. */
export function operandsOf({ rows, channels, positives, negatives }: InfoNceSpec, seed: number, size = 1.5): Operands {
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

/** Logits of row n, the positives first. */
export function logitsOf(
  { channels, positives, negatives, temperature }: InfoNceSpec,
  x: Operands,
  n: number,
): number[] {
  const logits: number[] = [];
  for (let p = 0; p < positives; p++) {
    let s = 0;
    for (let c = 0; c < channels; c++) s += x.q[n * channels + c] * x.k[(n * positives + p) * channels + c];
    logits.push(s / temperature);
  }
  for (let j = 0; j < negatives; j++) {
    let s = 0;
    for (let c = 0; c < channels; c++) s += x.q[n * channels + c] * x.queue[c * negatives + j];
    logits.push(s / temperature);
  }
  return logits;
}

export function logSumExp(values: readonly number[]): number {
  const top = values.reduce((a, b) => Math.max(a, b));
  return top + Math.log(values.reduce((a, b) => a + Math.exp(b - top), 0));
}

export interface Forward {
  loss: Float64Array;
  /** Log-sum-exps over all logits, and over the positives. */
  all: Float64Array;
  some: Float64Array;
}

export function referenceForward(spec: InfoNceSpec, x: Operands): Forward {
  const all = new Float64Array(spec.rows);
  const some = new Float64Array(spec.rows);
  for (let n = 0; n < spec.rows; n++) {
    const logits = logitsOf(spec, x, n);
    all[n] = logSumExp(logits);
    some[n] = logSumExp(logits.slice(0, spec.positives));
  }
  return { loss: all.map((a, n) => a - some[n]), all, some };
}

export interface Gradients {
  dq: Float64Array;
  dk: Float64Array;
  dqueue: Float64Array;
}

/** The gradients, and the same sums over absolute values, which rounding errors are in proportion to. */
export function referenceBackward(spec: InfoNceSpec, x: Operands): { gradients: Gradients; terms: Gradients } {
  const { rows, channels, positives, negatives, temperature } = spec;
  const zeros = (): Gradients => ({
    dq: new Float64Array(x.q.length),
    dk: new Float64Array(x.k.length),
    dqueue: new Float64Array(x.queue.length),
  });
  const [gradients, terms] = [zeros(), zeros()];
  const { all, some } = referenceForward(spec, x);
  for (let n = 0; n < rows; n++) {
    logitsOf(spec, x, n).forEach((l, i) => {
      const isPositive = i < positives;
      const [whole, own] = [Math.exp(l - all[n]), isPositive ? Math.exp(l - some[n]) : 0];
      const g = (x.dloss[n] / temperature) * (whole - own);
      const size = Math.abs(x.dloss[n] / temperature) * (whole + own);
      for (let c = 0; c < channels; c++) {
        const place = isPositive ? (n * positives + i) * channels + c : c * negatives + i - positives;
        const other = (isPositive ? x.k : x.queue)[place];
        const target = isPositive ? "dk" : "dqueue";
        gradients.dq[n * channels + c] += g * other;
        gradients[target][place] += g * x.q[n * channels + c];
        terms.dq[n * channels + c] += Math.abs(size * other);
        terms[target][place] += Math.abs(size * x.q[n * channels + c]);
      }
    });
  }
  return { gradients, terms };
}

/** Every element within `bound` of the largest of `terms`. */
export function assertClose(
  what: string,
  actual: Float32Array,
  expected: Float64Array,
  terms: Float64Array,
  bound: number,
): void {
  assert.equal(actual.length, expected.length, `${what}: length`);
  const scale = terms.reduce((a, x) => Math.max(a, Math.abs(x)), 1e-30);
  expected.forEach((x, i) => {
    const error = Math.abs(actual[i] - x) / scale;
    assert.ok(error <= bound, `${what}[${i}] is ${actual[i]}, expected ${x} (error ${error} of scale ${scale})`);
  });
}

export const f32 = (x: Float64Array): Float32Array => Float32Array.from(x);

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
