/**
 * A joint that was not seen: what a reader writes in place of its coordinates.
 *
 * Readers know which joints a sensor lost; what stands for one in a clip is decided here alone.
 */
import type { Clip } from "./clip.ts";
import { presentFrames } from "./clip.ts";

/** Marks the joint whose x lies at `data[at]` as not seen. */
export function markMissing(data: Float32Array, at: number): void {
  data.fill(0, at, at + 3);
}

/** Whether the joint whose x lies at `data[at]` is not there: marked as not seen, or of an absent person. */
export function isLost(data: Float32Array, at: number): boolean {
  return (data[at] === 0 && data[at + 1] === 0 && data[at + 2] === 0) || Number.isNaN(data[at]);
}

/** Puts a joint's coordinates at `data[at]`; (0, 0, 0) is the sensor's own place, where formats put a lost joint. */
export function putJoint(data: Float32Array, at: number, x: number, y: number, z: number): void {
  if (x === 0 && y === 0 && z === 0) return markMissing(data, at);
  data[at] = x;
  data[at + 1] = y;
  data[at + 2] = z;
}

/**
 * Fills lost joints of a body that is there, in place, by interpolation in time between the frames around in which the
 * same joint was seen; before the first and after the last it is held. Returns how many were filled. A joint at zero
 * in all frames is left: it may be the origin that the clip is given in.
 */
export function fillMissing(clip: Clip): number {
  const { data, persons, joints } = clip;
  const lost = (at: number): boolean => data[at] === 0 && data[at + 1] === 0 && data[at + 2] === 0;
  let filled = 0;
  for (let m = 0; m < persons; m++) {
    const present = presentFrames(clip, m);
    for (let v = 0; v < joints; v++) {
      const place = (t: number): number => ((t * persons + m) * joints + v) * 3;
      const seen = present.filter((t) => !lost(place(t)));
      if (seen.length === 0 || seen.length === present.length) continue;
      let next = 0;
      for (const t of present) {
        while (next < seen.length && seen[next] < t) next++;
        if (seen[next] === t) continue;
        const after = seen[Math.min(next, seen.length - 1)];
        const before = seen[Math.max(next - 1, 0)];
        const share = after > before ? (Math.min(Math.max(t, before), after) - before) / (after - before) : 0;
        for (let c = 0; c < 3; c++) {
          data[place(t) + c] = (1 - share) * data[place(before) + c] + share * data[place(after) + c];
        }
        filled++;
      }
    }
  }
  return filled;
}
