/**
 * Model inputs from a store: clips read, augmented or cropped, as a stream, in both views, batch by batch.
 *
 * A batch is a function of its plan and its number alone: the order of an epoch and every draw come from (seed, epoch,
 * clip), so whichever thread makes it, and whether or not training was interrupted, it has the same bits.
 */
import { augmentClip, evaluationClip } from "./augment.ts";
import type { Clip } from "./clip.ts";
import type { AugmentationOptions } from "./draws.ts";
import { augmentationRandom, drawAugmentation, FRAMES_IN } from "./draws.ts";
import { CounterRandom } from "./rng.ts";
import type { ClipStore } from "./store.ts";
import type { Stream } from "./streams.ts";
import { spaceMajored } from "./views.ts";

export interface InputSettings {
  readonly stream: Stream;
  /** Frames, corruption and the rest of pretraining; evaluation takes its `size` only. */
  readonly augmentation?: AugmentationOptions;
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

/** The fixed view of `count` clips; what is left of a last batch is zeros. */
export interface EvaluationBatch {
  readonly kind: "evaluation";
  readonly count: number;
  readonly temporal: Float32Array;
  readonly spatial: Float32Array;
}

/** Which batches there are. All of it is plain data that can be sent to a thread. */
export type BatchPlan = {
  /** Clips of the store, by number. */
  readonly clips: readonly number[];
  readonly batch: number;
  readonly inputs: InputSettings;
} &
  /** Shuffled anew in every epoch; the last incomplete batch is dropped. */
  (
    | { readonly kind: "pretrain"; readonly seed: number }
    /** Once, in order. */
    | { readonly kind: "evaluation" }
  );

export function inputShape(
  layout: { readonly joints: readonly string[]; readonly persons: number },
  settings: InputSettings,
): InputShape {
  const frames = settings.augmentation?.size ?? FRAMES_IN;
  const tokens = layout.persons * layout.joints.length;
  return { temporal: [frames, tokens * 3], spatial: [tokens, frames * 3] };
}

/** Batches of an epoch, or of the one pass of evaluation. */
export function batchesOf({ kind, clips, batch }: BatchPlan): number {
  return kind === "pretrain" ? Math.floor(clips.length / batch) : Math.ceil(clips.length / batch);
}

/** The clips of an epoch in its own order. */
export function epochOrder(seed: number, epoch: number, clips: readonly number[]): number[] {
  return CounterRandom.fromSeed(seed)
    .fold(epoch)
    .distinct(clips.length, clips.length)
    .map((i) => clips[i]);
}

/** Makes the batches of a plan. */
export class BatchMaker {
  private order: { readonly epoch: number; readonly clips: readonly number[] } | undefined;

  constructor(
    private readonly store: ClipStore,
    private readonly plan: BatchPlan,
  ) {}

  /** Batch `number`, counted through all epochs. @throws DataError naming a damaged clip. */
  make(number: number): PretrainBatch | EvaluationBatch {
    return this.plan.kind === "pretrain" ? this.pretrain(number, this.plan.seed) : this.evaluation(number);
  }

  private pretrain(number: number, seed: number): PretrainBatch {
    const { batch, inputs } = this.plan;
    const perEpoch = batchesOf(this.plan);
    const epoch = Math.floor(number / perEpoch);
    if (this.order?.epoch !== epoch) this.order = { epoch, clips: epochOrder(seed, epoch, this.plan.clips) };
    const first = (number % perEpoch) * batch;
    const { layout } = this.store.header;
    const values = valuesOf(inputShape(layout, inputs));
    const room = (): Float32Array => new Float32Array(batch * values);
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
    this.order.clips.slice(first, first + batch).forEach((index, at) => {
      const clip = this.store.read(index);
      views.forEach(([temporal, spatial], view) => {
        const random = augmentationRandom(seed, epoch, index, view);
        const draw = drawAugmentation(random, clip.frames, clip.joints, inputs.augmentation);
        put(
          augmentClip(clip, draw, inputs.stream, layout.parents, inputs.augmentation),
          at * values,
          temporal,
          spatial,
        );
      });
    });
    return made;
  }

  private evaluation(number: number): EvaluationBatch {
    const { batch, clips, inputs } = this.plan;
    const { layout } = this.store.header;
    const values = valuesOf(inputShape(layout, inputs));
    const taken = clips.slice(number * batch, (number + 1) * batch);
    const temporal = new Float32Array(batch * values);
    const spatial = new Float32Array(batch * values);
    taken.forEach((index, at) => {
      const clip = evaluationClip(this.store.read(index), inputs.stream, layout.parents, inputs.augmentation?.size);
      put(clip, at * values, temporal, spatial);
    });
    return { kind: "evaluation", count: taken.length, temporal, spatial };
  }
}

function valuesOf({ temporal }: InputShape): number {
  return temporal[0] * temporal[1];
}

function put(clip: Clip, at: number, temporal: Float32Array, spatial: Float32Array): void {
  temporal.set(clip.data, at);
  spaceMajored(clip, spatial.subarray(at, at + clip.data.length));
}
