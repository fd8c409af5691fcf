/** Multi-head attention and the Transformer's encoder layer (Vaswani et al. 2017), in PyTorch's form. */
import { attention, packedAttention } from "../ops/attention.ts";
import type { RotaryOptions } from "../ops/sequence/masked-attention.ts";
import { rotaryEmbedding, scaledDotProductAttention } from "../ops/sequence/masked-attention.ts";
import { zeros } from "../tensor/create.ts";
import type { Generator } from "../tensor/random.ts";
import { rng } from "../tensor/random.ts";
import { formatShape } from "../tensor/shape.ts";
import * as build from "../tensor/build.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import type { LayerOptions } from "./initialize.ts";
import { parameter, requireCount, requireProbability } from "./initialize.ts";
import { xavierUniform } from "./initializers.ts";
import { Dropout, LayerNorm } from "./layers.ts";
import { Linear, linear } from "./linear.ts";
import { Module } from "./module.ts";
import type { LayerCache } from "./sequence/cache.ts";
import { checkOptions, requireTensor } from "../tensor/door/door.ts";

/** Added to the scores of closed keys. */
const CLOSED = -60000;

/** Settings of a `MultiHeadAttention` layer. */
export interface AttentionSettings extends LayerOptions {
  /** On the attention probabilities, in training; default 0. */
  readonly dropout?: number;
  /** Biases of the projections; default true. */
  readonly bias?: boolean;
  /** Inputs are [batch, steps, width]; default false: [steps, batch, width]. */
  readonly batchFirst?: boolean;
}

/** What attention looks at besides the query. */
export interface AttentionInputs {
  /** Default: the query, for self-attention. */
  readonly key?: Tensor;
  /** Default: the key. */
  readonly value?: Tensor;
  /** f32 [B, steps of the key]: keys at 0 are not attended to (PyTorch's key_padding_mask has the opposite sense). */
  readonly mask?: Tensor;
  /**
   * Which keys each query attends to, broadcast to [B, H, steps of the query, steps of the key]: bool, true where it
   * does (PyTorch's attn_mask has the opposite sense), or floating, added to the scores.
   */
  readonly attentionMask?: Tensor;
  /** Query i attends to keys 0 … i only; default false. */
  readonly causal?: boolean;
  /**
   * Self-attention: keys and values of the steps before, which this call's are added to. Steps attend to what came
   * before them and to themselves.
   */
  readonly cache?: LayerCache;
  /** Turns queries and keys by their positions; true for the defaults of `rotaryEmbedding`. */
  readonly rotary?: boolean | Omit<RotaryOptions, "positions">;
  /** Self-attention: lengths of sequences one after the other along the steps, each attending to itself only. */
  readonly segments?: readonly number[];
}

/**
 * torch.nn.MultiheadAttention. `in_proj_weight` [3·width, width] packs the projections of query, key and value;
 * `out_proj.weight` [width, width].
 */
export class MultiHeadAttention extends Module {
  readonly in_proj_weight: Variable;
  readonly in_proj_bias?: Variable;
  readonly out_proj: Linear;
  readonly heads: number;
  readonly #width: number;
  readonly #dropout: number;
  readonly #batchFirst: boolean;
  readonly #generator: Generator | undefined;

  /**
   * @param width features of x and of the result; a multiple of `heads`.
   * @param heads how many attend side by side, each to width / heads features.
   */
  constructor(width: number, heads: number, settings: AttentionSettings = {}) {
    super();
    checkOptions("MultiHeadAttention", settings, ["dropout", "bias", "batchFirst", "dtype", "generator"]);
    const { dropout = 0, bias = true, batchFirst = false, dtype = "f32", generator } = settings;
    requireCount("MultiHeadAttention", "width", width);
    requireCount("MultiHeadAttention", "heads", heads);
    requireProbability("MultiHeadAttention", dropout);
    if (width % heads !== 0) throw new Error(`MultiHeadAttention: width ${width} is no multiple of ${heads} heads`);
    this.in_proj_weight = parameter("in_proj_weight", xavierUniform([3 * width, width], { dtype, generator }));
    if (bias) this.in_proj_bias = parameter("in_proj_bias", zeros([3 * width], dtype));
    this.out_proj = new Linear(width, width, { dtype, generator, bias: bias ? "zero" : false });
    this.heads = heads;
    this.#width = width;
    this.#dropout = dropout;
    this.#batchFirst = batchFirst;
    this.#generator = generator;
  }

  /** query [T, B, width] → the same shape. */
  forward(query: Tensor, inputs: AttentionInputs = {}): Tensor {
    checkOptions("MultiHeadAttention", inputs, [
      ...["key", "value", "mask", "attentionMask", "causal", "cache", "rotary", "segments"],
    ]);
    const { key = query, value = key } = inputs;
    const [q, k, v] = [query, key, value].map((x) => this.#batchMajor(x));
    const given = key === query ? q : k;
    const { attentionMask, causal, cache, rotary } = inputs;
    const y =
      attentionMask || causal || cache || rotary
        ? this.#attendMasked(q, given, value === key ? given : v, inputs)
        : this.#attend(q, given, value === key ? undefined : v, inputs.mask, inputs.segments);
    const joined = this.out_proj.forward(y.reshape([...q.shape.slice(0, 2), this.#width]));
    return this.#batchFirst ? joined : joined.permute([1, 0, 2]);
  }

  #batchMajor(x: Tensor): Tensor {
    requireTensor("MultiHeadAttention", "x", x);
    if (x.rank !== 3 || x.shape[2] !== this.#width) {
      throw new Error(`MultiHeadAttention: ${formatShape(x.shape)} must have 3 axes, the last of ${this.#width}`);
    }
    return this.#batchFirst ? x : x.permute([1, 0, 2]);
  }

  /** Over [B, T, width]; `v` is absent where value and key are one tensor. */
  #attend(q: Tensor, k: Tensor, v: Tensor | undefined, mask: Tensor | undefined, segments?: readonly number[]): Tensor {
    const { in_proj_weight: weight, in_proj_bias: bias, heads } = this;
    const width = this.#width;
    const [batch, queries] = q.shape;
    const keys = segments ? Math.max(...segments) : k.shape[1];
    const options = { mask, segments, keep: this.#keepMask([batch, heads, queries, keys], q) };
    if (k === q && v === undefined) return packedAttention(linear(q, weight, bias), heads, options);
    /** Blocks `from`..`to` of the packed projection, each split into heads. */
    const project = (x: Tensor, from: number, to: number): Tensor[] => {
      const rows = [from * width, to * width] as const;
      const y = linear(x, weight.slice(rows), bias?.slice(rows)).reshape([
        ...x.shape.slice(0, 2),
        to - from,
        heads,
        width / heads,
      ]);
      return Array.from({ length: to - from }, (_, i) => y.slice(null, null, i));
    };
    const keysAndValues = v === undefined ? project(k, 1, 3) : [...project(k, 1, 2), ...project(v, 2, 3)];
    return attention(project(q, 0, 1)[0], keysAndValues[0], keysAndValues[1], options);
  }

  /** With a mask between queries and keys, a cache or rotary positions: over [B, T, width] → [B, T, H, D]. */
  #attendMasked(query: Tensor, key: Tensor, value: Tensor, inputs: AttentionInputs): Tensor {
    const { mask, attentionMask, causal, cache, rotary, segments } = inputs;
    if (segments || (cache && (key !== query || value !== key || attentionMask || mask))) {
      throw new Error(
        `MultiHeadAttention: ${segments ? "segments do not go with causal, attentionMask, cache or rotary" : "a cache goes with self-attention without another mask"}`,
      );
    }
    const { in_proj_weight: weight, in_proj_bias: bias, heads } = this;
    const width = this.#width;
    /** Block `at` of the packed projection by heads: [B, H, T, D]. */
    const project = (x: Tensor, at: number): Tensor => {
      const rows = [at * width, (at + 1) * width] as const;
      const y = linear(x, weight.slice(rows), bias?.slice(rows));
      return y.reshape([...x.shape.slice(0, 2), heads, width / heads]).permute([0, 2, 1, 3]);
    };
    let [q, k, v] = [project(query, 0), project(key, 1), project(value, 2)];
    if (rotary) {
      const options = { ...(rotary === true ? {} : rotary), positions: cache?.positions(query.shape[1]) };
      [q, k] = [rotaryEmbedding(q, options), rotaryEmbedding(k, options)];
    }
    let open = attentionMask;
    if (cache) ({ key: k, value: v, mask: open } = cache.update(k, v));
    const keys = mask?.ne(0).reshape([mask.shape[0], 1, 1, mask.shape[1]]);
    if (keys) {
      // Closed keys of a mask that is added are far below every score.
      if (!open) open = keys;
      else if (open.dtype === "bool") open = open.and(keys);
      else open = open.add(keys.where(0, new Tensor(build.full([], CLOSED, open.dtype))));
    }
    const keep = this.#keepMask([q.shape[0], heads, q.shape[2], k.shape[2]], q);
    const options = { attentionMask: open, causal: (causal ?? false) && !cache, keep };
    return scaledDotProductAttention(q, k, v, options).permute([0, 2, 1, 3]);
  }

  #keepMask(shape: readonly number[], like: Tensor): Tensor | undefined {
    if (!this.training || this.#dropout === 0) return undefined;
    return (this.#generator ?? rng()).dropoutMask(shape, this.#dropout, like.dtype);
  }
}

/** Settings of a `TransformerEncoderLayer`. */
export interface EncoderLayerSettings extends LayerOptions {
  /** Width of the feed-forward part; default 2048. */
  readonly feedForward?: number;
  /** On attention probabilities, after attention, in and after the feed-forward part; default 0.1. */
  readonly dropout?: number;
  /** Default "relu". */
  readonly activation?: "relu" | "gelu" | ((x: Tensor) => Tensor);
  /** Normalise before each part instead of after its residual; default false. */
  readonly normFirst?: boolean;
  /** x is [batch, steps, width]; default false: [steps, batch, width]. */
  readonly batchFirst?: boolean;
  /** Of the layer norms; default 1e-5. */
  readonly epsilon?: number;
}

/** Names of an `EncoderLayerSettings`. */
export const LAYER_SETTINGS: readonly string[] = [
  ...["feedForward", "dropout", "activation", "normFirst", "batchFirst", "epsilon", "dtype", "generator"],
];

/** The function behind an activation's name. */
export function activationOf(layer: string, activation: EncoderLayerSettings["activation"]): (x: Tensor) => Tensor {
  if (typeof activation === "function") return activation;
  if (activation === "relu") return (x) => x.relu();
  if (activation === "gelu") return (x) => x.gelu();
  throw new Error(`${layer}: activation "${String(activation)}" is not "relu", "gelu" or a function`);
}

/** torch.nn.TransformerEncoderLayer: self-attention and a feed-forward part, each with a residual and a layer norm. */
export class TransformerEncoderLayer extends Module {
  readonly self_attn: MultiHeadAttention;
  readonly linear1: Linear;
  readonly dropout: Dropout;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly #activate: (x: Tensor) => Tensor;
  readonly #normFirst: boolean;

  /**
   * @param width features of x and of the result; a multiple of `heads`.
   * @param heads how many attend side by side, each to width / heads features.
   */
  constructor(width: number, heads: number, settings: EncoderLayerSettings = {}) {
    super();
    checkOptions("TransformerEncoderLayer", settings, LAYER_SETTINGS);
    const { feedForward = 2048, dropout = 0.1, activation = "relu", normFirst = false, generator } = settings;
    const { dtype, batchFirst, epsilon } = settings;
    requireCount("TransformerEncoderLayer", "feedForward", feedForward);
    this.self_attn = new MultiHeadAttention(width, heads, { dtype, generator, batchFirst, dropout });
    this.linear1 = new Linear(width, feedForward, { dtype, generator });
    this.dropout = new Dropout(dropout, generator);
    this.linear2 = new Linear(feedForward, width, { dtype, generator });
    this.norm1 = new LayerNorm(width, { dtype, epsilon });
    this.norm2 = new LayerNorm(width, { dtype, epsilon });
    this.dropout1 = new Dropout(dropout, generator);
    this.dropout2 = new Dropout(dropout, generator);
    this.#activate = activationOf("TransformerEncoderLayer", activation);
    this.#normFirst = normFirst;
  }

  /** x [T, B, width] → the same shape. The inputs are those of `MultiHeadAttention`. */
  forward(x: Tensor, inputs: Omit<AttentionInputs, "key" | "value"> = {}): Tensor {
    const attend = (y: Tensor) => this.dropout1.forward(this.self_attn.forward(y, inputs));
    const feed = (y: Tensor) =>
      this.dropout2.forward(this.linear2.forward(this.dropout.forward(this.#activate(this.linear1.forward(y)))));
    if (this.#normFirst) {
      const y = x.add(attend(this.norm1.forward(x)));
      return y.add(feed(this.norm2.forward(y)));
    }
    const y = this.norm1.forward(x.add(attend(x)));
    return this.norm2.forward(y.add(feed(y)));
  }
}
