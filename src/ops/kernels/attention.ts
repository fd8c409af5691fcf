/** The kernels of attention, and the sizes they ask for. */
import {
  attentionBackward as wgslBackward,
  attentionForward as wgslForward,
} from "../../shaders/attention/attention.ts";
import type { AttentionSpec } from "../../specs/attention.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import { attentionBackward, attentionForward } from "../../wasm/attention/attention.ts";
import type { Kernels } from "./kernels.ts";

export interface AttentionAttrs {
  readonly heads: number;
  readonly scale: number;
  /** q, k, v are the column blocks of one operand. */
  readonly packed: boolean;
  readonly mask: boolean;
  readonly keep: boolean;
  /** Lengths of sequences that follow each other along T and attend to themselves only; absent, one sequence. */
  readonly segments?: readonly number[];
}

function specOf(inputs: readonly ValueSpec[], attrs: AttentionAttrs): AttentionSpec {
  const { heads, scale, packed, mask, keep, segments } = attrs;
  const [batch, queries, width] = inputs[0].shape;
  const keys = packed ? queries : inputs[1].shape[1];
  const dim = packed ? width / (3 * heads) : inputs[0].shape[3];
  return { batch, heads, queries, keys, dim, scale, packed, mask, keep, segments };
}

/** Of each pair of a query and a key: `products` dot products or sums over D, and the exponential's part. */
function flopsOf({ batch, heads, queries, keys, dim, segments }: AttentionSpec, products: number): number {
  const pairs = segments ? segments.reduce((sum, length) => sum + length * length, 0) : queries * keys;
  return batch * heads * pairs * (2 * products * dim + 5);
}

export const FORWARD: Kernels<AttentionAttrs> = {
  cpu: (inputs, attrs) => attentionForward(specOf(inputs, attrs)),
  webgpu: (inputs, attrs, profile) => wgslForward(specOf(inputs, attrs), profile),
  flops: (inputs, attrs) => flopsOf(specOf(inputs, attrs), 2),
};

export const BACKWARD: Kernels<AttentionAttrs> = {
  cpu: (inputs, attrs) => attentionBackward(specOf(inputs.slice(1), attrs)),
  webgpu: (inputs, attrs, profile) => wgslBackward(specOf(inputs.slice(1), attrs), profile),
  flops: (inputs, attrs) => flopsOf(specOf(inputs.slice(1), attrs), 5),
};
