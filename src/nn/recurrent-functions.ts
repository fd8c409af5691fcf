/**
 * GRU and LSTM of several layers and both directions, on weights by PyTorch's names.
 *
 * The input's part of the gates is one product over all steps and both directions; the scan then runs both directions
 * side by side (see ops/scan.ts).
 */
import { requireTensor } from "../tensor/door/door.ts";
import { gruScan, lstmScan } from "../ops/scan.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import type { Generator } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { concat, stack } from "../tensor/methods/join.ts";
import { dropout } from "./layers.ts";
import { linear } from "./linear.ts";
import { autocast, widened } from "../ops/autocast.ts";

/**
 * `weight_ih_l0` [g·H, in], `weight_hh_l0` [g·H, H], `bias_ih_l0`, `bias_hh_l0` [g·H], `…_l0_reverse`, `…_l1`, …;
 * biases may be absent.
 */
export type RecurrentWeights = Readonly<Record<string, Tensor>>;

/** How `gru` and `lstm` run. */
export interface RecurrentOptions {
  /** Default 1. */
  readonly numLayers?: number;
  readonly bidirectional?: boolean;
  /** x, y and mask have the batch axis first; default false: time first. */
  readonly batchFirst?: boolean;
  /** Between layers; default 0. Applied whenever it is above 0. */
  readonly dropout?: number;
  readonly generator?: Generator;
  /** First state [layers·directions, B, H]; default 0. */
  readonly h0?: Tensor;
  /** f32, the first two axes of x: 1 for steps that count; at 0 the state is carried over and y is 0. */
  readonly mask?: Tensor;
  /**
   * Lengths, adding up to T, of sequences that lie one after the other along the time axis and are run side by side.
   * States are then [layers·directions, S·B, H], sequence after sequence.
   */
  readonly segments?: readonly number[];
}

/** How `lstm` runs. */
export interface LstmOptions extends RecurrentOptions {
  /** First cell state [layers·directions, B, H]; default 0. */
  readonly c0?: Tensor;
}

/** What `gru` gives. */
export interface GruResult {
  /** Outputs of the last layer: [T, B, directions·H], or the batch axis first. */
  readonly y: Tensor;
  /** Last states [layers·directions, B, H]. */
  readonly hn: Tensor;
}

/** What `lstm` gives. */
export interface LstmResult extends GruResult {
  /** Last cell states [layers·directions, B, H]. */
  readonly cn: Tensor;
}

/** Gates of one layer, and its recurrent weights with the directions stacked. */
interface LayerInputs {
  readonly gates: Tensor;
  readonly weight: Tensor;
  readonly bias?: Tensor;
  readonly h0?: Tensor;
  readonly mask?: Tensor;
  readonly segments?: readonly number[];
}

/**
 * torch.nn.GRU: gates r, z, n, the reset gate applied after the recurrent product. x [T, B, in]; `weights` as {@link
 * RecurrentWeights} describes them.
 */
export function gru(x: Tensor, weights: RecurrentWeights, options: RecurrentOptions = {}): GruResult {
  const states: Tensor[] = [];
  const y = overLayers("gru", 3, x, weights, options, (layer) => {
    const result = gruScan(layer);
    states.push(result.hn);
    return result.y;
  });
  return { y, hn: joined(states) };
}

/** torch.nn.LSTM: gates i, f, g, o. x [T, B, in]; `weights` as {@link RecurrentWeights} describes them. */
export function lstm(x: Tensor, weights: RecurrentWeights, options: LstmOptions = {}): LstmResult {
  const { bidirectional = false } = options;
  const c0 = widened(options.c0);
  const directions = bidirectional ? 2 : 1;
  const states: Tensor[] = [];
  const cells: Tensor[] = [];
  const y = overLayers("lstm", 4, x, weights, options, (layer, k) => {
    const result = lstmScan({ ...layer, c0: c0?.slice([k * directions, (k + 1) * directions]) });
    states.push(result.hn);
    cells.push(result.cn);
    return result.y;
  });
  return { y, hn: joined(states), cn: joined(cells) };
}

function overLayers(
  op: string,
  gateCount: number,
  x: Tensor,
  weights: RecurrentWeights,
  options: LstmOptions,
  scan: (layer: LayerInputs, k: number) => Tensor,
): Tensor {
  const { numLayers = 1, bidirectional = false, batchFirst = false, segments, generator } = options;
  const [h0, c0] = [widened(options.h0), widened(options.c0)];
  requireTensor(op, "x", x);
  x = widened(x);
  if (x.rank !== 3)
    throw new Error(
      `${op}: x ${formatShape(x.shape)} must be ${batchFirst ? "[batch, steps, in]" : "[steps, batch, in]"}`,
    );
  const suffixes = bidirectional ? ["", "_reverse"] : [""];
  const directions = suffixes.length;
  let y = batchFirst ? x.permute([1, 0, 2]) : x;
  const mask = options.mask && batchFirst ? options.mask.transpose() : options.mask;
  const rowsOfState = y.shape[1] * (segments?.length ?? 1);
  for (const [name, state] of [
    ["h0", h0],
    ["c0", c0],
  ] as const) {
    if (!state || (state.rank === 3 && state.shape[0] === numLayers * directions && state.shape[1] === rowsOfState))
      continue;
    throw new Error(
      `${op}: ${name} has shape ${formatShape(state.shape)}, not [${numLayers * directions}, ${rowsOfState}, hidden]`,
    );
  }
  for (let k = 0; k < numLayers; k++) {
    if (k > 0 && options.dropout) y = dropout(y, options.dropout, generator);
    const of = (kind: string) => suffixes.map((suffix) => weightOf(op, weights, `${kind}_l${k}${suffix}`));
    const biased = `bias_ih_l${k}` in weights;
    const hidden = of("weight_hh");
    const input = of("weight_ih");
    const rows = gateCount * hidden[0].shape[1];
    checkLayer(op, k, input, hidden, rows, y.shape[2]);
    const [steps, batch] = y.shape;
    const bias = biased ? joined(of("bias_ih")) : undefined;
    const gates = autocast(() => linear(y, joined(input), bias), { enabled: false });
    y = scan(
      {
        gates: gates.reshape([steps, batch, directions, rows]),
        weight: stack(hidden),
        bias: biased ? stack(of("bias_hh")) : undefined,
        h0: h0?.slice([k * directions, (k + 1) * directions]),
        mask,
        segments,
      },
      k,
    );
  }
  return batchFirst ? y.permute([1, 0, 2]) : y;
}

function weightOf(op: string, weights: RecurrentWeights, name: string): Tensor {
  const found = weights[name];
  if (!found) throw new Error(`${op}: there is no weight "${name}"; there is ${Object.keys(weights).join(", ")}`);
  return found;
}

function checkLayer(op: string, k: number, input: Tensor[], hidden: Tensor[], rows: number, features: number): void {
  for (const [name, list, shape] of [
    ["weight_ih", input, [rows, features]],
    ["weight_hh", hidden, [rows, hidden[0].shape[1]]],
  ] as const) {
    for (const w of list) {
      if (!sameShape(w.shape, shape))
        throw new Error(`${op}: ${name}_l${k} has shape ${formatShape(w.shape)}, not ${formatShape(shape)}`);
    }
  }
}

const joined = (parts: readonly Tensor[]): Tensor => (parts.length === 1 ? parts[0] : concat(parts));
