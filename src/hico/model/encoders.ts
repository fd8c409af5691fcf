/**
 * Sequence-to-sequence encoders: what HiCo encodes the tokens of a level with. The three of the paper come by name;
 * any module of the shape [N, T, d] → [N, T, d] can take their place.
 *
 * All levels of a domain share one encoder's weights, so they go through it together: their tokens lie one after the
 * other along T, linear layers and norms see one long sequence, and attention and recurrence keep within each level.
 */
import type { DType } from "../../tensor/dtype.ts";
import type { Generator } from "../../tensor/random.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { concat } from "../../tensor/methods/join.ts";
import type { TensorModule } from "../../nn/module.ts";
import { Module } from "../../nn/module.ts";
import type { RecurrentSettings } from "../../nn/recurrent.ts";
import { GRU, LSTM } from "../../nn/recurrent.ts";
import { TransformerEncoderLayer } from "../../nn/transformer.ts";
import type { EncoderName } from "./encoder-names.ts";
import { ENCODER_NAMES } from "./encoder-names.ts";

/** A module that takes several sequences at once. */
export interface SequenceEncoder extends Module {
  /** x [N, ΣT, d]: sequences of these lengths one after the other along axis 1, each encoded by itself. */
  encode(x: Tensor, lengths: readonly number[]): Tensor;
  /** Whether it works on [T, N, d]; tokens are then laid out so in memory, and [N, T, d] is a view. */
  readonly timeMajor?: boolean;
}

/** Sizes of an encoder. */
export interface EncoderSettings {
  /** Width d of tokens, in and out. */
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  readonly dropout: number;
  readonly dtype: DType;
  readonly generator?: Generator;
}

/** Makes the encoder of one domain; it is called for the temporal and the spatial one, of each network. */
export type EncoderFactory = (settings: EncoderSettings) => SequenceEncoder | TensorModule;

const ENCODERS: Readonly<Record<EncoderName, EncoderFactory>> = {
  gru: (settings) => new GruEncoder(settings),
  lstm: (settings) => new LstmEncoder(settings),
  transformer: (settings) => new TransformerEncoder(settings),
};

/** The encoder for a configuration; a plain module is run level by level. */
export function makeEncoder(
  encoder: EncoderName | EncoderFactory,
  settings: EncoderSettings,
): SequenceEncoder | TensorModule {
  if (typeof encoder === "function") {
    const made = encoder(settings);
    if (!(made instanceof Module)) throw new Error("HiCo: the encoder's factory must return a Module");
    return made;
  }
  const factory = (ENCODERS as Record<string, EncoderFactory | undefined>)[encoder];
  if (!factory)
    throw new Error(
      `HiCo: there is no encoder "${encoder}"; there is ${ENCODER_NAMES.join(", ")}, or a function that makes one`,
    );
  return factory(settings);
}

/** Runs an encoder on sequences that lie one after the other along axis 1. */
export function encodeSequences(
  encoder: SequenceEncoder | TensorModule,
  x: Tensor,
  lengths: readonly number[],
): Tensor {
  let y: Tensor;
  if ("encode" in encoder) y = encoder.encode(x, lengths);
  else
    y = concat(
      splitSequences(x, lengths).map((level) => encoder.forward(level)),
      1,
    );
  if (!sameShape(y.shape, x.shape)) {
    throw new Error(
      `HiCo: the encoder made ${formatShape(y.shape)} of ${formatShape(x.shape)}; the shape must stay as it is`,
    );
  }
  return y;
}

/** The sequences of x [N, ΣT, d], as views. */
function splitSequences(x: Tensor, lengths: readonly number[]): Tensor[] {
  let start = 0;
  return lengths.map((length) => {
    start += length;
    return x.slice(null, [start - length, start]);
  });
}

function halfWidth({ width }: EncoderSettings): number {
  if (width % 2 === 0) return width / 2;
  throw new Error(`HiCo: hidden is ${width}; a bidirectional encoder needs an even number, half for each direction`);
}

function bidirectional({ layers, dtype, generator }: EncoderSettings): RecurrentSettings {
  return { numLayers: layers, bidirectional: true, batchFirst: true, dtype, generator };
}

/** Bidirectional GRU, d/2 units a direction. Parameters are those of torch.nn.GRU. */
class GruEncoder extends GRU implements SequenceEncoder {
  readonly timeMajor = true;

  constructor(settings: EncoderSettings) {
    super(settings.width, halfWidth(settings), bidirectional(settings));
  }
  encode(x: Tensor, lengths: readonly number[]): Tensor {
    return this.forward(x, { segments: lengths }).y;
  }
}

/** Bidirectional LSTM, d/2 units a direction. Parameters are those of torch.nn.LSTM. */
class LstmEncoder extends LSTM implements SequenceEncoder {
  readonly timeMajor = true;

  constructor(settings: EncoderSettings) {
    super(settings.width, halfWidth(settings), bidirectional(settings));
  }
  encode(x: Tensor, lengths: readonly number[]): Tensor {
    return this.forward(x, { segments: lengths }).y;
  }
}

/** Transformer encoder layers, post-norm, ReLU, feed-forward width d; no positional encoding and no final norm. */
class TransformerEncoder extends Module implements SequenceEncoder {
  readonly layers: readonly TransformerEncoderLayer[];

  constructor({ width, heads, layers, dropout, dtype, generator }: EncoderSettings) {
    super();
    const settings = { feedForward: width, dropout, batchFirst: true, dtype, generator };
    this.layers = Array.from({ length: layers }, () => new TransformerEncoderLayer(width, heads, settings));
  }
  encode(x: Tensor, lengths: readonly number[]): Tensor {
    return this.layers.reduce((y, layer) => layer.forward(y, { segments: lengths }), x);
  }
}
