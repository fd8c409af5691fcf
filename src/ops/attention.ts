/**
 * Scaled dot-product attention over heads (Vaswani et al. 2017), as one fused op.
 *
 * The probabilities of a row whose keys are all masked are 0 (PyTorch gives NaN there).
 */
import { gradients } from "../autograd/grad.ts";
import type { FusedOp } from "../tensor/fused.ts";
import * as build from "../tensor/build.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { concat } from "../tensor/methods/join.ts";
import { checkOptions, requireTensor } from "../tensor/door/door.ts";
import type { AttentionAttrs } from "./kernels/attention.ts";
import * as kernels from "./kernels/attention.ts";
import { widened } from "./autocast.ts";

/** q, k, v [B, T, H, D] out of the op's operands, then mask and keep. */
function operandsOf(inputs: readonly Tensor[], attrs: AttentionAttrs) {
  const projections = attrs.packed ? unpack(inputs[0], attrs.heads) : inputs.slice(0, 3);
  let next = attrs.packed ? 1 : 3;
  const mask = attrs.mask ? inputs[next++] : undefined;
  const keep = attrs.keep ? inputs[next] : undefined;
  return { projections, mask, keep };
}

function unpack(x: Tensor, heads: number): Tensor[] {
  const [batch, steps, width] = x.shape;
  const blocks = x.reshape([batch, steps, 3, heads, width / (3 * heads)]);
  return [0, 1, 2].map((k) => blocks.slice(null, null, k));
}

/** Output and log-sum-exp of one sequence: q, k, v [B, T, H, D]. */
function attend(projections: readonly Tensor[], scale: number, mask?: Tensor, keep?: Tensor): [Tensor, Tensor] {
  const [q, k, v] = projections.map((t) => t.permute([0, 2, 1, 3]));
  const scores = q.matmul(k.transpose()).mul(scale);
  const open = mask?.ne(0).reshape([mask.shape[0], 1, 1, mask.shape[1]]).expand(scores.shape);
  const largest = (open ? open.where(scores.detach(), -1e30) : scores.detach()).max(-1, true);
  const below = scores.sub(largest);
  // Closed keys are set before the exponential: after it, a row of none but closed keys would be infinite, and NaN behind.
  const weights = (open ? open.where(below, -1e30) : below).exp();
  const total = weights.sum(-1, true);
  const safe = mask ? total.gt(0).where(total, 1) : total;
  const probabilities = weights.div(safe);
  const out = (keep ? probabilities.mul(keep) : probabilities).matmul(v).permute([0, 2, 1, 3]);
  const lse = safe.log().add(largest);
  return [out, (mask ? lse.mask(total.gt(0)) : lse).squeeze(-1)];
}

/**
 * In: q, k, v [B, T, H, D] or qkv [B, T, 3·H·D]; mask? [B, Tk]; keep? [B, H, Tq, Tk] (its columns count from the start
 * of the row's sequence). Out: [B, Tq, H, D], lse [B, H, Tq].
 */
export const ATTENTION: FusedOp<AttentionAttrs> = {
  name: "attention",
  kernels: kernels.FORWARD,
  outputs([x], { heads, packed }) {
    const [batch, steps] = x.shape;
    const dim = packed ? x.shape[2] / (3 * heads) : x.shape[3];
    return [
      { shape: [batch, steps, heads, dim], dtype: x.dtype },
      { shape: [batch, heads, steps], dtype: x.dtype },
    ];
  },
  decompose(inputs, attrs) {
    const { projections, mask, keep } = operandsOf(inputs, attrs);
    if (!attrs.segments) return attend(projections, attrs.scale, mask, keep);
    let start = 0;
    const parts = attrs.segments.map((length) => {
      const rows = [start, start + length] as const;
      start += length;
      const own = projections.map((t) => t.slice(null, rows));
      return attend(own, attrs.scale, mask?.slice(null, rows), keep?.slice(null, null, rows, [0, length]));
    });
    return [
      concat(
        parts.map(([out]) => out),
        1,
      ),
      concat(
        parts.map(([, lse]) => lse),
        2,
      ),
    ];
  },
  vjp(inputs, [out, lse], [dout, dlse], attrs) {
    if (!dout || dlse) return undefined;
    const count = attrs.packed ? 1 : 3;
    const given = [dout, ...inputs.slice(0, count), out, lse, ...inputs.slice(count)];
    return build
      .fused(
        ATTENTION_BACKWARD,
        given.map((t) => t.node),
        attrs,
      )
      .map((n) => new Tensor(n));
  },
};

/** In: dout, q, k, v or qkv, out, lse, mask?, keep?. Out: dq, dk, dv or dqkv. `keep` is taken as a constant. */
export const ATTENTION_BACKWARD: FusedOp<AttentionAttrs> = {
  name: "attentionBackward",
  kernels: kernels.BACKWARD,
  outputs: (inputs, { packed }) => inputs.slice(1, packed ? 2 : 4),
  decompose(inputs, attrs) {
    const count = attrs.packed ? 1 : 3;
    const given = inputs
      .slice(1, 1 + count)
      .map((t) => new Tensor(build.makeNode({ kind: "alias" }, [t.node], t.shape, t.dtype)));
    const [out] = ATTENTION.decompose([...given, ...inputs.slice(count + 3)], attrs);
    return gradients([out], [inputs[0]], given);
  },
};

/** How `attention` weighs and masks. */
export interface AttentionOptions {
  /** Factor on q·k; default 1/√D. */
  readonly scale?: number;
  /** f32 [B, Tk]: keys at 0 are not attended to. */
  readonly mask?: Tensor;
  /**
   * f32 [B, H, Tq, Tk] multiplied onto the probabilities (a dropout mask, see `Generator.dropoutMask`); no gradient.
   */
  readonly keep?: Tensor;
  /**
   * Self-attention only: lengths, adding up to T, of sequences that lie one after the other along T; each attends to
   * itself only. `keep` is then [B, H, T, longest], its columns counted from the start of the row's sequence.
   */
  readonly segments?: readonly number[];
}

/** softmax(q·kᵀ·scale)·v for each head (torch scaled_dot_product_attention). q [B, Tq, H, D]; k, v [B, Tk, H, D]. */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  requireTensor("attention", "q", q);
  requireTensor("attention", "k", k);
  requireTensor("attention", "v", v);
  const [batch, queries, heads, dim] = q.shape;
  const keys = k.shape[1];
  if (q.rank !== 4 || !sameShape(k.shape, v.shape) || !sameShape(k.shape, [batch, keys, heads, dim])) {
    throw new Error(
      `attention: q ${formatShape(q.shape)} must be [B, Tq, H, D], and k ${formatShape(k.shape)}, v ${formatShape(v.shape)} [B, Tk, H, D]`,
    );
  }
  return run([q, k, v].map(widened), heads, dim, queries, keys, false, options);
}

/**
 * Self-attention on a packed projection `qkv` [B, T, 3·H·D] with blocks q, k, v (as torch.nn.MultiheadAttention packs
 * them), of H `heads` of width D → [B, T, H, D].
 */
export function packedAttention(qkv: Tensor, heads: number, options: AttentionOptions = {}): Tensor {
  requireTensor("packedAttention", "qkv", qkv);
  const [, steps, width] = qkv.shape;
  if (qkv.rank !== 3 || !Number.isInteger(heads) || heads < 1 || width % (3 * heads) !== 0) {
    throw new Error(`packedAttention: ${formatShape(qkv.shape)} must be [B, T, 3·H·D] for ${heads} heads`);
  }
  return run([widened(qkv)], heads, width / (3 * heads), steps, steps, true, options);
}

function run(
  operands: Tensor[],
  heads: number,
  dim: number,
  queries: number,
  keys: number,
  packed: boolean,
  options: AttentionOptions,
): Tensor {
  checkOptions("attention", options, ["mask", "keep", "segments", "scale"]);
  const { segments, scale = 1 / Math.sqrt(dim) } = options;
  const [mask, keep] = [widened(options.mask), widened(options.keep)];
  const batch = operands[0].shape[0];
  if (mask && !sameShape(mask.shape, [batch, keys])) {
    throw new Error(`attention: mask has shape ${formatShape(mask.shape)}, not [${batch}, ${keys}]`);
  }
  if (segments) {
    const whole = segments.length > 0 && segments.every((n) => Number.isInteger(n) && n >= 1);
    if (!whole || queries !== keys || segments.reduce((a, b) => a + b, 0) !== keys) {
      throw new Error(
        `attention: segments [${segments.join(", ")}] must be positive integers whose sum is the ${queries} queries and ${keys} keys`,
      );
    }
  }
  const keepShape = [batch, heads, queries, segments ? Math.max(...segments) : keys];
  if (keep && !sameShape(keep.shape, keepShape)) {
    throw new Error(`attention: keep has shape ${formatShape(keep.shape)}, not ${formatShape(keepShape)}`);
  }
  if (!Number.isFinite(scale)) throw new Error(`attention: scale is ${scale}; it must be a finite number`);
  if (keys === 0 || queries === 0 || batch === 0 || heads === 0 || dim === 0)
    throw new Error("attention: no axis may be empty");
  const all = [...operands, ...(mask ? [mask] : []), ...(keep ? [keep.detach()] : [])];
  const attrs: AttentionAttrs = {
    heads,
    scale,
    packed,
    mask: mask !== undefined,
    keep: keep !== undefined,
    ...(segments && segments.length > 1 ? { segments: [...segments] } : {}),
  };
  return new Tensor(
    build.fused(
      ATTENTION,
      all.map((t) => t.node),
      attrs,
    )[0],
  );
}
