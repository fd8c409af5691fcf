/**
 * Poses in pictures as clips: a plane at depth 0, upright, scaled by the body.
 *
 * A picture's x grows to the right and y down; both are turned, so that a clip stands as a Kinect's do: y up, and the
 * right hand of who faces the camera at greater x. There is no metre in a picture, so a clip takes its
 * scale from the body: the line from hips to shoulders, median over frames and bodies, is 0.5 m, as in an adult. Where
 * it is never seen, the taller side of the box around a body is 1.7 m.
 */
import { presentFrames, type Clip } from "../../skeleton/clip.ts";
import { isLost } from "../../skeleton/missing.ts";
import type { SkeletonLayout } from "../../skeleton/layout.ts";

/** Metres from between the hips to between the shoulders, and of a body from head to foot. */
const [TRUNK, HEIGHT] = [0.5, 1.7];

/** Turns picture coordinates (x right, y down; z is what the clip has) to metres, in place. */
export function standInPlane(clip: Clip, layout: SkeletonLayout): Clip {
  const { data, persons, joints } = clip;
  const [trunks, boxes]: [number[], number[]] = [[], []];
  const starts: number[] = [];
  for (let m = 0; m < persons; m++)
    for (const t of presentFrames(clip, m)) {
      const start = (t * persons + m) * joints * 3;
      starts.push(start);
      const [from, to] = layout.axes.up.map((anchor) => meanOf(data, start, anchor));
      const trunk = Math.hypot(to[0] - from[0], to[1] - from[1]);
      if (trunk > 0) trunks.push(trunk);
      const box = sideOf(data, start, joints);
      if (box > 0) boxes.push(box);
    }
  const [lengths, metres] = trunks.length > 0 ? [trunks, TRUNK] : [boxes, HEIGHT];
  lengths.sort((a, b) => a - b);
  const scale = lengths.length === 0 ? 1 : metres / lengths[lengths.length >> 1];
  for (const start of starts)
    for (let at = start; at < start + joints * 3; at += 3) {
      if (isLost(data, at)) continue;
      data[at] *= -scale;
      data[at + 1] *= -scale;
      data[at + 2] *= scale;
    }
  return clip;
}

function meanOf(data: Float32Array, start: number, anchor: readonly number[]): [number, number] {
  const mean: [number, number] = [0, 0];
  for (const v of anchor) for (let c = 0; c < 2; c++) mean[c] += data[start + v * 3 + c] / anchor.length;
  return mean;
}

/** The longer side of the box around a body, 0 where nothing is seen. */
function sideOf(data: Float32Array, start: number, joints: number): number {
  let longest = 0;
  for (let c = 0; c < 2; c++) {
    let [low, high] = [Infinity, -Infinity];
    for (let at = start; at < start + joints * 3; at += 3) {
      if (isLost(data, at)) continue;
      [low, high] = [Math.min(low, data[at + c]), Math.max(high, data[at + c])];
    }
    longest = Math.max(longest, high - low);
  }
  return longest;
}
