/**
 * Model inputs from a store: clips read, augmented or cropped, as a stream, in both views, batch by batch.
 *
 * A batch is a function of its plan and its number alone: the order of an epoch and every draw come from (seed, epoch,
 * clip), so whichever thread makes it, and whether or not training was interrupted, it has the same bits.
 */
import { augmentClip, evaluationClip } from "./augment.ts";
import type { Clip } from "../skeleton/clip.ts";
import { withPersons } from "../skeleton/clip.ts";
import type { AugmentationOptions } from "./draws.ts";
import { augmentationRandom, drawAugmentation, FRAMES_IN } from "./draws.ts";
import type { LayoutMap } from "../skeleton/layout-map.ts";
import { mapClip } from "../skeleton/layout-map.ts";
import { layoutMap } from "../skeleton/built-in-maps.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { CounterRandom } from "../rng.ts";
import type { ClipStore } from "../store/store.ts";
import type { Stream } from "../skeleton/streams.ts";
import { spaceMajored } from "./views.ts";

/** How clips become inputs of a network: the stream, and what training does to them. */
export interface InputSettings {
  readonly stream: Stream;
  /** Frames, corruption and the rest of training; evaluation takes its `size` only. */
  readonly augmentation?: AugmentationOptions;
  /**
   * What clips are brought to before anything else: joints by a built-in map, persons by leaving out the last ones or
   * adding absent ones. Default: the store's own layout.
   */
  readonly skeleton?: SkeletonLayout;
}

/** Sizes of one clip's input. */
export interface InputShape {
  /** [frames, M·V·C]. */
  readonly temporal: readonly [tokens: number, features: number];
  /** [M·V, frames·C]. */
  readonly spatial: readonly [tokens: number, features: number];
}

/** Two augmented views of each of `count` clips, float32, clip after clip. */
export interface PretrainBatch {
  readonly kind: "pretrain";
  readonly count: number;
  readonly queryTemporal: Float32Array;
  readonly querySpatial: Float32Array;
  readonly keyTemporal: Float32Array;
  readonly keySpatial: Float32Array;
}

/** One augmented view of each of `count` clips, and the class of each. */
export interface SupervisedBatch {
  readonly kind: "supervised";
  readonly count: number;
  readonly temporal: Float32Array;
  readonly spatial: Float32Array;
  readonly labels: Int32Array;
}

/** The fixed view of `count` clips; what is left of a last batch is zeros. */
export interface EvaluationBatch {
  readonly kind: "evaluation";
  readonly count: number;
  readonly temporal: Float32Array;
  readonly spatial: Float32Array;
}

/** A batch of any kind: for pretraining, for training with labels, for evaluation. */
export type InputBatch = PretrainBatch | SupervisedBatch | EvaluationBatch;

/** Which batches there are. All of it is plain data that can be sent to a thread. */
export type BatchPlan = {
  /** Clips of the store, by number. */
  readonly clips: readonly number[];
  readonly batch: number;
  readonly inputs: InputSettings;
} /** Shuffled anew in every epoch; the last incomplete batch is dropped. */ & (
  | { readonly kind: "pretrain"; readonly seed: number }
  /** Shuffled anew in every epoch; the last batch is filled up with the epoch's first clips, augmented otherwise. */
  | { readonly kind: "supervised"; readonly seed: number }
  /** Once, in order. */
  | { readonly kind: "evaluation" }
);

/**
 * Sizes of a network's inputs for a layout: frames T, and the features of a temporal token (M·V·C) and a spatial one
 * (T·C).
 */
export function inputShape(
  layout: { readonly joints: readonly string[]; readonly persons: number },
  settings: InputSettings,
): InputShape {
  const frames = settings.augmentation?.size ?? FRAMES_IN;
  const { persons, joints } = settings.skeleton ?? layout;
  const tokens = persons * joints.length;
  return { temporal: [frames, tokens * 3], spatial: [tokens, frames * 3] };
}

/** Batches of an epoch, or of the one pass of evaluation. */
export function batchesOf({ kind, clips, batch }: BatchPlan): number {
  return kind === "pretrain" ? Math.floor(clips.length / batch) : Math.ceil(clips.length / batch);
}

/** The `clips` in the order of this epoch, which follows from the `seed` and the epoch's number. */
export function epochOrder(seed: number, epoch: number, clips: readonly number[]): number[] {
  return CounterRandom.fromSeed(seed)
    .fold(epoch)
    .distinct(clips.length, clips.length)
    .map((i) => clips[i]);
}

/** Bytes of clips that a maker keeps, so that it need not read and check them again in the next epoch. */
const KEPT_BYTES = 64 * 2 ** 20;

/** Makes the batches of a plan. */
export class BatchMaker {
  #order: { readonly epoch: number; readonly clips: readonly number[] } | undefined;
  readonly #map: LayoutMap | undefined;
  readonly #kept = new Map<number, Clip>();
  #keptBytes = 0;

  /** @throws Error where no map leads from the store's layout to the skeleton of the plan. */
  readonly #store: ClipStore;
  readonly #plan: BatchPlan;
  constructor(store: ClipStore, plan: BatchPlan) {
    this.#store = store;
    this.#plan = plan;
    const { skeleton } = plan.inputs;
    this.#map = skeleton && layoutMap(store.header.layout, skeleton);
  }

  /**
   * Batch `number`, counted through all epochs. @throws DataError naming a damaged clip.
   *
   * @param spare memory of batches that are no longer needed, for this one to be made in; what is used is taken out
   */
  make(number: number, spare: ArrayBuffer[] = []): InputBatch {
    switch (this.#plan.kind) {
      case "pretrain":
        return this.#pretrain(number, this.#plan.seed, spare);
      case "supervised":
        return this.#supervised(number, this.#plan.seed, spare);
      default:
        return this.#evaluation(number);
    }
  }

  /** A clip as the skeleton that inputs are of. */
  #read(index: number): Clip {
    const known = this.#kept.get(index);
    if (known) return known;
    const stored = this.#store.read(index);
    const clip = this.#map ? withPersons(mapClip(stored, this.#map), this.#layout.persons) : stored;
    const bytes = clip.data.byteLength;
    if (this.#plan.kind !== "evaluation" && this.#keptBytes + bytes <= KEPT_BYTES) {
      this.#kept.set(index, clip);
      this.#keptBytes += bytes;
    }
    return clip;
  }

  get #layout(): SkeletonLayout {
    return this.#plan.inputs.skeleton ?? this.#store.header.layout;
  }

  /** Where in which epoch a batch begins, and the epoch's clips in their order. */
  #placeOf(number: number, seed: number): { epoch: number; first: number; order: readonly number[] } {
    const perEpoch = batchesOf(this.#plan);
    const epoch = Math.floor(number / perEpoch);
    if (this.#order?.epoch !== epoch) this.#order = { epoch, clips: epochOrder(seed, epoch, this.#plan.clips) };
    return { epoch, first: (number % perEpoch) * this.#plan.batch, order: this.#order.clips };
  }

  #pretrain(number: number, seed: number, spare: ArrayBuffer[]): PretrainBatch {
    const { batch, inputs } = this.#plan;
    const { epoch, first, order } = this.#placeOf(number, seed);
    const layout = this.#layout;
    const values = valuesOf(inputShape(layout, inputs));
    const room = (): Float32Array => roomFor(batch * values, spare);
    const made = {
      kind: "pretrain",
      count: batch,
      queryTemporal: room(),
      querySpatial: room(),
      keyTemporal: room(),
      keySpatial: room(),
    } as const;
    const views = [
      [made.queryTemporal, made.querySpatial],
      [made.keyTemporal, made.keySpatial],
    ] as const;
    order.slice(first, first + batch).forEach((index, at) => {
      const clip = this.#read(index);
      views.forEach(([temporal, spatial], view) => {
        const random = augmentationRandom(seed, epoch, index, view);
        const draw = drawAugmentation(random, clip.frames, clip.joints, inputs.augmentation);
        const own = temporal.subarray(at * values, (at + 1) * values);
        put(
          augmentClip(clip, draw, inputs.stream, layout.parents, inputs.augmentation, own),
          at * values,
          temporal,
          spatial,
        );
      });
    });
    return made;
  }

  #supervised(number: number, seed: number, spare: ArrayBuffer[]): SupervisedBatch {
    const { batch, inputs } = this.#plan;
    const { epoch, first, order } = this.#placeOf(number, seed);
    const layout = this.#layout;
    const values = valuesOf(inputShape(layout, inputs));
    const temporal = roomFor(batch * values, spare);
    const spatial = roomFor(batch * values, spare);
    const labels = new Int32Array(batch);
    for (let at = 0; at < batch; at++) {
      const place = first + at;
      const index = order[place % order.length];
      const clip = this.#read(index);
      const random = augmentationRandom(seed, epoch, index, Math.floor(place / order.length));
      const draw = drawAugmentation(random, clip.frames, clip.joints, inputs.augmentation);
      const own = temporal.subarray(at * values, (at + 1) * values);
      const view = augmentClip(clip, draw, inputs.stream, layout.parents, inputs.augmentation, own);
      put(view, at * values, temporal, spatial);
      labels[at] = this.#store.label(index);
    }
    return { kind: "supervised", count: batch, temporal, spatial, labels };
  }

  #evaluation(number: number): EvaluationBatch {
    const { batch, clips, inputs } = this.#plan;
    const layout = this.#layout;
    const values = valuesOf(inputShape(layout, inputs));
    const taken = clips.slice(number * batch, (number + 1) * batch);
    const temporal = new Float32Array(batch * values);
    const spatial = new Float32Array(batch * values);
    taken.forEach((index, at) => {
      const clip = evaluationClip(this.#read(index), inputs.stream, layout.parents, inputs.augmentation?.size);
      put(clip, at * values, temporal, spatial);
    });
    return { kind: "evaluation", count: taken.length, temporal, spatial };
  }
}

function valuesOf({ temporal }: InputShape): number {
  return temporal[0] * temporal[1];
}

/** Memory of so many numbers, which are all to be written. */
function roomFor(count: number, spare: ArrayBuffer[]): Float32Array {
  const at = spare.findIndex((buffer) => buffer.byteLength === 4 * count);
  return at < 0 ? new Float32Array(count) : new Float32Array(spare.splice(at, 1)[0]);
}

/** Writes both views of a clip, whose data may be where the first one goes already. */
function put(clip: Clip, at: number, temporal: Float32Array, spatial: Float32Array): void {
  if (clip.data.buffer !== temporal.buffer) temporal.set(clip.data, at);
  spaceMajored(clip, spatial.subarray(at, at + clip.data.length));
}
