/**
 * The loss of a workload's first step in float64, by plain loops and nothing of any engine.
 *
 * It anchors the benchmark: engines that agree with each other could share a misreading of the workload; they must also
 * agree with this. Formulas are those of PyTorch's `Linear`, `TransformerEncoderLayer` (post-norm) and `GRU`.
 */
import type { ArrayData, EncoderWorkload, GruWorkload, MlpWorkload, Workload } from "./workloads.ts";

/** Mean cross-entropy over the batch at the initial parameters. */
export function referenceLoss(workload: Workload): number {
  switch (workload.name) {
    case "mlp":
      return crossEntropy(mlpLogits(workload), workload);
    case "encoder":
      return crossEntropy(encoderLogits(workload), workload);
    case "gru":
      return crossEntropy(gruLogits(workload), workload);
  }
}

function mlpLogits({ widths, batch, input, parameters }: MlpWorkload): Float64Array {
  let x: Float64Array = Float64Array.from(input.data);
  for (let layer = 0; layer + 1 < widths.length; layer++) {
    if (layer > 0) x = x.map((value) => Math.max(value, 0));
    x = linear(x, batch, parameters[`layers.${layer}.weight`], parameters[`layers.${layer}.bias`]);
  }
  return x;
}

function encoderLogits(workload: EncoderWorkload): Float64Array {
  const { batch, time, features, heads, normEpsilon, input, parameters: p } = workload;
  const rows = batch * time;
  const x = Float64Array.from(input.data);
  const qkv = linear(x, rows, p["self_attn.in_proj_weight"], p["self_attn.in_proj_bias"]);
  const attended = attention(qkv, batch, time, features, heads);
  const projected = linear(attended, rows, p["self_attn.out_proj.weight"], p["self_attn.out_proj.bias"]);
  const first = layerNorm(add(x, projected), features, p["norm1.weight"], p["norm1.bias"], normEpsilon);
  const inner = linear(first, rows, p["linear1.weight"], p["linear1.bias"]).map((value) => Math.max(value, 0));
  const outer = linear(inner, rows, p["linear2.weight"], p["linear2.bias"]);
  const second = layerNorm(add(first, outer), features, p["norm2.weight"], p["norm2.bias"], normEpsilon);
  const pooled = new Float64Array(batch * features);
  for (let i = 0; i < second.length; i++) {
    pooled[Math.floor(i / (time * features)) * features + (i % features)] += second[i] / time;
  }
  return linear(pooled, batch, p["head.weight"], p["head.bias"]);
}

function gruLogits({ batch, time, features, hidden, input, parameters: p }: GruWorkload): Float64Array {
  const fromInput = linear(Float64Array.from(input.data), batch * time, p.weight_ih_l0, p.bias_ih_l0);
  if (p.weight_ih_l0.shape[1] !== features) throw new RangeError("gru: weight_ih_l0 does not fit the input");
  const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));
  let state: Float64Array = new Float64Array(batch * hidden);
  for (let t = 0; t < time; t++) {
    const fromState = linear(state, batch, p.weight_hh_l0, p.bias_hh_l0);
    const next = new Float64Array(batch * hidden);
    for (let b = 0; b < batch; b++) {
      const x = (b * time + t) * 3 * hidden;
      const h = b * 3 * hidden;
      for (let j = 0; j < hidden; j++) {
        const r = sigmoid(fromInput[x + j] + fromState[h + j]);
        const z = sigmoid(fromInput[x + hidden + j] + fromState[h + hidden + j]);
        const n = Math.tanh(fromInput[x + 2 * hidden + j] + r * fromState[h + 2 * hidden + j]);
        next[b * hidden + j] = (1 - z) * n + z * state[b * hidden + j];
      }
    }
    state = next;
  }
  return linear(state, batch, p["head.weight"], p["head.bias"]);
}

/** x [rows, in] · weightᵀ [out, in] + bias [out] → [rows, out]. */
function linear(x: Float64Array, rows: number, weight: ArrayData, bias: ArrayData): Float64Array {
  const [outputs, inputs] = weight.shape;
  const result = new Float64Array(rows * outputs);
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias.data[o];
      for (let i = 0; i < inputs; i++) sum += x[row * inputs + i] * weight.data[o * inputs + i];
      result[row * outputs + o] = sum;
    }
  }
  return result;
}

/** Scaled dot-product self-attention from packed q, k, v [batch, time, 3·features] → [batch, time, features]. */
function attention(qkv: Float64Array, batch: number, time: number, features: number, heads: number): Float64Array {
  const size = features / heads;
  const result = new Float64Array(batch * time * features);
  const weights = new Float64Array(time);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      for (let t = 0; t < time; t++) {
        const q = (b * time + t) * 3 * features + head * size;
        let largest = -Infinity;
        for (let s = 0; s < time; s++) {
          const k = (b * time + s) * 3 * features + features + head * size;
          let score = 0;
          for (let i = 0; i < size; i++) score += qkv[q + i] * qkv[k + i];
          weights[s] = score / Math.sqrt(size);
          largest = Math.max(largest, weights[s]);
        }
        let total = 0;
        for (let s = 0; s < time; s++) total += weights[s] = Math.exp(weights[s] - largest);
        const out = (b * time + t) * features + head * size;
        for (let s = 0; s < time; s++) {
          const v = (b * time + s) * 3 * features + 2 * features + head * size;
          for (let i = 0; i < size; i++) result[out + i] += (weights[s] / total) * qkv[v + i];
        }
      }
    }
  }
  return result;
}

/** Layer normalisation over rows of `features` values, biased variance. */
function layerNorm(
  x: Float64Array,
  features: number,
  weight: ArrayData,
  bias: ArrayData,
  epsilon: number,
): Float64Array {
  const result = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += features) {
    let mean = 0;
    for (let i = 0; i < features; i++) mean += x[row + i] / features;
    let variance = 0;
    for (let i = 0; i < features; i++) variance += (x[row + i] - mean) ** 2 / features;
    const scale = 1 / Math.sqrt(variance + epsilon);
    for (let i = 0; i < features; i++) result[row + i] = (x[row + i] - mean) * scale * weight.data[i] + bias.data[i];
  }
  return result;
}

function add(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value + b[i]);
}

function crossEntropy(logits: Float64Array, { batch, classes, labels }: Workload): number {
  let total = 0;
  for (let b = 0; b < batch; b++) {
    const row = logits.subarray(b * classes, (b + 1) * classes);
    const largest = row.reduce((a, value) => Math.max(a, value), -Infinity);
    const logSum = largest + Math.log(row.reduce((sum, value) => sum + Math.exp(value - largest), 0));
    total += logSum - row[labels[b]];
  }
  return total / batch;
}
