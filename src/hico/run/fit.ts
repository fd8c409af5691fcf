/**
 * Sizes of a run that fit its data and device, where nobody names them.
 *
 * The paper's sizes are for 40,000 clips and a GPU. A small set is given steps rather than epochs: the key network,
 * an average with momentum m, needs some multiples of 1 / (1 − m) steps before it follows the query network at all, and
 * a queue should not hold much more than the set does. A smaller width is what a CPU trains in minutes.
 */
import { ClipStore } from "../../data/store/store.ts";
import { clipsOf } from "./clips.ts";
import type { SplitSettings } from "./clips.ts";
import type { GivenSettings, RunSettings } from "./settings.ts";

/** Training clips from which on the paper's epochs, queue and momentum are taken. */
const LARGE = 10_000;
/** Steps that a small set is given. */
const STEPS = 1500;

/** The training clips of the store that these settings name. */
export function trainingClips(settings: SplitSettings & Pick<RunSettings, "data">): number {
  const store = ClipStore.open(settings.data);
  try {
    return clipsOf(store, "train", settings).length;
  } finally {
    store.close();
  }
}

/** The largest power of two that is at most `n`, and at least 1. */
const powerOfTwo = (n: number): number => 2 ** Math.max(0, Math.floor(Math.log2(n)));

/**
 * Settings for so many training clips.
 * @param gpu whether a GPU trains
 * @param given what a user names, which the rest is made to fit
 */
export function fittedSettings(
  clips: number,
  gpu: boolean,
  given: { readonly epochs?: number; readonly batch?: number } = {},
): GivenSettings {
  const width = gpu ? {} : { encoder: "gru", hidden: 128 };
  if (clips >= LARGE) return width;
  // At least four steps an epoch, so that an epoch leaves out less than a fourth of the clips.
  const batch = given.batch ?? Math.min(64, powerOfTwo(clips / 4));
  const perEpoch = Math.max(1, Math.floor(clips / batch));
  const epochs = given.epochs ?? Math.ceil(STEPS / perEpoch);
  const queue = Math.min(2048, Math.max(batch, powerOfTwo(clips / 2)));
  return {
    ...width,
    batch,
    epochs,
    // A batch of a user's own need not be a power of two; the queue takes whole ones.
    queue: Math.max(1, Math.floor(queue / batch)) * batch,
    keyMomentum: momentumFor(epochs * perEpoch),
  };
}

/** A momentum that lets the key network follow the query network within so many steps: 15 time constants of them. */
function momentumFor(steps: number): number {
  return Number((1 - Math.min(0.1, Math.max(0.001, 15 / steps))).toFixed(3));
}

/** A batch that a preset or a file names, made to fit a store that is smaller. */
export function fittedBatch(batch: number, clips: number): number {
  return batch <= clips ? batch : powerOfTwo(clips);
}
