/**
 * Contrastive losses: InfoNCE against a queue of negatives, with one or several positives, and NT-Xent.
 *
 * InfoNCE: van den Oord et al. 2018, with a queue as in MoCo (He et al. 2020). With several positives a row's loss is
 * −log of the total softmax mass on them (Miech et al. 2020, MIL-NCE), computed as a difference of log-sum-exps.
 * NT-Xent: Chen et al. 2020 (SimCLR).
 */
import type { FusedOp } from "../../tensor/fused.ts";
import * as build from "../../tensor/build.ts";
import { arange } from "../../tensor/create.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { concat } from "../../tensor/methods/join.ts";
import { crossEntropy } from "./cross-entropy.ts";
import type { Reduction } from "./reduction.ts";
import { reduceLoss } from "./reduction.ts";
import { l2Normalize } from "../normalization.ts";
import { LOWEST } from "../../specs/lowest.ts";
import { checkOptions, requireTensor } from "../../tensor/door/door.ts";
import type { InfoNceAttrs } from "../kernels/info-nce.ts";
import * as kernels from "../kernels/info-nce.ts";
import { widened } from "../autocast.ts";

/** Logits of the positives [N, P] and of the queue [N, K], over the temperature. */
function logitsOf(q: Tensor, k: Tensor, queue: Tensor, temperature: number): [Tensor, Tensor] {
  const positive = k
    .mul(q.unsqueeze(1))
    .sum(-1)
    .mul(1 / temperature);
  return [positive, q.matmul(queue).mul(1 / temperature)];
}

/** In: q [N, C], k [N, P, C], queue [C, K]. Out: loss [N], and the log-sum-exps over all and over the positives [N]. */
export const INFO_NCE: FusedOp<InfoNceAttrs> = {
  name: "infoNce",
  kernels: kernels.FORWARD,
  outputs([q]) {
    const row = { shape: [q.shape[0]], dtype: q.dtype };
    return [row, row, row];
  },
  decompose([q, k, queue], { temperature }) {
    const [positive, negative] = logitsOf(q, k, queue, temperature);
    // Not below every finite number: −∞ cannot be taken away from itself.
    const topPositive = positive.detach().max(-1, true).maximum(LOWEST);
    const top = topPositive.maximum(negative.detach().max(-1, true));
    const sumAll = positive.sub(top).exp().sum(-1).add(negative.sub(top).exp().sum(-1));
    const all = sumAll.log().add(top.squeeze(-1));
    const some = positive.sub(topPositive).exp().sum(-1).log().add(topPositive.squeeze(-1));
    return [all.sub(some), all, some];
  },
  vjp([q, k, queue], [, all, some], [dloss, dall, dsome], attrs) {
    if (!dloss || dall || dsome) return undefined;
    const given = [dloss, q, k, queue, all, some];
    const [dq, dk] = build
      .fused(
        INFO_NCE_BACKWARD,
        given.map((t) => t.node),
        attrs,
      )
      .map((n) => new Tensor(n));
    // Only computed where the queue is differentiated, which training never does.
    const [, negative] = logitsOf(q, k, queue, attrs.temperature);
    const share = negative
      .sub(all.unsqueeze(1))
      .exp()
      .mul(dloss.unsqueeze(1))
      .mul(1 / attrs.temperature);
    return [dq, dk, q.transpose().matmul(share)];
  },
};

/** In: dloss [N], q, k, queue, and the saved log-sum-exps. Out: dq [N, C], dk [N, P, C]. */
export const INFO_NCE_BACKWARD: FusedOp<InfoNceAttrs> = {
  name: "infoNceBackward",
  kernels: kernels.BACKWARD,
  outputs: ([, q, k]) => [q, k],
  decompose([dloss, q, k, queue], { temperature }) {
    // From q, k and the queue alone, so that it can be differentiated again.
    const [positive, negative] = logitsOf(q, k, queue, temperature);
    const [, all, some] = INFO_NCE.decompose([q, k, queue], { temperature });
    const weight = dloss.unsqueeze(1).mul(1 / temperature);
    const onPositive = positive
      .sub(all.unsqueeze(1))
      .exp()
      .sub(positive.sub(some.unsqueeze(1)).exp())
      .mul(weight);
    const onNegative = negative.sub(all.unsqueeze(1)).exp().mul(weight);
    const dq = onPositive.unsqueeze(-1).mul(k).sum(1).add(onNegative.matmul(queue.transpose()));
    return [dq, onPositive.unsqueeze(-1).mul(q.unsqueeze(1))];
  },
};

/** Settings of `infoNCE` and `ntXent`. */
export interface ContrastiveOptions {
  readonly temperature: number;
  readonly reduction?: Reduction;
}

/**
 * InfoNCE with a queue: q [N, C]; positives [N, C], or [N, P, C] for several each; queue [C, K], one negative a column.
 * Vectors are taken as they are: normalise them first. The N×K logits are not kept in memory.
 */
export function infoNCE(q: Tensor, positives: Tensor, queue: Tensor, options: ContrastiveOptions): Tensor {
  checkOptions("infoNCE", options, ["temperature", "reduction"]);
  checkTemperature("infoNCE", options);
  requireTensor("infoNCE", "q", q);
  requireTensor("infoNCE", "positives", positives);
  requireTensor("infoNCE", "queue", queue);
  q = widened(q);
  positives = widened(positives);
  queue = widened(queue);
  const k = positives.rank === 2 ? positives.unsqueeze(1) : positives;
  const [n, c] = q.shape;
  const fits =
    q.rank === 2 && k.rank === 3 && k.shape[0] === n && k.shape[2] === c && queue.rank === 2 && queue.shape[0] === c;
  if (!fits || n === 0 || k.shape[1] === 0 || queue.shape[1] === 0 || c === 0) {
    throw new Error(
      `infoNCE: q ${formatShape(q.shape)} must be [N, C], positives ${formatShape(positives.shape)} [N, C] or [N, P, C], ` +
        `queue ${formatShape(queue.shape)} [C, K], none of them empty`,
    );
  }
  const [loss] = build.fused(INFO_NCE, [q.node, k.node, queue.node], { temperature: options.temperature });
  return reduceLoss(new Tensor(loss), options.reduction ?? "mean");
}

/** NT-Xent of two views `a`, `b` [N, C] of the same clips; the vectors are normalised here (SimCLR, eq. 1). */
export function ntXent(a: Tensor, b: Tensor, options: ContrastiveOptions): Tensor {
  checkOptions("ntXent", options, ["temperature", "reduction"]);
  checkTemperature("ntXent", options);
  requireTensor("ntXent", "a", a);
  requireTensor("ntXent", "b", b);
  if (a.rank !== 2 || !sameShape(a.shape, b.shape)) {
    throw new Error(`ntXent: a ${formatShape(a.shape)} and b ${formatShape(b.shape)} must be [N, C] both`);
  }
  const n = a.shape[0];
  const z = l2Normalize(concat([a, b]));
  const row = arange(2 * n);
  const self = row.unsqueeze(1).eq(row.unsqueeze(0));
  const logits = self.where(-1e9, z.matmul(z.transpose()).mul(1 / options.temperature));
  return crossEntropy(logits, row.add(n).mod(2 * n), { reduction: options.reduction });
}

function checkTemperature(op: string, options: ContrastiveOptions | undefined): void {
  const temperature = options?.temperature;
  if (!(Number(temperature) > 0))
    throw new Error(`${op}: temperature ${temperature} must be above 0: { temperature: 0.2 }`);
}
