/** The Transformer's decoder layer (Vaswani et al. 2017), in PyTorch's form. */
import type { Tensor } from "../../tensor/tensor.ts";
import { requireCount } from "../initialize.ts";
import { Dropout, LayerNorm } from "../layers.ts";
import { Linear } from "../linear.ts";
import { Module } from "../module.ts";
import type { AttentionInputs, EncoderLayerSettings } from "../transformer.ts";
import { LAYER_SETTINGS, MultiHeadAttention, activationOf } from "../transformer.ts";
import { checkOptions } from "../../tensor/door/door.ts";

/** What a `TransformerDecoderLayer` takes besides the target and the memory. */
export interface DecoderInputs {
  /** Of the target's attention to itself: as in `MultiHeadAttention`. */
  readonly self?: Omit<AttentionInputs, "key" | "value">;
  /** Of its attention to the memory: `mask` over the memory's steps, `attentionMask`. */
  readonly cross?: Pick<AttentionInputs, "mask" | "attentionMask">;
  /** Steps of the target attend to those before them and themselves only; the same as `self: { causal: true }`. */
  readonly causal?: boolean;
}

/**
 * torch.nn.TransformerDecoderLayer: self-attention, attention to the encoder's output, and a feed-forward part, each with
 * a residual and a layer norm.
 */
export class TransformerDecoderLayer extends Module {
  readonly self_attn: MultiHeadAttention;
  readonly multihead_attn: MultiHeadAttention;
  readonly linear1: Linear;
  readonly dropout: Dropout;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly norm3: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly dropout3: Dropout;
  readonly #activate: (x: Tensor) => Tensor;
  readonly #normFirst: boolean;

  /**
   * @param width features of x and of the result; a multiple of `heads`.
   * @param heads how many attend side by side, each to width / heads features.
   */
  constructor(width: number, heads: number, settings: EncoderLayerSettings = {}) {
    super();
    checkOptions("TransformerDecoderLayer", settings, LAYER_SETTINGS);
    const { feedForward = 2048, dropout = 0.1, activation = "relu", normFirst = false, generator, dtype } = settings;
    const { batchFirst, epsilon } = settings;
    requireCount("TransformerDecoderLayer", "feedForward", feedForward);
    this.self_attn = new MultiHeadAttention(width, heads, { dtype, generator, batchFirst, dropout });
    this.multihead_attn = new MultiHeadAttention(width, heads, { dtype, generator, batchFirst, dropout });
    this.linear1 = new Linear(width, feedForward, { dtype, generator });
    this.dropout = new Dropout(dropout, generator);
    this.linear2 = new Linear(feedForward, width, { dtype, generator });
    this.norm1 = new LayerNorm(width, { dtype, epsilon });
    this.norm2 = new LayerNorm(width, { dtype, epsilon });
    this.norm3 = new LayerNorm(width, { dtype, epsilon });
    this.dropout1 = new Dropout(dropout, generator);
    this.dropout2 = new Dropout(dropout, generator);
    this.dropout3 = new Dropout(dropout, generator);
    this.#activate = activationOf("TransformerDecoderLayer", activation);
    this.#normFirst = normFirst;
  }

  /** target [T, B, width], memory [S, B, width] → the target's shape (with `batchFirst` B comes first). */
  forward(target: Tensor, memory: Tensor, inputs: DecoderInputs = {}): Tensor {
    checkOptions("TransformerDecoderLayer", inputs, ["self", "cross", "causal"]);
    const { self = {}, cross = {}, causal = false } = inputs;
    const own = causal ? { ...self, causal: true } : self;
    const attend = (x: Tensor) => this.dropout1.forward(this.self_attn.forward(x, own));
    const look = (x: Tensor) => this.dropout2.forward(this.multihead_attn.forward(x, { ...cross, key: memory }));
    const feed = (x: Tensor) =>
      this.dropout3.forward(this.linear2.forward(this.dropout.forward(this.#activate(this.linear1.forward(x)))));
    if (this.#normFirst) {
      const y = target.add(attend(this.norm1.forward(target)));
      const z = y.add(look(this.norm2.forward(y)));
      return z.add(feed(this.norm3.forward(z)));
    }
    const y = this.norm1.forward(target.add(attend(target)));
    const z = this.norm2.forward(y.add(look(y)));
    return this.norm3.forward(z.add(feed(z)));
  }
}
