/**
 * Augmentation arithmetic: what the draws of `draws.ts` do to a clip.
 *
 * Temporal crop and resize (linear interpolation, PyTorch's `interpolate(mode="linear", align_corners=False)`), joint
 * corruption, pose shear, turns; and the fixed centre crop of evaluation. HiCo, arXiv 2212.02082, section 4.2.
 */
import type { Clip } from "../skeleton/clip.ts";
import { newClip, personStride } from "../skeleton/clip.ts";
import type { AugmentationDraw, AugmentationOptions, CorruptDraw, CropDraw, ShearDraw } from "./draws.ts";
import { cropLength, FRAMES_IN } from "./draws.ts";
import type { Stream } from "../skeleton/streams.ts";
import { toStream } from "../skeleton/streams.ts";

/** Part of the frames that the evaluation crop keeps. */
export const EVALUATION_SCALE = 0.95;

/**
 * Frames [start, start + length) resampled to `size` frames. Output frame i lies at (i + 1/2) * length / size - 1/2
 * of the input, held inside the range, between its two neighbours.
 *
 * @param room what the result is written to, where memory for it is there
 */
export function resizeFrames(clip: Clip, start: number, length: number, size: number, room?: Float32Array): Clip {
  const fits = Number.isInteger(start) && Number.isInteger(length) && start >= 0 && start + length <= clip.frames;
  if (!fits || length < 1) {
    throw new Error(`resizeFrames: ${length} frames from ${start} are not inside a clip of ${clip.frames} frames`);
  }
  const { persons, joints } = clip;
  const out = room ? { data: room, frames: size, persons, joints } : newClip(size, persons, joints);
  const [from, into] = [clip.data, out.data];
  const stride = clip.persons * personStride(clip);
  for (let i = 0; i < size; i++) {
    const position = Math.max(0, ((i + 0.5) * length) / size - 0.5);
    const low = Math.min(Math.floor(position), length - 1);
    const high = Math.min(low + 1, length - 1);
    const weight = position - low;
    const a = (start + low) * stride;
    const b = (start + high) * stride;
    const to = i * stride;
    for (let j = 0; j < stride; j++) into[to + j] = (1 - weight) * from[a + j] + weight * from[b + j];
  }
  return out;
}

/** The drawn temporal crop, resized; in `room` where that is given. */
export function temporalCrop(clip: Clip, draw: CropDraw, options: AugmentationOptions = {}, room?: Float32Array): Clip {
  const length = cropLength(clip.frames, draw.scale, options.minFrames ?? FRAMES_IN);
  return resizeFrames(clip, draw.start, length, options.size ?? FRAMES_IN, room);
}

/** The crop of evaluation: start = trunc((1 - 0.95) n / 2), frames start..n-start, resized to `size` frames. */
export function evaluationCrop(clip: Clip, size = FRAMES_IN): Clip {
  const start = Math.trunc(((1 - EVALUATION_SCALE) * clip.frames) / 2);
  return resizeFrames(clip, start, clip.frames - 2 * start, size);
}

/** Corruption, in place: the drawn joints of all persons in all frames. */
export function corruptJoints(clip: Clip, draw: CorruptDraw): void {
  for (const joint of draw.joints) {
    if (!(Number.isInteger(joint) && 0 <= joint && joint < clip.joints)) {
      throw new Error(`corruptJoints: joint ${joint} of a skeleton of ${clip.joints} joints`);
    }
  }
  const { data } = clip;
  const stride = personStride(clip);
  const m = draw.matrix;
  for (let start = 0; start < data.length; start += stride) {
    for (const joint of draw.joints) {
      const i = start + joint * 3;
      const x = data[i];
      const y = data[i + 1];
      const z = data[i + 2];
      data[i] = m ? x * m[0] + y * m[3] + z * m[6] : 0;
      data[i + 1] = m ? x * m[1] + y * m[4] + z * m[7] : 0;
      data[i + 2] = m ? x * m[2] + y * m[5] + z * m[8] : 0;
    }
  }
}

/** Shear, in place: every joint x becomes S x. */
export function shearPose(clip: Clip, draw: ShearDraw): void {
  const { data } = clip;
  const s = draw.matrix;
  for (let i = 0; i < data.length; i += 3) {
    const x = data[i];
    const y = data[i + 1];
    const z = data[i + 2];
    data[i] = s[0] * x + s[1] * y + s[2] * z;
    data[i + 1] = s[3] * x + s[4] * y + s[5] * z;
    data[i + 2] = s[6] * x + s[7] * y + s[8] * z;
  }
}

/** Turns the clip about z by an `angle` in radians, in place. */
export function turnPose(clip: Clip, angle: number): void {
  const { data } = clip;
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  for (let i = 0; i < data.length; i += 3) {
    const x = data[i];
    const y = data[i + 1];
    data[i] = c * x - s * y;
    data[i + 1] = s * x + c * y;
  }
}

/**
 * One pretraining input: crop, turn, corrupt or shear, then the stream. A fresh clip of `size` frames. `parents` has
 * each joint's parent, -1 for a root. Joints are in `room` where that is given.
 */
export function augmentClip(
  clip: Clip,
  draw: AugmentationDraw,
  stream: Stream,
  parents: readonly number[],
  options: AugmentationOptions = {},
  room?: Float32Array,
): Clip {
  const cropped = temporalCrop(clip, draw.crop, options, room);
  if (draw.turn) turnPose(cropped, draw.turn);
  if (draw.spatial.kind === "corrupt") corruptJoints(cropped, draw.spatial);
  else shearPose(cropped, draw.spatial);
  return toStream(cropped, stream, parents);
}

/**
 * One evaluation input: the centre crop, resized to `size` frames, then the stream. `parents` has each joint's parent,
 * -1 for a root.
 */
export function evaluationClip(clip: Clip, stream: Stream, parents: readonly number[], size = FRAMES_IN): Clip {
  return toStream(evaluationCrop(clip, size), stream, parents);
}
