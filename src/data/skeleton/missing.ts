/**
 * Joints that were not seen: a state of their own, from the reader to the store.
 *
 * In a clip a lost joint of a body that is there is NaN in x, y and z; an absent body is all zeros. Formats that write a
 * lost joint as (0, 0, 0) say so when they are read (`zerosAreLost`); everywhere else zero is a place. Preparation fills
 * lost joints in two steps: between the frames around in which the same joint was seen, and, for a joint that is lost in
 * the whole clip, from its nearest neighbours along the bones.
 */
import type { Clip } from "./clip.ts";
import { presentFrames } from "./clip.ts";
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

/** Per frame, person and joint 1 where it was not seen; undefined where all were. */
export function lostJoints({ data }: Clip): Uint8Array | undefined {
  let flags: Uint8Array | undefined;
  for (let at = 0; at < data.length; at += 3)
    if (isLost(data, at)) (flags ??= new Uint8Array(data.length / 3))[at / 3] = 1;
  return flags;
}

/**
 * Fills lost joints in place between the frames around in which the same joint was seen, by the time between them;
 * before the first and after the last it is held. A joint that is lost in all frames stays lost. Of several persons, one
 * of whom nothing is seen at either end of the clip is absent there; one of whom nothing is ever seen is absent.
 * @returns how many joints were filled
 */
export function fillInTime(clip: Clip): number {
  const { data, persons, joints } = clip;
  const place = (t: number, m: number, v: number): number => ((t * persons + m) * joints + v) * 3;
  let filled = 0;
  for (let m = 0; m < persons; m++) {
    let present = presentFrames(clip, m);
    const seenAt = present.filter((t) => {
      for (let v = 0; v < joints; v++) if (!isLost(data, place(t, m, v))) return true;
      return false;
    });
    const [first, last] = [seenAt[0] ?? Infinity, seenAt.at(-1) ?? -1];
    if (persons > 1 || seenAt.length === 0) {
      for (const t of present) if (t < first || t > last) data.fill(0, place(t, m, 0), place(t, m, joints));
      present = present.filter((t) => t >= first && t <= last);
    }
    for (let v = 0; v < joints; v++) {
      const seen = present.filter((t) => !isLost(data, place(t, m, v)));
      if (seen.length === 0 || seen.length === present.length) continue;
      let next = 0;
      for (const t of present) {
        while (next < seen.length && seen[next] < t) next++;
        if (seen[next] === t) continue;
        const after = seen[Math.min(next, seen.length - 1)];
        const before = seen[Math.max(next - 1, 0)];
        const share = after > before ? (Math.min(Math.max(t, before), after) - before) / (after - before) : 0;
        const [to, from, until] = [place(t, m, v), place(before, m, v), place(after, m, v)];
        for (let c = 0; c < 3; c++) data[to + c] = (1 - share) * data[from + c] + share * data[until + c];
        filled++;
      }
    }
  }
  return filled;
}

/**
 * Fills what is still lost in place, frame by frame: the mean of the nearest joints that are there in each direction
 * along the bones, weighted by one over the bones between; of the whole body where no bone leads to one.
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

/** The first joint that is there in each direction along the bones from `v`, and how many bones away. */
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
