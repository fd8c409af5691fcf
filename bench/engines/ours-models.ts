/** The workloads' losses in our engine, written as a user would write them. Weights are PyTorch's, [out, in]. */
import {
  crossEntropy,
  gruScan,
  layerNorm,
  packedAttention,
  scan,
  type Tensor,
  valueAndGrad,
  type Variable,
  zeros,
} from "../../src/index.ts";
import type { EncoderWorkload, GruWorkload, MlpWorkload, Workload } from "../workloads.ts";

export type Tensors = Record<string, Tensor>;
/** Mean cross-entropy of `labels` [batch]. */
export type Loss = (parameters: Tensors, input: Tensor, labels: Tensor) => Tensor;

/** One step of plain SGD on `parameters`; it gives the loss before the step. */
export function stepOf(
  workload: Workload,
  parameters: Readonly<Record<string, Variable>>,
  loss: Loss = lossOf(workload),
) {
  const differentiate = valueAndGrad(loss);
  return (input: Tensor, labels: Tensor): Tensor => {
    const [loss, gradients] = differentiate(parameters as Tensors, input, labels);
    for (const [name, parameter] of Object.entries(parameters)) {
      parameter.assign(parameter.sub(gradients[name].mul(workload.learningRate)));
    }
    return loss;
  };
}

export function lossOf(workload: Workload): Loss {
  switch (workload.name) {
    case "mlp":
      return mlp(workload);
    case "encoder":
      return encoder(workload);
    case "gru":
      return gru(workload);
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
  return (p, input, labels) => {
    const x = input.reshape([batch * time, features]);
    const qkv = linear(x, { "p.weight": p["self_attn.in_proj_weight"], "p.bias": p["self_attn.in_proj_bias"] }, "p");
    const attended = packedAttention(qkv.reshape([batch, time, 3 * features]), heads).reshape([batch * time, features]);
    const first = layerNorm(x.add(linear(attended, p, "self_attn.out_proj")), {
      weight: p["norm1.weight"],
      bias: p["norm1.bias"],
      epsilon,
    });
    const outer = linear(linear(first, p, "linear1").relu(), p, "linear2");
    const second = layerNorm(first.add(outer), { weight: p["norm2.weight"], bias: p["norm2.bias"], epsilon });
    return crossEntropy(linear(second.reshape([batch, time, features]).mean(1), p, "head"), labels);
  };
}

/** The gru workload with a cell of the user's own. */
export function ownCell({ batch, time, features, hidden }: GruWorkload): Loss {
  const third = (x: Tensor, k: number): Tensor => x.slice(null, [k * hidden, (k + 1) * hidden]);
  return (p, input, labels) => {
    const inTime = input.permute([1, 0, 2]).reshape([time * batch, features]);
    const inputs = linear(inTime, { "p.weight": p.weight_ih_l0, "p.bias": p.bias_ih_l0 }, "p");
    const { state } = scan(
      (h: Tensor, x: Tensor, { weight, bias }: Tensors) => {
        const recurrent = h.matmul(weight.transpose()).add(bias);
        const [reset, update] = [0, 1].map((k) => third(x, k).add(third(recurrent, k)).sigmoid());
        const next = third(x, 2)
          .add(reset.mul(third(recurrent, 2)))
          .tanh();
        const state = next.add(update.mul(h.sub(next)));
        return { state, output: state };
      },
      {
        state: zeros([batch, hidden]),
        inputs: inputs.reshape([time, batch, 3 * hidden]),
        weights: { weight: p.weight_hh_l0, bias: p.bias_hh_l0 },
      },
    );
    return crossEntropy(linear(state, p, "head"), labels);
  };
}

function gru({ batch, time, features, hidden }: GruWorkload): Loss {
  return (p, input, labels) => {
    const inTime = input.permute([1, 0, 2]).reshape([time * batch, features]);
    const gates = inTime
      .matmul(p.weight_ih_l0.transpose())
      .add(p.bias_ih_l0)
      .reshape([time, batch, 1, 3 * hidden]);
    const { hn } = gruScan({ gates, weight: p.weight_hh_l0.unsqueeze(0), bias: p.bias_hh_l0.unsqueeze(0) });
    return crossEntropy(linear(hn.squeeze(0), p, "head"), labels);
  };
}
