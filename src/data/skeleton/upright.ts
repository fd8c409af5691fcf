/**
 * Centring and turning that leave upright bodies upright.
 *
 * The place and the heading of the main person are medians over a clip, so that one crooked frame moves nothing. Centring
 * and yaw turn about the sensor's upright axis alone: whoever leans in the room leans as much afterwards. Cameras that look
 * down, each at an angle of its own, are levelled by `upright`: the long spine, from the middle of the hips to that of the
 * shoulders, stands upright in the median of the frames in which the body is not bent or lying. Results stand along +z,
 * as those of the published normalisation do; where the sensor has y upright that is the exchange (x, -z, y), which
 * changes no distance.
 */
import type { Clip } from "./clip.ts";
import { isPresent, presentFrames } from "./clip.ts";
import type { SkeletonLayout } from "./layout.ts";
import { isLost } from "./missing.ts";
import { fillEmptyFrames } from "./normalize.ts";

/** How clips are normalised; `full` is the published form for NTU RGB+D. */
export const NORMALIZATIONS = ["none", "centre", "yaw", "upright", "full"] as const;
/** Whether normalisation of this `kind` takes centre and heading by clip or by frame. */
export const perClipOrFrame = (kind: Normalization): boolean => kind !== "none" && kind !== "full";
/** How clips are pre-normalised. */
export type Normalization = (typeof NORMALIZATIONS)[number];

/** One place and heading for a clip, or one for each of its frames. */
export const NORMALIZED_PER = ["clip", "frame"] as const;
/** Whether a clip is placed by its first frame or every frame by itself. */
export type NormalizedPer = (typeof NORMALIZED_PER)[number];

/** What a `normalization` did to clips, in words, `per` clip or per frame. */
export function normalizationWords(normalization: Normalization, per: NormalizedPer = "clip"): string {
  if (normalization === "none") return "not normalised";
  const each = !perClipOrFrame(normalization) ? "" : per === "frame" ? ", frame by frame" : ", clip by clip";
  return `normalised (${normalization}${each})`;
}

/** How upright normalisation is done. */
export interface UprightOptions {
  readonly per?: NormalizedPer;
  /** The sensor's upright axis. Default y, as Kinect and BVH have it. */
  readonly up?: "y" | "z";
  /**
   * For every joint how much of it was lost and is filled, 0 to 1 in its x, in frames as they stand once empty ones are
   * filled. A frame tells of the camera's tilt by as much of the spine as was seen in it. Default: all seen.
   */
  readonly filled?: Clip;
}

type Pair = readonly [left: number, right: number];
type Vector = [number, number, number];

/** A copy with the main person's centre at the origin, standing along z. */
export function centreClip(clip: Clip, layout: SkeletonLayout, options: UprightOptions = {}): Clip {
  const out = fillEmptyFrames(clip);
  if ((options.up ?? "y") === "y") standAlongZ(out);
  const frames = mainFrames(out);
  const places = frames.map((t) => placeOf(out, t, layout.axes.centre));
  const place = overTime(out, frames, places, options.per);
  eachJoint(out, (at, t) => {
    const [x, y, z] = place(t);
    out.data[at] -= x;
    out.data[at + 1] -= y;
    out.data[at + 2] -= z;
  });
  return out;
}

/** A copy that is centred and turned about the upright axis until the main person's right lies along +x. */
export function yawClip(clip: Clip, layout: SkeletonLayout, options: UprightOptions = {}): Clip {
  return turned(centreClip(clip, layout, options), layout, options);
}

/** A copy that is centred, levelled by the main person's long spine over the clip, and turned as `yawClip` turns. */
export function uprightClip(clip: Clip, layout: SkeletonLayout, options: UprightOptions = {}): Clip {
  const out = centreClip(clip, layout, options);
  level(out, layout, options.filled);
  return turned(out, layout, options);
}

/** Beyond this many degrees from upright a body is bent or lying, and says nothing of how the camera stands. */
const BENT = 45;

/** Turns all bodies, in place, by the least turn that takes the main person's median long spine upright. */
function level(clip: Clip, layout: SkeletonLayout, filled: Clip | undefined): void {
  const ends = spineEnds(layout);
  const spines = mainFrames(clip).flatMap((t) => {
    const spine = spineOf(clip, t, ends);
    return spine ? [{ spine, weight: seenShare(clip, t, ends.flat(), filled) }] : [];
  });
  const standing = spines.filter(({ spine: [, , z] }) => z > Math.cos((BENT * Math.PI) / 180));
  if (standing.length === 0) return;
  const weights = standing.map(({ weight }) => weight);
  const up = [0, 1, 2].map((c) =>
    median(
      standing.map(({ spine }) => spine[c]),
      weights,
    ),
  );
  const length = Math.hypot(...up);
  const [x, y, z] = up.map((value) => value / length);
  // Rodrigues' turn from (x, y, z) to (0, 0, 1).
  const f = 1 / (1 + z);
  eachJoint(clip, (at) => {
    const [a, b, c] = clip.data.subarray(at, at + 3);
    clip.data[at] = (1 - f * x * x) * a - f * x * y * b - x * c;
    clip.data[at + 1] = -f * x * y * a + (1 - f * y * y) * b - y * c;
    clip.data[at + 2] = x * a + y * b + z * c;
  });
}

/**
 * The hips and the shoulders, with the ends of the spine between them where the layout has such: more joints, so that one
 * that is lost and guessed turns less. Where there are none of two sides, what the layout's upright axis goes between.
 */
function spineEnds(layout: SkeletonLayout): readonly [low: readonly number[], high: readonly number[]] {
  const [trunk] = sidePairs(layout);
  const joints = (word: RegExp): number[] => trunk.filter(([left]) => word.test(layout.joints[left])).flat();
  const [hips, shoulders] = [joints(/hip/i), joints(/shoulder/i)];
  if (hips.length === 0 || shoulders.length === 0) return layout.axes.up;
  const between = (...names: string[]): number[] =>
    layout.joints.flatMap((joint, v) => (names.includes(joint.toLowerCase()) ? [v] : []));
  return [
    [...hips, ...between("spinebase", "hipcenter", "pelvis")],
    [...shoulders, ...between("spineshoulder", "shouldercenter")],
  ];
}

/** The direction from the middle of the low end to that of the high one, by the joints that are there. */
function spineOf(
  clip: Clip,
  t: number,
  [from, to]: readonly [readonly number[], readonly number[]],
): Vector | undefined {
  const start = (t * clip.persons + mainPerson(clip)) * clip.joints * 3;
  const middle = (all: readonly number[]): Vector | undefined => {
    const there = all.filter((v) => !isLost(clip.data, start + v * 3));
    if (there.length === 0) return undefined;
    return [0, 1, 2].map(
      (c) => there.reduce((sum, v) => sum + clip.data[start + v * 3 + c], 0) / there.length,
    ) as Vector;
  };
  const [low, high] = [middle(from), middle(to)];
  if (!low || !high) return undefined;
  const spine = high.map((value, c) => value - low[c]);
  const length = Math.hypot(...spine);
  return length < 1e-6 ? undefined : (spine.map((value) => value / length) as Vector);
}

/** The clip, turned in place about the upright axis until the main person's right lies along +x. */
function turned(out: Clip, layout: SkeletonLayout, options: UprightOptions): Clip {
  const frames = mainFrames(out);
  const [trunk, limbs] = sidePairs(layout);
  const headings = frames.map((t) => headingOf(out, t, trunk) ?? headingOf(out, t, limbs) ?? ([0, 0, 0] as Vector));
  const known = headings.map((heading, i) => ({ heading, t: frames[i] })).filter(({ heading: [x, y] }) => x || y);
  const heading = overTime(
    out,
    known.map(({ t }) => t),
    known.map(({ heading: found }) => found),
    options.per,
  );
  eachJoint(out, (at, t) => {
    const [hx, hy] = heading(t);
    const length = Math.hypot(hx, hy);
    if (length < 1e-6) return;
    const [cos, sin] = [hx / length, hy / length];
    const [x, y] = [out.data[at], out.data[at + 1]];
    out.data[at] = cos * x + sin * y;
    out.data[at + 1] = cos * y - sin * x;
  });
  return out;
}

/** Left and right joints of hips and shoulders, and of everything else that has two sides. */
export function sidePairs(layout: SkeletonLayout): readonly [trunk: readonly Pair[], others: readonly Pair[]] {
  const sided = layout.joints.flatMap((name, left): Pair[] => {
    const other = name.replace(/left/gi, (word) => (word[0] === "L" ? "Right" : "right"));
    const right = other === name ? -1 : layout.joints.findIndex((n) => n.toLowerCase() === other.toLowerCase());
    return right < 0 ? [] : [[left, right]];
  });
  const ofTrunk = ([left]: Pair): boolean => /hip|shoulder/i.test(layout.joints[left]);
  const trunk = sided.filter(ofTrunk);
  const [left, right] = layout.axes.across;
  const named = left.flatMap((joint, i): Pair[] => (i < right.length ? [[joint, right[i]]] : []));
  return [trunk.length > 0 ? trunk : named, sided.filter((pair) => !ofTrunk(pair))];
}

/** The level direction from left to right, of length 1, over the pairs that are there. */
function headingOf(clip: Clip, t: number, pairs: readonly Pair[]): Vector | undefined {
  const start = (t * clip.persons + mainPerson(clip)) * clip.joints * 3;
  let [x, y] = [0, 0];
  for (const [left, right] of pairs) {
    const [from, to] = [start + left * 3, start + right * 3];
    if (isLost(clip.data, from) || isLost(clip.data, to)) continue;
    x += clip.data[to] - clip.data[from];
    y += clip.data[to + 1] - clip.data[from + 1];
  }
  const length = Math.hypot(x, y);
  return length < 1e-6 ? undefined : [x / length, y / length, 0];
}

/** The mean of the centre's joints that are there, else of all joints that are. */
function placeOf(clip: Clip, t: number, centre: readonly number[]): Vector {
  const start = (t * clip.persons + mainPerson(clip)) * clip.joints * 3;
  const there = (joints: readonly number[]): number[] => joints.filter((v) => !isLost(clip.data, start + v * 3));
  let joints = there(centre);
  if (joints.length === 0) joints = there(Array.from({ length: clip.joints }, (_, v) => v));
  const mean: Vector = [0, 0, 0];
  for (const v of joints) for (let c = 0; c < 3; c++) mean[c] += clip.data[start + v * 3 + c] / joints.length;
  return mean;
}

/** The first person who is there at all. */
function mainPerson(clip: Clip): number {
  for (let m = 0; m < clip.persons; m++) if (presentFrames(clip, m).length > 0) return m;
  return 0;
}

const mainFrames = (clip: Clip): number[] => presentFrames(clip, mainPerson(clip));

/** Filled joints are guesses, but better than nothing where none was seen. */
const LEAST = 1e-3;

/** How much of some of the main person's joints was seen in a frame rather than filled, 0 to 1. */
function seenShare(clip: Clip, t: number, joints: readonly number[], filled: Clip | undefined): number {
  if (!filled) return 1;
  const start = (t * clip.persons + mainPerson(clip)) * clip.joints * 3;
  const lost = joints.reduce((sum, v) => sum + filled.data[start + v * 3], 0);
  return Math.max(LEAST, 1 - lost / Math.max(1, joints.length));
}

/** The median of each coordinate over a clip, or the vector of the nearest known frame. */
function overTime(
  clip: Clip,
  frames: readonly number[],
  vectors: readonly Vector[],
  per: NormalizedPer = "clip",
): (t: number) => Vector {
  if (vectors.length === 0) return () => [0, 0, 0];
  if (per === "clip") {
    const middle = [0, 1, 2].map((c) => median(vectors.map((vector) => vector[c]))) as Vector;
    return () => middle;
  }
  let at = 0;
  const nearest = Array.from({ length: clip.frames }, (_, t) => {
    while (at + 1 < frames.length && Math.abs(frames[at + 1] - t) <= Math.abs(frames[at] - t)) at++;
    return vectors[at];
  });
  return (t) => nearest[t];
}

/** The value on both sides of which weights are alike: the plain median where all are. */
function median(values: readonly number[], weights: readonly number[] = values.map(() => 1)): number {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  const half = order.reduce((sum, i) => sum + weights[i], 0) / 2;
  let below = 0;
  for (const [at, i] of order.entries()) {
    below += weights[i];
    if (below === half) return (values[i] + values[order[at + 1]]) / 2;
    if (below > half) return values[i];
  }
  return values[order.at(-1)!];
}

function standAlongZ(clip: Clip): void {
  eachJoint(clip, (at) => {
    const [y, z] = [clip.data[at + 1], clip.data[at + 2]];
    clip.data[at + 1] = -z;
    clip.data[at + 2] = y;
  });
}

/** Every joint of bodies that are there, with its frame. */
function eachJoint(clip: Clip, visit: (at: number, t: number) => void): void {
  const stride = clip.joints * 3;
  for (let t = 0; t < clip.frames; t++) {
    for (let m = 0; m < clip.persons; m++) {
      if (!isPresent(clip, t, m)) continue;
      const start = (t * clip.persons + m) * stride;
      for (let at = start; at < start + stride; at += 3) visit(at, t);
    }
  }
}
