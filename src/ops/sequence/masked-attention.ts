/**
 * Attention with masks between any query and any key, and rotary positions: out of products, softmax and elementwise
 * work. Without such a mask `attention` is one kernel.
 */
import { arange } from "../../tensor/create.ts";
import { broadcastShapes, formatShape, sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { concat } from "../../tensor/methods/join.ts";
import { checkOptions, requireFloat } from "../../tensor/door/door.ts";
import { LOWEST } from "../../specs/lowest.ts";
import { widened } from "../autocast.ts";

/** Settings of `scaledDotProductAttention`. */
export interface ScaledAttentionOptions {
  /**
   * Broadcasts to [..., Tq, Tk]. A bool mask says which keys a query attends to; a floating one is added to the scores.
   */
  readonly attentionMask?: Tensor;
  /** Query i attends to keys 0 … i only; default false. */
  readonly causal?: boolean;
  /** Factor on q·k; default 1/√D. */
  readonly scale?: number;
  /** [..., Tq, Tk], multiplied onto the probabilities: a dropout mask (`Generator.dropoutMask`). No gradient. */
  readonly keep?: Tensor;
}

/** Which keys queries may attend to: [Tq, Tk], true up to the diagonal. */
export function causalMask(queries: number, keys = queries): Tensor {
  return arange(keys).unsqueeze(0).le(arange(queries).unsqueeze(1));
}

/**
 * softmax(q·kᵀ·scale + mask)·v (torch.nn.functional.scaled_dot_product_attention): q [..., Tq, D], k [..., Tk, D],
 * v [..., Tk, Dv] → [..., Tq, Dv]; axes before broadcast. A query that attends to no key gives 0.
 *
 * @throws Error where shapes do not fit, or a mask is neither bool nor of q's dtype.
 */
export function scaledDotProductAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: ScaledAttentionOptions = {},
): Tensor {
  const op = "scaledDotProductAttention";
  requireFloat(op, q);
  q = widened(q);
  k = widened(k);
  v = widened(v);
  checkOptions(op, options, ["attentionMask", "causal", "scale", "keep"]);
  const { causal = false } = options;
  const [attentionMask, keep] = [widened(options.attentionMask), widened(options.keep)];
  const fits =
    Math.min(q.rank, k.rank, v.rank) >= 2 &&
    q.shape[q.rank - 1] === k.shape[k.rank - 1] &&
    k.shape[k.rank - 2] === v.shape[v.rank - 2];
  if (!fits) {
    throw new Error(
      `${op}: q ${formatShape(q.shape)} must be [..., Tq, D], k ${formatShape(k.shape)} [..., Tk, D] and ` +
        `v ${formatShape(v.shape)} [..., Tk, Dv]`,
    );
  }
  const scale = options.scale ?? 1 / Math.sqrt(Math.max(1, q.shape[q.rank - 1]));
  // Sums over no keys are 0.
  if (k.shape[k.rank - 2] === 0) return q.matmul(k.transpose()).matmul(v);
  let scores = q.matmul(k.transpose()).mul(scale);
  const requireMask = (mask: Tensor): Tensor => {
    if (sameShape(broadcastShapes(op, scores.shape, mask.shape), scores.shape)) return mask.expand(scores.shape);
    throw new Error(
      `${op}: the mask ${formatShape(mask.shape)} must broadcast to the scores ${formatShape(scores.shape)}`,
    );
  };
  let open = causal ? causalMask(q.shape[q.rank - 2], k.shape[k.rank - 2]).expand(scores.shape) : undefined;
  if (attentionMask?.dtype === "bool") {
    const given = requireMask(attentionMask);
    open = open ? open.and(given) : given;
  } else if (attentionMask) {
    if (attentionMask.dtype !== q.dtype) {
      throw new Error(
        `${op}: the mask is ${attentionMask.dtype}; it must be bool, or ${q.dtype} as q is, to be added to the scores`,
      );
    }
    scores = scores.add(requireMask(attentionMask));
  }
  // Closed scores are finite, and their weights are set to 0 once more: a row of none but closed keys is all 0. An added
  // −∞ stands as the lowest finite score, for the same reason.
  const lowest = q.dtype === "f16" ? -60000 : LOWEST;
  const bounded = (open ? open.where(scores, lowest) : scores).maximum(lowest);
  const shifted = bounded.sub(bounded.detach().max(-1, true)).exp();
  const shut = bounded.detach().le(lowest);
  const weights = attentionMask || causal ? shut.where(0, shifted) : shifted;
  const total = weights.sum(-1, true);
  const probabilities = weights.div(attentionMask || causal ? total.gt(0).where(total, 1) : total);
  return (keep ? probabilities.mul(keep.detach()) : probabilities).matmul(v);
}

/** Settings of `rotaryEmbedding`. */
export interface RotaryOptions {
  /** Positions of the T rows, i32 [T]; default 0 … T − 1. */
  readonly positions?: Tensor;
  /** Wavelengths run from 2π to 2π·base; default 10000. */
  readonly base?: number;
  /**
   * Which elements turn together: neighbours 2i, 2i + 1 (RoFormer, torchtune) where true; i and i + D/2 (GPT-NeoX,
   * Llama in Hugging Face's form) by default.
   */
  readonly interleaved?: boolean;
}

/**
 * Rotary position embedding of queries or keys x [..., T, D], D even (Su et al. 2021, arXiv 2104.09864, eq. 34): pair i
 * of a row at position p turns by p·base^(−2i/D).
 */
export function rotaryEmbedding(x: Tensor, options: RotaryOptions = {}): Tensor {
  requireFloat("rotaryEmbedding", x);
  x = widened(x);
  checkOptions("rotaryEmbedding", options, ["positions", "base", "interleaved"]);
  const { base = 10000, interleaved = false } = options;
  const [steps, dim] = [x.shape[x.rank - 2], x.shape[x.rank - 1]];
  const positions = options.positions ?? arange(steps ?? 0);
  if (x.rank < 2 || dim % 2 !== 0 || !sameShape(positions.shape, [steps])) {
    throw new Error(
      `rotaryEmbedding: x ${formatShape(x.shape)} must be [..., T, D] with D even, and positions ` +
        `${formatShape(positions.shape)} [T]`,
    );
  }
  const half = dim / 2;
  const rates = arange(half)
    .cast(x.dtype)
    .mul((-2 / dim) * Math.log(base))
    .exp();
  const angles = positions.cast(x.dtype).unsqueeze(1).mul(rates.unsqueeze(0));
  const [cos, sin] = [angles.cos(), angles.sin()];
  const all = x.shape.map(() => null);
  const part = (from: number): Tensor =>
    interleaved
      ? x.slice(...all.slice(1), [from, null, 2])
      : x.slice(...all.slice(1), [from * half, (from + 1) * half]);
  const [a, b] = [part(0), part(1)];
  const turned = [a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))];
  if (!interleaved) return concat(turned, -1);
  return concat(
    turned.map((t) => t.unsqueeze(-1)),
    -1,
  ).reshape(x.shape);
}
