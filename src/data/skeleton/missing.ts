/**
 * Joints that were not seen: a state of their own, from the reader to the store.
 *
 * In a clip a lost joint of a body that is there is NaN in x, y and z; an absent body is all zeros. Formats that write a
 * lost joint as (0, 0, 0) say so when they are read (`zerosAreLost`); everywhere else zero is a place. Preparation fills
 * lost joints in two steps: between the frames around in which the same joint was seen, and, for a joint that is lost in
 * the whole clip, from its nearest neighbours along the bones.
 */
import type { Clip } from "./clip.ts";
import { personStride, presentFrames, sliceFrames } from "./clip.ts";
import type { SkeletonLayout } from "./layout.ts";

/** Marks the joint whose x lies at `data[at]` as not seen. */
export function markMissing(data: Float32Array, at: number): void {
  data.fill(NaN, at, at + 3);
}

/** Whether the joint whose x lies at `data[at]` was not seen. */
export function isLost(data: Float32Array, at: number): boolean {
  return Number.isNaN(data[at]);
}

/** Whether the layout's sensor writes (0, 0, 0) for a joint that it does not track: Kinect v1 and v2, and SBU's OpenNI. */
export function losesAtZero(layout: SkeletonLayout): boolean {
  return ["ntu25", "kinect-v1-20", "sbu15"].includes(layout.name);
}

/** Joints at zero throughout a clip that may be the origin it is given in, and are then not lost: centre and roots. */
export function originJoints({ axes, parents }: SkeletonLayout): number[] {
  return parents.flatMap((parent, v) => (parent < 0 || axes.centre.includes(v) ? [v] : []));
}

/**
 * Marks joints at (0, 0, 0) of bodies that have others elsewhere, in place. A body that is zero as a whole is absent.
 * @param origins joints that are a place where they lie at zero in every frame
 */
export function zerosAreLost(clip: Clip, origins: readonly number[] = []): void {
  const { data, joints, persons } = clip;
  const isZero = (at: number): boolean => data[at] === 0 && data[at + 1] === 0 && data[at + 2] === 0;
  for (let m = 0; m < persons; m++) {
    const present = presentFrames(clip, m);
    for (let v = 0; v < joints; v++) {
      const zeros = present.map((t) => ((t * persons + m) * joints + v) * 3).filter(isZero);
      if (zeros.length === present.length && origins.includes(v)) continue;
      for (const at of zeros) markMissing(data, at);
    }
  }
}

/**
 * The clip from the first frame in which anybody is seen to the last. In a frame between them in which nobody is, whoever
 * is seen before and after was there and lost: all joints of theirs are marked so, in place, to be filled in time.
 * @returns the clip itself where somebody is seen at both ends
 */
export function closeEmptyFrames(clip: Clip): Clip {
  const { data, frames, persons } = clip;
  const stride = personStride(clip);
  const spans = Array.from({ length: persons }, (_, m) => presentFrames(clip, m)).map((all) => [all[0], all.at(-1)]);
  const first = Math.min(...spans.map(([from]) => from ?? frames));
  const last = Math.max(...spans.map(([, to]) => to ?? -1));
  for (let t = first + 1; t < last; t++) {
    const frame = t * persons * stride;
    if (data.subarray(frame, frame + persons * stride).some((value) => value !== 0)) continue;
    spans.forEach(([from = Infinity, to = -1], m) => {
      if (from < t && t < to) data.fill(NaN, frame + m * stride, frame + (m + 1) * stride);
    });
  }
  return first > last || (first === 0 && last === frames - 1) ? clip : sliceFrames(clip, first, last + 1);
}

/** Per frame, person and joint 1 where it was not seen; undefined where all were. */
export function lostJoints({ data }: Clip): Uint8Array | undefined {
  let flags: Uint8Array | undefined;
  for (let at = 0; at < data.length; at += 3)
    if (isLost(data, at)) (flags ??= new Uint8Array(data.length / 3))[at / 3] = 1;
  return flags;
}

/** How much a neighbour says of a lost joint: seen in that frame, filled itself, and the middle of the body. */
const [SEEN, FILLED, MIDDLE] = [1, 0.2, 0.1];
/** Rounds after which filled joints no longer move. */
const ROUNDS = 3;

/**
 * Fills lost joints in place by interpolation in time: where the joint was seen before and after, relative to its
 * neighbours along the bones and to the middle of the body, so that it goes where the body goes; before the first and
 * after the last frame in which it was seen that relation is held. A joint that is lost in all frames stays lost. Of
 * several persons, one of whom nothing is seen at either end of the clip is absent there; one of whom nothing is ever
 * seen is absent. `parents` has each joint's parent, -1 for a root.
 *
 * @returns how many joints were filled
 */
export function fillInTime(clip: Clip, parents: readonly number[]): number {
  const { data, persons, joints } = clip;
  let filled = 0;
  for (let m = 0; m < persons; m++) {
    const present = seenOf(clip, m);
    const tracks = Array.from({ length: joints }, (_, v) => {
      const at = Int32Array.from(present, (t) => ((t * persons + m) * joints + v) * 3);
      return { at, seen: Uint8Array.from(at, (place) => (isLost(data, place) ? 0 : 1)) };
    });
    const known = tracks.flatMap(({ seen }, v) => (seen.includes(1) ? [v] : []));
    const gaps = known.filter((v) => tracks[v].seen.includes(0));
    if (gaps.length === 0) continue;
    const values = tracks.map(({ at }) =>
      Float64Array.from({ length: present.length * 3 }, (_, i) => data[at[Math.floor(i / 3)] + (i % 3)]),
    );
    const nothing = new Float64Array(present.length * 3);
    for (const v of gaps) put(values[v], along(values[v], nothing, tracks[v].seen, present), tracks[v].seen);
    for (let round = 0; round < ROUNDS; round++) {
      const middle = middleOf(known.map((v) => values[v]));
      for (const v of gaps) put(values[v], along(values[v], middle, tracks[v].seen, present), tracks[v].seen);
    }
    for (let round = 0; round < ROUNDS; round++) {
      const middle = middleOf(known.map((v) => values[v]));
      const made = gaps.map((v) => {
        const { seen } = tracks[v];
        const sum = along(values[v], middle, seen, present).map((x) => MIDDLE * x);
        const weights = new Float64Array(present.length).fill(MIDDLE);
        for (const u of known) {
          if (parents[u] !== v && parents[v] !== u) continue;
          const both = seen.map((flag, i) => flag & tracks[u].seen[i]);
          const guess = along(values[v], values[u], both.includes(1) ? both : seen, present);
          for (let i = 0; i < weights.length; i++) {
            const weight = tracks[u].seen[i] ? SEEN : FILLED;
            weights[i] += weight;
            for (let c = 0; c < 3; c++) sum[i * 3 + c] += weight * guess[i * 3 + c];
          }
        }
        return sum.map((x, i) => x / weights[Math.floor(i / 3)]);
      });
      gaps.forEach((v, i) => put(values[v], made[i], tracks[v].seen));
    }
    for (const v of gaps) {
      tracks[v].seen.forEach((flag, i) => {
        if (flag) return;
        data.set(values[v].subarray(i * 3, i * 3 + 3), tracks[v].at[i]);
        filled++;
      });
    }
  }
  return filled;
}

/** The frames in which a person is there, once those of whom nothing was seen at either end are made absent. */
function seenOf(clip: Clip, m: number): number[] {
  const { data, persons, joints } = clip;
  const present = presentFrames(clip, m);
  const start = (t: number): number => (t * persons + m) * joints * 3;
  const some = present.filter((t) => {
    for (let v = 0; v < joints; v++) if (!isLost(data, start(t) + v * 3)) return true;
    return false;
  });
  if (persons === 1 && some.length > 0) return present;
  const [first, last] = [some[0] ?? Infinity, some.at(-1) ?? -1];
  for (const t of present) if (t < first || t > last) data.fill(0, start(t), start(t) + joints * 3);
  return present.filter((t) => t >= first && t <= last);
}

/** `base` plus what `values` is away from it in the frames of `seen`, interpolated by time and held at the ends. */
function along(values: Float64Array, base: Float64Array, seen: Uint8Array, times: readonly number[]): Float64Array {
  const out = new Float64Array(values.length);
  let before = -1;
  let after = seen.indexOf(1);
  for (let i = 0; i < seen.length; i++) {
    if (i === after) {
      before = i;
      after = seen.indexOf(1, i + 1);
    }
    const [from, to] = [before < 0 ? after : before, after < 0 ? before : after];
    const share = from === to ? 0 : (times[i] - times[from]) / (times[to] - times[from]);
    for (let c = 0; c < 3; c++) {
      const [a, b] = [values[from * 3 + c] - base[from * 3 + c], values[to * 3 + c] - base[to * 3 + c]];
      out[i * 3 + c] = base[i * 3 + c] + (1 - share) * a + share * b;
    }
  }
  return out;
}

function put(values: Float64Array, made: Float64Array, seen: Uint8Array): void {
  for (let i = 0; i < values.length; i++) if (!seen[Math.floor(i / 3)]) values[i] = made[i];
}

function middleOf(tracks: readonly Float64Array[]): Float64Array {
  return tracks[0].map((_, i) => tracks.reduce((sum, values) => sum + values[i], 0) / tracks.length);
}

/**
 * Fills what is still lost in place, frame by frame: the mean of the nearest joints that are there in each direction
 * along the bones, weighted by one over the bones between; of the whole body where no bone leads to one. `parents` has
 * each joint's parent, -1 for a root.
 *
 * @returns how many joints were filled
 */
export function fillFromBody(clip: Clip, parents: readonly number[]): number {
  const { data, persons, joints } = clip;
  let filled = 0;
  for (let body = 0; body < clip.frames * persons; body++) {
    const start = body * joints * 3;
    const lost = (v: number): boolean => isLost(data, start + v * 3);
    const gone = parents.flatMap((_, v) => (lost(v) ? [v] : []));
    if (gone.length === 0) continue;
    const values = gone.map((v) => {
      let near = nearestJoints(v, parents, (u) => !lost(u));
      if (near.length === 0) near = parents.flatMap((_, u) => (lost(u) ? [] : [{ joint: u, bones: 1 }]));
      const total = near.reduce((sum, { bones }) => sum + 1 / bones, 0);
      return [0, 1, 2].map((c) => near.reduce((sum, u) => sum + data[start + u.joint * 3 + c] / u.bones, 0) / total);
    });
    gone.forEach((v, i) => data.set(values[i].every(Number.isFinite) ? values[i] : [0, 0, 0], start + v * 3));
    filled += gone.length;
  }
  return filled;
}

/**
 * The first joint that is there in each direction along the bones from `v`, and how many bones away. `parents` has each
 * joint's parent, -1 for a root; `isThere` says of a joint whether it is there.
 */
export function nearestJoints(
  v: number,
  parents: readonly number[],
  isThere: (joint: number) => boolean,
): { readonly joint: number; readonly bones: number }[] {
  const found: { joint: number; bones: number }[] = [];
  const visited = new Set([v]);
  let ring = [v];
  for (let bones = 1; ring.length > 0; bones++) {
    const next: number[] = [];
    for (const at of ring) {
      for (let u = 0; u < parents.length; u++) {
        if (visited.has(u) || !(parents[u] === at || parents[at] === u)) continue;
        visited.add(u);
        if (isThere(u)) found.push({ joint: u, bones });
        else next.push(u);
      }
    }
    ring = next;
  }
  return found;
}
