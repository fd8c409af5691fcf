/**
 * Features of clips: what the frozen query encoder makes of each, computed once and kept on the host.
 */
import { batchesOf, inputShape } from "../../data/batches/inputs.ts";
import type { EvaluationBatch, InputSettings, InputShape } from "../../data/batches/inputs.ts";
import { Loader } from "../../data/batches/loader.ts";
import type { ClipStore } from "../../data/store/store.ts";
import { noGrad } from "../../autograd/grad.ts";
import { compile } from "../../tensor/program/compile.ts";
import { tensor } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { HiCo } from "../model/model.ts";

/** One row a clip. */
export interface FeatureTable {
  /** float32 [rows, width]. */
  readonly data: Float32Array;
  readonly rows: number;
  readonly width: number;
  /** Class of each row, -1 for none. */
  readonly labels: Int32Array;
  /** Numbers of the clips in their store. */
  readonly clips: readonly number[];
}

/** Euclidean length of a row; 1 where the row is all zeros, so that dividing by it is always possible. */
export function rowLength({ data, width }: Pick<FeatureTable, "data" | "width">, row: number): number {
  return Math.sqrt(data.subarray(row * width, (row + 1) * width).reduce((sum, x) => sum + x * x, 0)) || 1;
}

/** @throws Error naming the clip, where a number of its row is NaN or infinite: nothing would be near it or far from it */
export function requireFinite({ data, width, clips }: FeatureTable, what: string): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const clip = clips[Math.floor(at / width)];
  throw new Error(
    `${what}: a feature of clip ${clip} is ${data[at]}; features must be finite. Are the weights, and the clip's coordinates?`,
  );
}

/** @throws Error naming the clip whose label is none of `classes`, numbered from 0 */
export function requireLabels({ labels, clips }: FeatureTable, classes: number, what: string): void {
  const row = labels.findIndex((label) => !(label >= 0 && label < classes));
  if (row < 0) return;
  throw new Error(
    `${what}: the label of clip ${clips[row]} is ${labels[row]}; it must be from 0 to ${classes - 1}. labelledClips leaves out clips without one`,
  );
}

/** How clips are encoded. */
export interface FeatureOptions {
  readonly inputs: InputSettings;
  /** Clips encoded at once. Default 64. */
  readonly batch?: number;
  /** Loader threads. Default 1, and none for few clips. */
  readonly workers?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Batches up to which they are made in less time than a thread takes to start. */
const FEW_BATCHES = 24;

/** The 2·G·d features of clips: dropout off, the fixed crop. */
export async function encodeClips(
  model: HiCo,
  store: ClipStore,
  clips: readonly number[],
  options: FeatureOptions,
): Promise<FeatureTable> {
  const { inputs } = options;
  const shape = inputShape(store.header.layout, inputs);
  const encode = encoderOf(model);
  let table: FeatureTable | undefined;
  for await (const { batch, first } of evaluationBatches(store, clips, options)) {
    const features = await encode(...viewsOf(batch, shape));
    const width = features.shape[1];
    table ??= emptyTable(store, clips, width);
    const values = (await features.read()) as Float32Array;
    table.data.set(values.subarray(0, batch.count * width), first * width);
    features.dispose();
    options.onProgress?.(first + batch.count, clips.length);
  }
  table ??= emptyTable(store, clips, 0);
  requireFinite(table, store.path);
  return table;
}

/** A batch's two views as tensors [clips, tokens, features], which are the batch's own memory. */
export function viewsOf(
  { temporal, spatial }: { readonly temporal: Float32Array; readonly spatial: Float32Array },
  shape: InputShape,
): [temporal: Tensor, spatial: Tensor] {
  const view = (data: Float32Array, [tokens, features]: readonly [number, number]): Tensor =>
    tensor(data, { shape: [data.length / (tokens * features), tokens, features], copy: false });
  return [view(temporal, shape.temporal), view(spatial, shape.spatial)];
}

type Encoder = (temporal: Tensor, spatial: Tensor) => Promise<Tensor>;

const encoders = new WeakMap<HiCo, Encoder>();

/** The query network without dropout, compiled once for a model whatever its weights come to be. */
function encoderOf(model: HiCo): Encoder {
  let encode = encoders.get(model);
  if (!encode) {
    const network = model.encoder_q;
    encode = compile((t: Tensor, s: Tensor) => {
      const { training } = network;
      network.eval();
      const features = noGrad(() => network.features(t, s));
      network.train(training);
      return features;
    });
    encoders.set(model, encode);
  }
  return encode;
}

/**
 * The input itself as features of these `clips` of the store: time-majored coordinates, resampled. What a
 * representation has to beat.
 */
export async function rawFeatures(
  store: ClipStore,
  clips: readonly number[],
  options: FeatureOptions,
): Promise<FeatureTable> {
  const { temporal } = inputShape(store.header.layout, options.inputs);
  const width = temporal[0] * temporal[1];
  const table = emptyTable(store, clips, width);
  for await (const { batch, first } of evaluationBatches(store, clips, options)) {
    table.data.set(batch.temporal.subarray(0, batch.count * width), first * width);
  }
  return table;
}

function emptyTable(store: ClipStore, clips: readonly number[], width: number): FeatureTable {
  const labels = Int32Array.from(clips, (clip) => store.label(clip));
  return { data: new Float32Array(clips.length * width), rows: clips.length, width, labels, clips };
}

/** The fixed views of clips, batch by batch; `first` is the row that a batch begins with. */
export async function* evaluationBatches(
  store: ClipStore,
  clips: readonly number[],
  { inputs, batch = 64, workers }: FeatureOptions,
): AsyncGenerator<{ readonly batch: EvaluationBatch; readonly first: number }> {
  const plan = { kind: "evaluation", clips, batch, inputs } as const;
  const until = batchesOf(plan);
  const loader = new Loader<EvaluationBatch>(
    { store: store.path, plan },
    { from: 0, until, workers: workers ?? (until > FEW_BATCHES ? 1 : 0) },
  );
  try {
    for (let first = 0; ; first += batch) {
      // Without threads nothing else waits: signals are heard between turns of the event loop only.
      await new Promise(setImmediate);
      const next = await loader.next();
      if (!next) return;
      yield { batch: next, first };
    }
  } finally {
    await loader.close();
  }
}
