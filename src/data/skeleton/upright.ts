/**
 * Centring and turning that leave upright bodies upright.
 *
 * The place and the heading of the main person are medians over a clip, so that one crooked frame moves nothing, and the
 * only turn is about the sensor's upright axis: whoever leans in the room leans as much afterwards. Results stand along
 * +z, as those of the published normalisation do; where the sensor has y upright that is the exchange (x, -z, y), which
 * changes no distance.
 */
import type { Clip } from "./clip.ts";
import { isPresent, presentFrames } from "./clip.ts";
import type { SkeletonLayout } from "./layout.ts";
import { isLost } from "./missing.ts";
import { fillEmptyFrames } from "./normalize.ts";

/** How clips are normalised; `full` is the published form for NTU RGB+D. */
export const NORMALIZATIONS = ["none", "centre", "yaw", "full"] as const;
/** How clips are pre-normalised. */
export type Normalization = (typeof NORMALIZATIONS)[number];

/** One place and heading for a clip, or one for each of its frames. */
export const NORMALIZED_PER = ["clip", "frame"] as const;
/** Whether a clip is placed by its first frame or every frame by itself. */
export type NormalizedPer = (typeof NORMALIZED_PER)[number];

/** What was done to clips, in words. */
export function normalizationWords(normalization: Normalization, per: NormalizedPer = "clip"): string {
  if (normalization === "none") return "not normalised";
  const each = normalization === "full" ? "" : per === "frame" ? ", frame by frame" : ", clip by clip";
  return `normalised (${normalization}${each})`;
}

/** How upright normalisation is done. */
export interface UprightOptions {
  readonly per?: NormalizedPer;
  /** The sensor's upright axis. Default y, as Kinect and BVH have it. */
  readonly up?: "y" | "z";
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
  const out = centreClip(clip, layout, options);
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

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
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
