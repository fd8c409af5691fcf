/**
 * The workloads' losses written for jax-js, in the form that was measured fastest for it.
 *
 * Choices, each against its alternatives on the machine of the benchmark:
 * - Weights are kept [in, out]; the numbers are PyTorch's, transposed once on the way in.
 * - Labels are one-hot rows made in advance, so that the step holds no gather and no scatter.
 * - jax-js 0.1.25 has no `lax.scan`: the GRU is unrolled. On WebGPU the input is projected for all steps at once, which
 *   takes the fewest dispatches; on wasm step by step, which is a fifth faster there. Joining the gates r and z, or one
 *   product a gate, was slower or no faster on both.
 * - Attention is two batched products around a softmax: `nn.dotProductAttention` is the same, but the einsum in it needs
 *   iterator helpers, which Node 20 lacks.
 *
 * jax-js counts references: a function owns its arguments, and `x.ref` is one more use of `x`.
 */
import { nn, numpy as np } from "@jax-js/jax";
import type { AdapterKind } from "./engine.ts";
import type { EncoderWorkload, GruWorkload, MlpWorkload, Workload } from "../workloads.ts";

export type Arrays = Record<string, np.Array>;
/** Mean cross-entropy; owns its arguments. */
export type Loss = (parameters: Arrays, input: np.Array, targets: np.Array) => np.Array;

/** The loss of a workload, in the form that suits the backend. */
export function lossOf(workload: Workload, backend: AdapterKind): Loss {
  switch (workload.name) {
    case "mlp":
      return mlp(workload);
    case "encoder":
      return encoder(workload);
    case "gru":
      return gru(workload, backend);
  }
}

function crossEntropy(logits: np.Array, targets: np.Array, batch: number): np.Array {
  return nn
    .logSoftmax(logits, -1)
    .mul(targets)
    .sum()
    .mul(-1 / batch);
}

function linear(x: np.Array, weight: np.Array, bias: np.Array): np.Array {
  return np.matmul(x, weight).add(bias);
}

function mlp({ widths, batch }: MlpWorkload): Loss {
  return (p, input, targets) => {
    let x = input;
    for (let layer = 0; layer + 1 < widths.length; layer++) {
      if (layer > 0) x = nn.relu(x);
      x = linear(x, p[`layers.${layer}.weight`], p[`layers.${layer}.bias`]);
    }
    return crossEntropy(x, targets, batch);
  };
}

function encoder({ batch, time, features, heads, normEpsilon }: EncoderWorkload): Loss {
  const size = features / heads;
  const layerNorm = (x: np.Array, weight: np.Array, bias: np.Array) =>
    nn.standardize(x, -1, { epsilon: normEpsilon }).mul(weight).add(bias);
  return (p, input, targets) => {
    const x = input.reshape([batch * time, features]);
    const qkv = linear(x.ref, p["self_attn.in_proj_weight"], p["self_attn.in_proj_bias"]);
    const [q, k, v] = np
      .split(qkv, 3, 1)
      .map((part) => part.reshape([batch, time, heads, size]).transpose([0, 2, 1, 3]));
    const scores = np.matmul(q, k.transpose([0, 1, 3, 2])).mul(1 / Math.sqrt(size));
    const attended = np
      .matmul(nn.softmax(scores, -1), v)
      .transpose([0, 2, 1, 3])
      .reshape([batch * time, features]);
    const projected = linear(attended, p["self_attn.out_proj.weight"], p["self_attn.out_proj.bias"]);
    const first = layerNorm(x.add(projected), p["norm1.weight"], p["norm1.bias"]);
    const inner = nn.relu(linear(first.ref, p["linear1.weight"], p["linear1.bias"]));
    const outer = linear(inner, p["linear2.weight"], p["linear2.bias"]);
    const second = layerNorm(first.add(outer), p["norm2.weight"], p["norm2.bias"]);
    const pooled = second.reshape([batch, time, features]).mean(1);
    return crossEntropy(linear(pooled, p["head.weight"], p["head.bias"]), targets, batch);
  };
}

function gru({ batch, time, features, hidden }: GruWorkload, backend: AdapterKind): Loss {
  const wide = 3 * hidden;
  return (p, input, targets) => {
    const inTime = input.transpose([1, 0, 2]);
    let projections: np.Array[];
    if (backend === "wasm") {
      projections = np
        .split(inTime, time, 0)
        .map((x) => linear(x.reshape([batch, features]), p.weight_ih_l0.ref, p.bias_ih_l0.ref));
      p.weight_ih_l0.dispose();
      p.bias_ih_l0.dispose();
    } else {
      const all = linear(inTime.reshape([time * batch, features]), p.weight_ih_l0, p.bias_ih_l0);
      projections = np.split(all.reshape([time, batch, wide]), time, 0).map((x) => x.reshape([batch, wide]));
    }
    let state = np.zeros([batch, hidden], { device: input.device });
    for (const projection of projections) {
      const [xr, xz, xn] = np.split(projection, 3, 1);
      const [hr, hz, hn] = np.split(linear(state.ref, p.weight_hh_l0.ref, p.bias_hh_l0.ref), 3, 1);
      const r = nn.sigmoid(xr.add(hr));
      const z = nn.sigmoid(xz.add(hz));
      const n = np.tanh(xn.add(r.mul(hn)));
      // (1 − z) n + z h, one multiplication fewer.
      state = n.ref.add(z.mul(state.sub(n)));
    }
    p.weight_hh_l0.dispose();
    p.bias_hh_l0.dispose();
    return crossEntropy(linear(state, p["head.weight"], p["head.bias"]), targets, batch);
  };
}
