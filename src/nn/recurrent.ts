/** GRU and LSTM layers (torch.nn.GRU, torch.nn.LSTM): PyTorch's parameter names, shapes and first values. */
import type { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import type { LayerOptions } from "./initialize.ts";
import { fanInUniform, parameter, requireCount, requireProbability } from "./initialize.ts";
import { Module } from "./module.ts";
import type { GruResult, LstmResult, RecurrentOptions } from "./recurrent-functions.ts";
import { gru, lstm } from "./recurrent-functions.ts";
import { checkOptions } from "../tensor/door/door.ts";

/** Settings of the layers `GRU` and `LSTM`. */
export interface RecurrentSettings extends LayerOptions {
  /** Default 1. */
  readonly numLayers?: number;
  /** Both directions, run side by side; y has 2·hidden features. Default false. */
  readonly bidirectional?: boolean;
  /** x and y are [batch, steps, features]; default false: [steps, batch, features]. */
  readonly batchFirst?: boolean;
  /** Default true. */
  readonly bias?: boolean;
  /** Dropout between layers, in training; default 0. */
  readonly dropout?: number;
}

/** What a call may bring besides x. */
export interface RecurrentInputs {
  /** First state [layers·directions, B, H]; default 0. */
  readonly h0?: Tensor;
  /** f32, the first two axes of x: 1 for steps that count; at 0 the state is carried over and y is 0. */
  readonly mask?: Tensor;
  /** Lengths of sequences one after the other along the time axis, run side by side: see `RecurrentOptions`. */
  readonly segments?: readonly number[];
}

const SETTINGS = ["numLayers", "bidirectional", "batchFirst", "bias", "dropout", "dtype", "generator"];

abstract class Recurrent extends Module {
  readonly hiddenSize: number;
  readonly #weights: Record<string, Variable> = {};
  readonly #settings: RecurrentSettings;
  /** What a call may bring. */
  protected readonly inputs: readonly string[] = ["h0", "mask", "segments"];

  constructor(gateCount: number, inputSize: number, hiddenSize: number, settings: RecurrentSettings) {
    super();
    const name = new.target.name;
    checkOptions(name, settings, SETTINGS);
    const { numLayers = 1, bidirectional = false, bias = true, dropout = 0 } = settings;
    requireCount(name, "inputSize", inputSize);
    requireCount(name, "hiddenSize", hiddenSize);
    requireCount(name, "numLayers", numLayers);
    requireProbability(name, dropout);
    this.hiddenSize = hiddenSize;
    this.#settings = settings;
    const rows = gateCount * hiddenSize;
    const add = (key: string, shape: readonly number[]) => {
      this.#weights[key] = parameter(key, fanInUniform(hiddenSize, shape, settings));
    };
    for (let k = 0; k < numLayers; k++) {
      const features = k === 0 ? inputSize : hiddenSize * (bidirectional ? 2 : 1);
      for (const end of bidirectional ? [`_l${k}`, `_l${k}_reverse`] : [`_l${k}`]) {
        add(`weight_ih${end}`, [rows, features]);
        add(`weight_hh${end}`, [rows, hiddenSize]);
        if (!bias) continue;
        add(`bias_ih${end}`, [rows]);
        add(`bias_hh${end}`, [rows]);
      }
    }
  }

  /** The parameters by PyTorch's names. */
  get weights(): Readonly<Record<string, Variable>> {
    return this.#weights;
  }
  protected override members() {
    return Object.entries(this.#weights);
  }
  protected options(inputs: RecurrentInputs): RecurrentOptions {
    checkOptions(this.constructor.name, inputs, this.inputs);
    const { numLayers, bidirectional, batchFirst, dropout, generator } = this.#settings;
    return { numLayers, bidirectional, batchFirst, dropout: this.training ? dropout : 0, generator, ...inputs };
  }
}

/** Gated recurrent unit (Cho et al. 2014) in cuDNN's form, as torch.nn.GRU. Parameters: see `RecurrentWeights`. */
export class GRU extends Recurrent {
  /**
   * @param inputSize features of x at a step, `in`.
   * @param hiddenSize H, the features of a state.
   */
  constructor(inputSize: number, hiddenSize: number, settings: RecurrentSettings = {}) {
    super(3, inputSize, hiddenSize, settings);
  }

  /** x [T, B, in] → y [T, B, directions·H] and the last states hn. */
  forward(x: Tensor, inputs: RecurrentInputs = {}): GruResult {
    return gru(x, this.weights, this.options(inputs));
  }
}

/** Long short-term memory (Hochreiter, Schmidhuber 1997; Gers et al. 2000), as torch.nn.LSTM. */
export class LSTM extends Recurrent {
  protected override readonly inputs = ["h0", "c0", "mask", "segments"];

  /**
   * @param inputSize features of x at a step, `in`.
   * @param hiddenSize H, the features of a state.
   */
  constructor(inputSize: number, hiddenSize: number, settings: RecurrentSettings = {}) {
    super(4, inputSize, hiddenSize, settings);
  }

  /** x [T, B, in] → y [T, B, directions·H], the last states hn and cell states cn. */
  forward(x: Tensor, inputs: RecurrentInputs & { readonly c0?: Tensor } = {}): LstmResult {
    return lstm(x, this.weights, this.options(inputs));
  }
}
