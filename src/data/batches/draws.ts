/**
 * The random draws of one augmentation, apart from the arithmetic that uses them.
 *
 * A draw is plain data: it can be replayed from a file, sent to a worker, or shown. `drawAugmentation` makes one from
 * the counter-based generator in the distribution of HiCo (arXiv 2212.02082, section 4.2): a temporal crop, then with
 * probability 1/2 joint corruption, otherwise pose shear. Beyond the paper, `rotation` turns the body about the upright
 * axis, as another camera would see it.
 */
import { CounterRandom } from "../rng.ts";

/** Temporal crop: the drawn `scale` fixes the length (`cropLength`), `start` the first frame. */
export interface CropDraw {
  readonly scale: number;
  readonly start: number;
}

/** Joint corruption: `joints` are multiplied by `matrix` (row vector times row-major 3x3), or zeroed where null. */
export interface CorruptDraw {
  readonly kind: "corrupt";
  readonly joints: readonly number[];
  readonly matrix: readonly number[] | null;
}

/** Pose shear by a row-major 3x3 matrix S with ones on its diagonal: every joint x becomes S x. */
export interface ShearDraw {
  readonly kind: "shear";
  readonly matrix: readonly number[];
}

/** Everything random about one augmented view: the crop, the change of the joints, the turn. */
export interface AugmentationDraw {
  readonly crop: CropDraw;
  readonly spatial: CorruptDraw | ShearDraw;
  /** Angle about the upright axis (z of a normalised clip), in radians, before the rest. Default 0. */
  readonly turn?: number;
}

/** What augmentation may do to a clip, and how far. */
export interface AugmentationOptions {
  /** Frames after resizing. Default 64. */
  readonly size?: number;
  /** Least part of the valid frames kept by a crop. Default 0.1. */
  readonly minScale?: number;
  /** A crop is not shorter than this, nor longer than the clip. Default 64. */
  readonly minFrames?: number;
  /** How often joints are corrupted; otherwise the pose is sheared. Default 0.5. */
  readonly corruption?: number;
  /** Distinct joints that corruption touches. Default 3/5 of the joints: the 15 of 25 that HiCo uses. */
  readonly corruptJoints?: number;
  /** Entries of the shear and corruption matrices are drawn from (-amplitude, amplitude). Default 1. */
  readonly amplitude?: number;
  /** Turns are drawn from (-rotation, rotation), in degrees. Default 0: none, and nothing is drawn. */
  readonly rotation?: number;
}

/** Frames of an input where nothing else is said. */
export const FRAMES_IN = 64;

/** Length of a crop: floor(n * scale), at least `minFrames`, at most the n valid frames. */
export function cropLength(frames: number, scale: number, minFrames = FRAMES_IN): number {
  return Math.min(Math.max(Math.floor(frames * scale), minFrames), frames);
}

/** The row-major 3x3 shear matrix whose six off-diagonal entries are those of `s`, row by row. */
export function shearMatrix(s: readonly number[]): number[] {
  return [1, s[0], s[1], s[2], 1, s[3], s[4], s[5], 1];
}

/** One augmentation of a clip of `frames` valid frames and `joints` joints. */
export function drawAugmentation(
  random: CounterRandom,
  frames: number,
  joints: number,
  options: AugmentationOptions = {},
): AugmentationDraw {
  const corruptCount = options.corruptJoints ?? Math.round(0.6 * joints);
  if (corruptCount > joints)
    throw new RangeError(`corruption cannot touch ${corruptCount} joints (corruptJoints) of a skeleton of ${joints}`);
  const amplitude = options.amplitude ?? 1;
  const scale = random.between(options.minScale ?? 0.1, 1);
  const length = cropLength(frames, scale, options.minFrames ?? FRAMES_IN);
  const crop = { scale, start: random.integer(frames - length + 1) };
  const entries = (count: number): number[] =>
    Array.from({ length: count }, () => random.between(-amplitude, amplitude));
  const corrupted = (): CorruptDraw => {
    const zeroed = random.uniform() < 0.5;
    const touched = random.distinct(corruptCount, joints);
    return { kind: "corrupt", joints: touched, matrix: zeroed ? null : entries(9) };
  };
  const spatial =
    random.uniform() < (options.corruption ?? 0.5)
      ? corrupted()
      : ({ kind: "shear", matrix: shearMatrix(entries(6)) } as const);
  if (!options.rotation) return { crop, spatial };
  const most = (options.rotation / 180) * Math.PI;
  return { crop, spatial, turn: random.between(-most, most) };
}

/**
 * The generator of one view of one clip in one epoch of a run with this `seed`: the same draws whichever thread asks,
 * in whatever order. `view` is 0 for the query and 1 for the key.
 */
export function augmentationRandom(seed: number, epoch: number, clip: number, view: number): CounterRandom {
  return CounterRandom.fromSeed(seed).fold(epoch, clip, view);
}
