/** Motion files of no data set of their own, one a recording: BVH, and npy of (T, 22, 3) or (T, 17, 3). */
import { toFloat32, type HostTensor } from "../../io/host-tensor.ts";
import { H36M17 } from "../skeleton/pose-layouts.ts";
import { readNpy } from "../../io/numpy/npy.ts";
import { formatShape } from "../../tensor/shape.ts";
import { DataError } from "../errors.ts";
import { parseBvh } from "../formats/bvh.ts";
import { readText } from "../formats/text.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip } from "../skeleton/clip.ts";
import { SMPL22, type BodyAxes } from "../skeleton/layout.ts";
import { LEVEL_FLOOR } from "./npy.ts";
import { recordingsSource, type RecordingOptions } from "./own/recordings.ts";
import type { ClipSource } from "./source.ts";
import { requireFolder, someFilesBelow } from "./source.ts";

/** A folder of BVH files, one a recording, as a source of clips. */
export function bvhSource(folder: string, options: RecordingOptions = {}): ClipSource {
  requireFolder(folder);
  const [first] = someFilesBelow(folder, ".bvh", "BVH is one file a recording");
  const { joints, parents, frameTime } = parseBvh(readText(first), first);
  return recordingsSource(folder, {
    ...options,
    extension: ".bvh",
    layout: { name: "bvh", joints, parents, persons: 1, axes: bvhAxes(joints, first) },
    normalization: LEVEL_FLOOR,
    rate: frameTime > 0 ? 1 / frameTime : undefined,
    read: (file) => {
      const read = parseBvh(readText(file), file);
      if (read.joints.join() === joints.join()) return read.clip;
      throw new DataError(file, "shape", `has other joints than ${first}; put the skeletons of each kind in a folder`);
    },
  });
}

/**
 * The npy files in `folder`: HumanML3D's `new_joints` of SMPL's first 22 joints in metres, or MotionBERT's (T, 17, 3)
 * of Human3.6M's joints.
 */
export function smplSource(folder: string, options: RecordingOptions = {}): ClipSource {
  requireFolder(folder);
  const [first] = someFilesBelow(folder, ".npy", "there is one file a recording");
  const layout = readMotion(first).shape[1] === 17 ? H36M17 : SMPL22;
  const joints = layout.joints.length;
  const read = (file: string): Clip => {
    const tensor = readMotion(file);
    if (tensor.shape[1] !== joints)
      throw new DataError(file, "shape", `is ${formatShape(tensor.shape)}; ${first} has ${joints} joints`);
    const clip = { data: Float32Array.from(toFloat32(tensor)), frames: tensor.shape[0], persons: 1, joints };
    // MotionBERT and the cameras of Human3.6M have y down and x to the right; both are turned.
    if (layout === H36M17 && headDown(clip)) clip.data.forEach((x, i) => i % 3 < 2 && (clip.data[i] = -x));
    checkClip(clip, file);
    return clip;
  };
  return recordingsSource(folder, { ...options, extension: ".npy", layout, normalization: LEVEL_FLOOR, read });
}

function readMotion(file: string): HostTensor {
  let tensor: HostTensor;
  try {
    tensor = readNpy(file);
  } catch (cause) {
    throw new DataError(file, "format", (cause as Error).message, { cause });
  }
  const { shape } = tensor;
  if (shape.length === 3 && (shape[1] === 22 || shape[1] === 17) && shape[2] === 3) return tensor;
  throw new DataError(
    file,
    "shape",
    `is ${formatShape(shape)}; it must be (T, 22, 3) of SMPL or (T, 17, 3) of Human3.6M`,
  );
}

/** Whether the thorax is below the pelvis (y up) in most frames. */
function headDown({ data, frames }: Clip): boolean {
  let below = 0;
  for (let t = 0; t < frames; t++) below += Math.sign(data[t * 51 + 1] - data[t * 51 + 8 * 3 + 1]);
  return below > 0;
}

/** The body's axes by the names that motion capture gives: hips, a spine or neck above, both upper arms. */
function bvhAxes(joints: readonly string[], file: string): BodyAxes {
  const find = (words: RegExp, what: string): number => {
    const found = joints.findIndex((name) => words.test(name));
    if (found >= 0) return found;
    throw new DataError(file, "format", `names no ${what} among its joints: ${joints.slice(0, 12).join(", ")}, …`);
  };
  const up = find(/neck|chest|spine|torso|thorax/i, "neck or spine");
  const left = find(/^(left|l_?)(up(per)?_?arm|arm|shldr|shoulder|collar)|(arm|shoulder)_?l(eft)?$/i, "left upper arm");
  const right = find(
    /^(right|r_?)(up(per)?_?arm|arm|shldr|shoulder|collar)|(arm|shoulder)_?r(ight)?$/i,
    "right upper arm",
  );
  return { centre: [0], up: [[0], [up]], across: [[left], [right]] };
}
