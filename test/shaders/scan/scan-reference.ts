/**
 * The GRU and LSTM scans as plain float64 loops, forward and backward: what the kernels are held to.
 *
 * Written from torch.nn.GRU's and torch.nn.LSTM's formulas, one scalar at a time, with nothing shared with the kernels
 * but the operands' order. The backward loops are themselves held to finite differences of the forward ones.
 */
import type { ScanSpec } from "../../../src/specs/scan.ts";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Visits the valid and masked steps in the order direction `d` runs them (or against it). */
function* stepsOf(spec: ScanSpec, d: number, backward: boolean): Generator<number> {
  for (let s = 0; s < spec.steps; s++) yield (d === 1) !== backward ? spec.steps - 1 - s : s;
}

/** W h + b of every gate unit. */
function recurrent(weight: Float64Array, bias: Float64Array, d: number, units: number, h: Float64Array): Float64Array {
  const hidden = h.length;
  const out = new Float64Array(units);
  for (let j = 0; j < units; j++) {
    let sum = bias[d * units + j];
    for (let k = 0; k < hidden; k++) sum += weight[(d * units + j) * hidden + k] * h[k];
    out[j] = sum;
  }
  return out;
}

/** Wᵀ g added to `dh`. */
function addTransposed(weight: Float64Array, d: number, g: Float64Array, dh: Float64Array): void {
  const hidden = dh.length;
  for (let j = 0; j < g.length; j++) {
    for (let k = 0; k < hidden; k++) dh[k] += weight[(d * g.length + j) * hidden + k] * g[j];
  }
}

const zeros = (length: number): Float64Array => new Float64Array(length);

/** Outputs in the order of `gruForwardSignature`: y, hn, saved, hPrev. */
export function gruForwardLoops(spec: ScanSpec, inputs: readonly Float64Array[]): Float64Array[] {
  const { steps: T, batch: B, directions: D, hidden: H } = spec;
  const [gates, weight, bias, h0, mask] = inputs;
  const y = zeros(T * B * D * H);
  const hn = zeros(D * B * H);
  const saved = zeros(T * B * D * 4 * H);
  const hPrev = zeros(T * B * D * H);
  for (let d = 0; d < D; d++) {
    for (let b = 0; b < B; b++) {
      const h = h0.slice((d * B + b) * H, (d * B + b + 1) * H);
      for (const t of stepsOf(spec, d, false)) {
        const at = (t * B + b) * D + d;
        const gh = recurrent(weight, bias, d, 3 * H, h);
        hPrev.set(h, at * H);
        for (let j = 0; j < H; j++) {
          const r = sigmoid(gates[at * 3 * H + j] + gh[j]);
          const z = sigmoid(gates[at * 3 * H + H + j] + gh[H + j]);
          const n = Math.tanh(gates[at * 3 * H + 2 * H + j] + r * gh[2 * H + j]);
          [r, z, n, gh[2 * H + j]].forEach((value, part) => (saved[at * 4 * H + part * H + j] = value));
          if (spec.masked && mask[t * B + b] === 0) continue;
          h[j] = (1 - z) * n + z * h[j];
          y[at * H + j] = h[j];
        }
      }
      hn.set(h, (d * B + b) * H);
    }
  }
  return [y, hn, saved, hPrev];
}

/** Outputs in the order of `gruBackwardSignature`: dgatesX, dgatesH, dh0. */
export function gruBackwardLoops(spec: ScanSpec, inputs: readonly Float64Array[]): Float64Array[] {
  const { steps: T, batch: B, directions: D, hidden: H } = spec;
  const [dy, dhn, saved, hPrev, weight, mask] = inputs;
  const dgatesX = zeros(T * B * D * 3 * H);
  const dgatesH = zeros(T * B * D * 3 * H);
  const dh0 = zeros(D * B * H);
  for (let d = 0; d < D; d++) {
    for (let b = 0; b < B; b++) {
      const dh = dhn.slice((d * B + b) * H, (d * B + b + 1) * H);
      for (const t of stepsOf(spec, d, true)) {
        if (spec.masked && mask[t * B + b] === 0) continue;
        const at = (t * B + b) * D + d;
        const g = zeros(3 * H);
        for (let j = 0; j < H; j++) {
          const [r, z, n, q] = [0, 1, 2, 3].map((part) => saved[at * 4 * H + part * H + j]);
          const total = dh[j] + dy[at * H + j];
          const dn = total * (1 - z) * (1 - n * n);
          g[j] = dn * q * r * (1 - r);
          g[H + j] = total * (hPrev[at * H + j] - n) * z * (1 - z);
          g[2 * H + j] = dn * r;
          dgatesX.set([g[j]], at * 3 * H + j);
          dgatesX.set([g[H + j]], at * 3 * H + H + j);
          dgatesX.set([dn], at * 3 * H + 2 * H + j);
          dh[j] = total * z;
        }
        dgatesH.set(g, at * 3 * H);
        addTransposed(weight, d, g, dh);
      }
      dh0.set(dh, (d * B + b) * H);
    }
  }
  return [dgatesX, dgatesH, dh0];
}

/** Outputs in the order of `lstmForwardSignature`: y, hn, cn, saved, hPrev. */
export function lstmForwardLoops(spec: ScanSpec, inputs: readonly Float64Array[]): Float64Array[] {
  const { steps: T, batch: B, directions: D, hidden: H } = spec;
  const [gates, weight, bias, h0, c0, mask] = inputs;
  const y = zeros(T * B * D * H);
  const hn = zeros(D * B * H);
  const cn = zeros(D * B * H);
  const saved = zeros(T * B * D * 5 * H);
  const hPrev = zeros(T * B * D * H);
  for (let d = 0; d < D; d++) {
    for (let b = 0; b < B; b++) {
      const h = h0.slice((d * B + b) * H, (d * B + b + 1) * H);
      const c = c0.slice((d * B + b) * H, (d * B + b + 1) * H);
      for (const t of stepsOf(spec, d, false)) {
        const at = (t * B + b) * D + d;
        const gh = recurrent(weight, bias, d, 4 * H, h);
        hPrev.set(h, at * H);
        for (let j = 0; j < H; j++) {
          const pre = [0, 1, 2, 3].map((part) => gates[at * 4 * H + part * H + j] + gh[part * H + j]);
          const [i, f, g, o] = [sigmoid(pre[0]), sigmoid(pre[1]), Math.tanh(pre[2]), sigmoid(pre[3])];
          [i, f, g, o, c[j]].forEach((value, part) => (saved[at * 5 * H + part * H + j] = value));
          if (spec.masked && mask[t * B + b] === 0) continue;
          c[j] = f * c[j] + i * g;
          h[j] = o * Math.tanh(c[j]);
          y[at * H + j] = h[j];
        }
      }
      hn.set(h, (d * B + b) * H);
      cn.set(c, (d * B + b) * H);
    }
  }
  return [y, hn, cn, saved, hPrev];
}

/** Outputs in the order of `lstmBackwardSignature`: dgates, dh0, dc0. */
export function lstmBackwardLoops(spec: ScanSpec, inputs: readonly Float64Array[]): Float64Array[] {
  const { steps: T, batch: B, directions: D, hidden: H } = spec;
  const [dy, dhn, dcn, saved, weight, mask] = inputs;
  const dgates = zeros(T * B * D * 4 * H);
  const dh0 = zeros(D * B * H);
  const dc0 = zeros(D * B * H);
  for (let d = 0; d < D; d++) {
    for (let b = 0; b < B; b++) {
      const dh = dhn.slice((d * B + b) * H, (d * B + b + 1) * H);
      const dc = dcn.slice((d * B + b) * H, (d * B + b + 1) * H);
      for (const t of stepsOf(spec, d, true)) {
        if (spec.masked && mask[t * B + b] === 0) continue;
        const at = (t * B + b) * D + d;
        const pre = zeros(4 * H);
        for (let j = 0; j < H; j++) {
          const [i, f, g, o, c] = [0, 1, 2, 3, 4].map((part) => saved[at * 5 * H + part * H + j]);
          const squashed = Math.tanh(f * c + i * g);
          const total = dh[j] + dy[at * H + j];
          const cell = dc[j] + total * o * (1 - squashed * squashed);
          pre[j] = cell * g * i * (1 - i);
          pre[H + j] = cell * c * f * (1 - f);
          pre[2 * H + j] = cell * i * (1 - g * g);
          pre[3 * H + j] = total * squashed * o * (1 - o);
          dh[j] = 0;
          dc[j] = cell * f;
        }
        dgates.set(pre, at * 4 * H);
        addTransposed(weight, d, pre, dh);
      }
      dh0.set(dh, (d * B + b) * H);
      dc0.set(dc, (d * B + b) * H);
    }
  }
  return [dgates, dh0, dc0];
}

type Loops = (spec: ScanSpec, inputs: readonly Float64Array[]) => Float64Array[];

/** The loops run on each sequence of `spec.segments` by itself; `names` are those of the operands and of the results. */
export function inSegments(
  loops: Loops,
  names: readonly string[],
  results: readonly { name: string; size: number }[],
): Loops {
  const whole = ["weight", "bias"];
  const states = ["h0", "c0", "hn", "cn", "dhn", "dcn", "dh0", "dc0"];
  return (spec, inputs) => {
    const { segments, steps: T, batch: B, directions: D, hidden: H } = spec;
    if (!segments) return loops(spec, inputs);
    const out = results.map(({ size }) => zeros(size));
    let first = 0;
    segments.forEach((steps, s) => {
      /** Copies between a whole operand and the sequence's part of it. */
      const parts = (name: string, all: Float64Array, part: Float64Array, into: "part" | "all"): void => {
        const move = (at: number, from: number, length: number): void => {
          if (into === "part") part.set(all.subarray(from, from + length), at);
          else all.set(part.subarray(at, at + length), from);
        };
        if (states.includes(name)) {
          for (let d = 0; d < D; d++) move(d * B * H, (d * segments.length + s) * B * H, B * H);
        } else move(0, (first * all.length) / T, part.length);
      };
      const given = inputs.map((all, i) => {
        if (whole.includes(names[i])) return all;
        const part = zeros(states.includes(names[i]) ? D * B * H : (all.length / T) * steps);
        parts(names[i], all, part, "part");
        return part;
      });
      loops({ ...spec, steps, segments: undefined }, given).forEach((part, i) =>
        parts(results[i].name, out[i], part, "all"),
      );
      first += steps;
    });
    return out;
  };
}
