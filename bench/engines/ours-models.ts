/** The workloads' losses in our engine, written as a user would write them. Weights are PyTorch's, [out, in]. */
import { crossEntropy, layerNorm, softmax, type Tensor } from "../../src/index.ts";
import type { EncoderWorkload, MlpWorkload, Workload } from "../workloads.ts";

export type Tensors = Record<string, Tensor>;
/** Mean cross-entropy of `labels` [batch]. */
export type Loss = (parameters: Tensors, input: Tensor, labels: Tensor) => Tensor;

export function lossOf(workload: Workload): Loss {
  switch (workload.name) {
    case "mlp": return mlp(workload);
    case "encoder": return encoder(workload);
    case "gru": throw new Error("gru: not yet");
  }
}

function linear(x: Tensor, p: Tensors, name: string): Tensor {
  return x.matmul(p[`${name}.weight`].transpose()).add(p[`${name}.bias`]);
}

function mlp({ widths }: MlpWorkload): Loss {
  return (p, input, labels) => {
    let x = input;
    for (let layer = 0; layer + 1 < widths.length; layer++) {
      if (layer > 0) x = x.relu();
      x = linear(x, p, `layers.${layer}`);
    }
    return crossEntropy(x, labels);
  };
}

function encoder({ batch, time, features, heads, normEpsilon: epsilon }: EncoderWorkload): Loss {
  const size = features / heads;
  return (p, input, labels) => {
    const x = input.reshape([batch * time, features]);
    const qkv = x.matmul(p["self_attn.in_proj_weight"].transpose()).add(p["self_attn.in_proj_bias"])
      .reshape([batch, time, 3, heads, size]).permute([2, 0, 3, 1, 4]);
    const [q, k, v] = [0, 1, 2].map((i) => qkv.slice(i));
    const weights = softmax(q.matmul(k.transpose()).mul(1 / Math.sqrt(size)));
    const attended = weights.matmul(v).permute([0, 2, 1, 3]).reshape([batch * time, features]);
    const first = layerNorm(x.add(linear(attended, p, "self_attn.out_proj")),
      { weight: p["norm1.weight"], bias: p["norm1.bias"], epsilon });
    const outer = linear(linear(first, p, "linear1").relu(), p, "linear2");
    const second = layerNorm(first.add(outer), { weight: p["norm2.weight"], bias: p["norm2.bias"], epsilon });
    return crossEntropy(linear(second.reshape([batch, time, features]).mean(1), p, "head"), labels);
  };
}
