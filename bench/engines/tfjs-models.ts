/**
 * The workloads' losses written for TensorFlow.js, in the form that was measured fastest for its WebAssembly backend.
 *
 * Choices, each against its alternatives on the machine of the benchmark:
 * - Products with a transposed operand take a path of the backend that is twelve times as slow as a transposed copy and
 *   a plain product. tfjs's own gradient of `matMul` goes there, so `product` brings its own; with `matMul` alone the
 *   mlp's step takes fourteen times as long. Weights are PyTorch's, transposed once on the way in.
 * - Labels are one-hot rows made in advance; the backend has no kernel for `LogSoftmax`, so the loss is written out.
 * - Its GRU layer's cell has another gate form (the reset gate before the product), so the cell is written out with
 *   PyTorch's and unrolled. The input is projected step by step: every part of a split copies the whole out of the
 *   backend's memory, so that 64 parts of all steps' projections cost more than the products.
 */
import * as tf from "@tensorflow/tfjs-core";
import type { EncoderWorkload, GruWorkload, MlpWorkload, Workload } from "../workloads.ts";

export type TfTensors = Record<string, tf.Tensor>;
/** Mean cross-entropy, a scalar; `targets` are one-hot rows [batch, classes]. */
export type TfLoss = (parameters: TfTensors, input: tf.Tensor, targets: tf.Tensor) => tf.Scalar;

export function lossOf(workload: Workload): TfLoss {
  switch (workload.name) {
    case "mlp":
      return mlp(workload);
    case "encoder":
      return encoder(workload);
    case "gru":
      return gru(workload);
  }
}

function crossEntropy(logits: tf.Tensor, targets: tf.Tensor): tf.Scalar {
  const shifted = tf.sub(logits, tf.max(logits, 1, true));
  const logSum = tf.log(tf.sum(tf.exp(shifted), 1));
  return tf.mean(tf.sub(logSum, tf.sum(tf.mul(shifted, targets), 1)));
}

function linear(x: tf.Tensor, p: TfTensors, name: string): tf.Tensor {
  return tf.add(product(x, p[`${name}.weight`]), p[`${name}.bias`]);
}

/** Of matrices, or of batches of them. */
function product(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const transposed = (x: tf.Tensor) => tf.transpose(x, x.rank === 2 ? [1, 0] : [0, 1, 3, 2]);
  return tf.customGrad((x, y, save) => {
    const [left, right] = [x as tf.Tensor, y as tf.Tensor];
    (save as tf.GradSaveFunc)([left, right]);
    return {
      value: tf.matMul(left, right),
      gradFunc: (dy: tf.Tensor, [l, r]: tf.Tensor[]) => [tf.matMul(dy, transposed(r)), tf.matMul(transposed(l), dy)],
    };
  })(a, b);
}

function mlp({ widths }: MlpWorkload): TfLoss {
  return (p, input, targets) => {
    let x = input;
    for (let layer = 0; layer + 1 < widths.length; layer++) {
      if (layer > 0) x = tf.relu(x);
      x = linear(x, p, `layers.${layer}`);
    }
    return crossEntropy(x, targets);
  };
}

function encoder({ batch, time, features, heads, normEpsilon }: EncoderWorkload): TfLoss {
  const size = features / heads;
  const layerNorm = (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) => {
    const centred = tf.sub(x, tf.mean(x, 1, true));
    const variance = tf.mean(tf.square(centred), 1, true);
    return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, normEpsilon))), weight), bias);
  };
  return (p, input, targets) => {
    const x = tf.reshape(input, [batch * time, features]);
    const qkv = tf.add(product(x, p["self_attn.in_proj_weight"]), p["self_attn.in_proj_bias"]);
    const [q, k, v] = tf
      .split(qkv, 3, 1)
      .map((part) => tf.transpose(tf.reshape(part, [batch, time, heads, size]), [0, 2, 1, 3]));
    const scores = tf.mul(product(q, tf.transpose(k, [0, 1, 3, 2])), 1 / Math.sqrt(size));
    const mixed = product(tf.softmax(scores), v);
    const attended = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * time, features]);
    const first = layerNorm(tf.add(x, linear(attended, p, "self_attn.out_proj")), p["norm1.weight"], p["norm1.bias"]);
    const outer = linear(tf.relu(linear(first, p, "linear1")), p, "linear2");
    const second = layerNorm(tf.add(first, outer), p["norm2.weight"], p["norm2.bias"]);
    return crossEntropy(linear(tf.mean(tf.reshape(second, [batch, time, features]), 1), p, "head"), targets);
  };
}

function gru({ batch, time, features, hidden }: GruWorkload): TfLoss {
  return (p, input, targets) => {
    const inTime = tf.reshape(tf.transpose(input, [1, 0, 2]), [time, batch * features]);
    let state: tf.Tensor = tf.zeros([batch, hidden]);
    for (let t = 0; t < time; t++) {
      const x = tf.reshape(tf.gather(inTime, [t]), [batch, features]);
      const [xr, xz, xn] = tf.split(tf.add(product(x, p.weight_ih_l0), p.bias_ih_l0), 3, 1);
      const [hr, hz, hn] = tf.split(tf.add(product(state, p.weight_hh_l0), p.bias_hh_l0), 3, 1);
      const r = tf.sigmoid(tf.add(xr, hr));
      const z = tf.sigmoid(tf.add(xz, hz));
      const n = tf.tanh(tf.add(xn, tf.mul(r, hn)));
      // (1 − z) n + z h, one multiplication fewer.
      state = tf.add(n, tf.mul(z, tf.sub(state, n)));
    }
    return crossEntropy(linear(state, p, "head"), targets);
  };
}
