/**
 * The sizes of a HiCo model, read off the names and shapes of its tensors.
 *
 * Everything that decides which tensors there are follows from them: the encoder from the names and the rows of its
 * gates, the width from the embedding, the levels from the heads that see all of them, the negatives from the queues.
 * What leaves no trace in a shape is not here: heads of the attention, dropout, temperature, momentum.
 */
import type { HostTensor } from "../../io/host-tensor.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { HiCoConfig } from "../model/config.ts";
import type { EncoderName } from "../model/encoder-names.ts";

/** `encoder` is one of the three by name. */
export type ModelSizes = Pick<
  HiCoConfig,
  "hidden" | "layers" | "granularity" | "projection" | "queue" | "temporalInput" | "spatialInput"
> & { readonly encoder: EncoderName };

const QUERY = "encoder_q.hi_encoder.";
const ENCODER = `${QUERY}t_encoder.`;

/** Gates of a recurrent layer: rows of its recurrent weight for each column. */
const GATED: Readonly<Record<number, EncoderName>> = { 3: "gru", 4: "lstm" };

/**
 * @param file what errors call the checkpoint
 * @throws Error naming the tensor that is missing or whose shape says something impossible. Whether all of the others
 *   fit is for loading to tell.
 */
export function inferSizes(state: ReadonlyMap<string, HostTensor>, file: string): ModelSizes {
  const fail = (detail: string): never => {
    throw new Error(`${file}: ${detail}; it is no checkpoint of HiCo that can be read`);
  };
  const shapeOf = (name: string, rank: number): readonly number[] => {
    const shape = state.get(name)?.shape;
    if (!shape) return fail(`there is no tensor "${name}"`);
    return shape.length === rank && shape.every((n) => n > 0)
      ? shape
      : fail(`"${name}" has shape ${formatShape(shape)}`);
  };
  const [hidden, temporalInput] = shapeOf(`${QUERY}t_embedding.0.weight`, 2);
  const [, spatialInput] = shapeOf(`${QUERY}s_embedding.0.weight`, 2);
  const [projection, queue] = shapeOf("t_queue", 2);
  const [, levels] = shapeOf("encoder_q.td_proj.0.weight", 2);
  if (levels % hidden !== 0) {
    fail(`"encoder_q.td_proj.0.weight" takes ${levels} features, no multiple of the width ${hidden}`);
  }
  const names = [...state.keys()].filter((name) => name.startsWith(ENCODER)).map((name) => name.slice(ENCODER.length));
  if (names.length === 0) fail(`there is no tensor of an encoder ("${ENCODER}...")`);
  const sizes = { hidden, temporalInput, spatialInput, projection, queue, granularity: levels / hidden };
  if (names.some((name) => name.startsWith("layers."))) {
    return { ...sizes, encoder: "transformer", layers: countOf(names, /^layers\.(\d+)\./) };
  }
  const [rows, units] = shapeOf(`${ENCODER}weight_hh_l0`, 2);
  const encoder = GATED[rows / units];
  if (!encoder)
    fail(`"${ENCODER}weight_hh_l0" has shape ${formatShape([rows, units])}: neither 3 gates (GRU) nor 4 (LSTM)`);
  return { ...sizes, encoder, layers: countOf(names, /^weight_hh_l(\d+)$/) };
}

/** One more than the largest number that the names hold. */
function countOf(names: readonly string[], pattern: RegExp): number {
  return 1 + Math.max(...names.map((name) => Number(pattern.exec(name)?.[1] ?? -1)));
}
