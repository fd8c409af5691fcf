/**
 * Multi-head scaled dot-product attention as fused kernels, forward and backward.
 *
 *   s_ij = scale · q_i·k_j        p_i = softmax_j(s_ij over attended keys)        out_i = Σ_j keep_ij p_ij v_j
 *
 * Forward keeps a running maximum and sum per query row (the online softmax of Milakov & Gimelshein 2018, as used by
 * FlashAttention, Dao et al. 2022), so the Tq×Tk matrix never reaches memory; it saves the log-sum-exp of each row.
 * Backward recomputes p_ij = exp(s_ij − lse_i) and, with δ_i = Σ_d dout_id out_id,
 *
 *   dv_j = Σ_i keep_ij p_ij dout_i      ds_ij = p_ij (keep_ij dout_i·v_j − δ_i)
 *   dq_i = scale Σ_j ds_ij k_j          dk_j = scale Σ_i ds_ij q_i
 *
 * in dispatches over query rows (δ, dq) and over key rows (dk and dv: together, or apart for wide heads on a GPU).
 * Every output element is written by one invocation, in a fixed order, so results are the same bit for bit on the
 * same device.
 *
 * A row whose keys are all masked attends to nothing: out 0, lse 0, gradients 0 (PyTorch gives NaN there).
 */
import type { AdapterProfile, Lowering } from "../kernel.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import { SHARE_BYTES, cpuAttentionBackward, cpuAttentionForward } from "./cpu.ts";
import { gpuAttentionBackward, gpuAttentionForward } from "./gpu.ts";
import { inputNames, keepWidth, outputNames } from "../../specs/attention.ts";
import type { AttentionSpec } from "../../specs/attention.ts";
import { sizeOf } from "../../tensor/shape.ts";

export type { AttentionSpec } from "../../specs/attention.ts";

/** The largest head the kernels take; beyond it there is no lowering and the decomposition is used. */
const MAX_ATTENTION_DIM = 128;

/** Shapes of the forward's inputs: `q, k, v` or the packed `qkv`, then `mask`, then `keep`, where the spec has them. */
export function attentionForwardInputs(spec: AttentionSpec): ValueSpec[] {
  return inputNames(spec, false).map((name) => specOf(spec, name));
}

/** Shapes of the forward's outputs: out [B, Tq, H, D] and lse [B, H, Tq]. */
export function attentionForwardOutputs(spec: AttentionSpec): ValueSpec[] {
  return outputNames(spec, false).map((name) => specOf(spec, name));
}

/** Shapes of the backward's inputs: `dout`, `q, k, v` or `qkv`, `out`, `lse`, then `mask`, `keep` where present. */
export function attentionBackwardInputs(spec: AttentionSpec): ValueSpec[] {
  return inputNames(spec, true).map((name) => specOf(spec, name));
}

/** Shapes of the backward's outputs: `dq, dk, dv`, or the packed `dqkv` [B, T, 3·H·D]. */
export function attentionBackwardOutputs(spec: AttentionSpec): ValueSpec[] {
  return outputNames(spec, true).map((name) => specOf(spec, name));
}

function specOf(spec: AttentionSpec, name: string): ValueSpec {
  const { batch, heads, queries, keys, dim } = spec;
  const shapes: Record<string, number[]> = {
    q: [batch, queries, heads, dim],
    k: [batch, keys, heads, dim],
    qkv: [batch, queries, 3 * heads * dim],
    mask: [batch, keys],
    keep: [batch, heads, queries, keepWidth(spec)],
    lse: [batch, heads, queries],
    delta: [batch, heads, queries],
  };
  const alias: Record<string, string> = { v: "k", out: "q", dout: "q", dq: "q", dk: "k", dv: "k", dqkv: "qkv" };
  return { shape: shapes[alias[name] ?? name], dtype: "f32" };
}

/**
 * Forward. Inputs as `attentionForwardInputs`, outputs as `attentionForwardOutputs`; one dispatch, no scratch.
 * @returns undefined where D exceeds `MAX_ATTENTION_DIM`.
 */
export function attentionForward(spec: AttentionSpec, profile: AdapterProfile): Lowering | undefined {
  if (spec.dim > MAX_ATTENTION_DIM) return undefined;
  const kernel = profile.kind === "cpu" ? cpuAttentionForward(spec) : gpuAttentionForward(spec);
  return { kernels: [kernel], scratch: [] };
}

/**
 * Backward. Inputs as `attentionBackwardInputs`, outputs as `attentionBackwardOutputs`; two or three dispatches;
 * scratch is delta [B, H, Tq], or on a CPU-backed adapter up to 128 MiB of probabilities.
 * @returns undefined where D exceeds `MAX_ATTENTION_DIM`.
 */
export function attentionBackward(spec: AttentionSpec, profile: AdapterProfile): Lowering | undefined {
  if (spec.dim > MAX_ATTENTION_DIM) return undefined;
  const { kernels, scratch } =
    profile.kind === "cpu"
      ? cpuAttentionBackward(spec, undefined, Math.min(SHARE_BYTES, profile.maxBindingBytes))
      : { kernels: gpuAttentionBackward(spec), scratch: [sizeOf(specOf(spec, "delta").shape)] };
  return { kernels, scratch: scratch.map((size) => ({ shape: [size], dtype: "f32" })) };
}
