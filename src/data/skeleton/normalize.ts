/**
 * Pre-normalisation: puts clips of all cameras and places into one body-centred frame.
 *
 * The four steps used across the field for NTU RGB+D (as in 2s-AGCN, and HiCo, arXiv 2212.02082): 1. empty leading
 * frames are closed up and empty trailing frames filled by looping; 2. the main person's centre joint becomes the
 * origin of every frame; 3. and 4. two rotations, each the same for the whole clip, align the main person's first
 * frame: spine to z, then shoulders to x. Which joints those are comes from the layout.
 */
import type { Clip } from "./clip.ts";
import { isPresent, newClip, personStride, presentFrames } from "./clip.ts";
import type { BodyAxes } from "./layout.ts";
import { isLost } from "./missing.ts";

type Vector = [number, number, number];
type Matrix = readonly number[];

/** What pre-normalisation does besides its published steps. */
export interface NormalizeOptions {
  /** Frames of the result, at least the clip's: more are filled by looping. Default: the clip's own. */
  readonly padTo?: number;
  /** Turn step 3 and 4 off to keep the camera's view. Default true. */
  readonly rotate?: boolean;
}

/** A normalised copy of `clip`. Arithmetic in float64, rounded once to float32 per step that stores. */
export function normalizeClip(clip: Clip, axes: BodyAxes, options: NormalizeOptions = {}): Clip {
  const filled = fillEmptyFrames(clip, options.padTo ?? clip.frames);
  centre(filled, axes.centre);
  if (options.rotate !== false) {
    align(filled, axes.up, [0, 0, 1], [1, 0, 0]);
    align(filled, axes.across, [1, 0, 0], [0, 0, 1]);
  }
  return filled;
}

/**
 * Step 1. A person who is absent at first is moved to the front, which also closes the gaps inside; the frames after
 * the last one seen are then filled by repeating that person's frames from the first. A person present from the
 * first frame keeps its gaps, as zeros. Somebody never present stays zero.
 */
export function fillEmptyFrames(clip: Clip, frames = clip.frames): Clip {
  if (frames < clip.frames) {
    throw new Error(`fillEmptyFrames: ${frames} frames asked for, the clip already has ${clip.frames}`);
  }
  return takeFrames(clip, frameOrders(clip), frames);
}

/** Per person the frames that step 1 takes, to be gone through again and again; empty for somebody never present. */
export function frameOrders(clip: Clip): number[][] {
  return Array.from({ length: clip.persons }, (_, m) => {
    const present = presentFrames(clip, m);
    if (present.length === 0 || present[0] > 0) return present;
    return Array.from({ length: present[present.length - 1] + 1 }, (_, t) => t);
  });
}

/**
 * The clip with so many frames. `orders` has for each person the numbers of the frames to take, again from the first
 * where there are too few; a person without any stays 0.
 */
export function takeFrames(clip: Clip, orders: readonly (readonly number[])[], frames = clip.frames): Clip {
  const out = newClip(frames, clip.persons, clip.joints);
  const stride = personStride(clip);
  orders.forEach((order, m) => {
    for (let t = 0; order.length > 0 && t < frames; t++) {
      const from = (order[t % order.length] * clip.persons + m) * stride;
      out.data.set(clip.data.subarray(from, from + stride), (t * clip.persons + m) * stride);
    }
  });
  return out;
}

/** Step 2, in place. Absent persons stay zero. */
function centre(clip: Clip, joints: readonly number[]): void {
  const { data, persons } = clip;
  const stride = personStride(clip);
  for (let t = 0; t < clip.frames; t++) {
    const [x, y, z] = anchor(clip, t, joints);
    for (let m = 0; m < persons; m++) {
      if (!isPresent(clip, t, m)) continue;
      const start = (t * persons + m) * stride;
      for (let i = start; i < start + stride; i += 3) {
        data[i] -= x;
        data[i + 1] -= y;
        data[i + 2] -= z;
      }
    }
  }
}

/** Steps 3 and 4, in place: the direction between two anchors of the main person's first frame goes to `target`. */
function align(
  clip: Clip,
  direction: readonly [readonly number[], readonly number[]],
  target: Vector,
  turnAbout: Vector,
): void {
  const from = anchor(clip, 0, direction[0]);
  const to = anchor(clip, 0, direction[1]);
  const matrix = rotationBetween([to[0] - from[0], to[1] - from[1], to[2] - from[2]], target, turnAbout);
  if (matrix) rotate(clip, matrix);
}

/** The mean of some joints of the main person, of those that were seen in that frame where not all were. */
function anchor(clip: Clip, t: number, joints: readonly number[]): Vector {
  const start = t * clip.persons * personStride(clip);
  const seen = joints.filter((joint) => !isLost(clip.data, start + joint * 3));
  const sum: Vector = [0, 0, 0];
  for (const joint of seen) {
    for (let c = 0; c < 3; c++) sum[c] += clip.data[start + joint * 3 + c] / seen.length;
  }
  return sum;
}

/** Turns every joint: x becomes R x. Zeros stay zeros. */
function rotate(clip: Clip, r: Matrix): void {
  const { data } = clip;
  for (let i = 0; i < data.length; i += 3) {
    const x = data[i];
    const y = data[i + 1];
    const z = data[i + 2];
    data[i] = r[0] * x + r[1] * y + r[2] * z;
    data[i + 1] = r[3] * x + r[4] * y + r[5] * z;
    data[i + 2] = r[6] * x + r[7] * y + r[8] * z;
  }
}

/**
 * The least rotation that takes `v` to the direction of the unit vector `target` (row-major 3x3): with k = v x target
 * and c = cos of the angle, R = I + [k] + [k]^2 / (1 + c) (Rodrigues). Nothing where `v` has no direction. Where `v`
 * points the opposite way the axis is undetermined: half a turn about `turnAbout`, which is perpendicular to both.
 */
function rotationBetween(v: Vector, target: Vector, turnAbout: Vector): Matrix | undefined {
  const length = Math.hypot(...v);
  if (length < 1e-6) return undefined;
  const [x, y, z] = v.map((value) => value / length);
  const kx = y * target[2] - z * target[1];
  const ky = z * target[0] - x * target[2];
  const kz = x * target[1] - y * target[0];
  const cosine = x * target[0] + y * target[1] + z * target[2];
  if (1 + cosine < 1e-12) {
    const sign = (axis: number): number => (turnAbout[axis] !== 0 ? 1 : -1);
    return [sign(0), 0, 0, 0, sign(1), 0, 0, 0, sign(2)];
  }
  const f = 1 / (1 + cosine);
  return [
    1 - f * (ky * ky + kz * kz),
    f * kx * ky - kz,
    f * kx * kz + ky,
    f * kx * ky + kz,
    1 - f * (kx * kx + kz * kz),
    f * ky * kz - kx,
    f * kx * kz - ky,
    f * ky * kz + kx,
    1 - f * (kx * kx + ky * ky),
  ];
}
