/**
 * UTD-MHAD's skeletons as its users download them: one MATLAB file a clip (Chen et al., ICIP 2015).
 *
 * `aA_sS_tT_skeleton.mat` holds `d_skel`, 20 joints x 3 coordinates x T frames in metres at 30 frames a second. The
 * joints begin with head, shoulder centre, spine and hip centre, against the Kinect v1 SDK's order; the rest agree.
 */
import { matArray, readMat } from "../../io/matlab.ts";
import { FormatError } from "../../io/format-error.ts";
import { formatShape } from "../../tensor/shape.ts";
import { DataError } from "../errors.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, newClip } from "../skeleton/clip.ts";
import { zerosAreLost } from "../skeleton/missing.ts";
import type { ClipFacts } from "../store/format.ts";

/** The 27 classes of UTD-MHAD, in the order of their numbers. */
export const UTD_MHAD_CLASSES: readonly string[] = [
  "Swipe left",
  "Swipe right",
  "Wave",
  "Clap",
  "Throw",
  "Arm cross",
  "Basketball shoot",
  "Draw X",
  "Draw circle (clockwise)",
  "Draw circle (counter clockwise)",
  "Draw triangle",
  "Bowling",
  "Boxing",
  "Baseball swing",
  "Tennis swing",
  "Arm curl",
  "Tennis serve",
  "Push",
  "Knock",
  "Catch",
  "Pickup and throw",
  "Jog",
  "Walk",
  "Sit to stand",
  "Stand to sit",
  "Lunge",
  "Squat",
];

const JOINTS = 20;

/** What a file's name says; undefined where it is none of this data set. */
export function parseUtdMhadName(name: string): ClipFacts | undefined {
  const match = /^a(\d{1,2})_s(\d)_t(\d)_skeleton\.mat$/i.exec(name);
  const action = Number(match?.[1]);
  if (!match || action < 1 || action > UTD_MHAD_CLASSES.length) return undefined;
  return { name, label: action - 1, subject: Number(match[2]) };
}

/**
 * The skeleton in the bytes of one .mat file; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `empty`.
 */
export function parseUtdMhad(bytes: Uint8Array, file: string): Clip {
  try {
    const { shape, data } = matArray(readMat(bytes, file), "d_skel", file);
    if (shape.length > 3 || shape[0] !== JOINTS || shape[1] !== 3) {
      throw new DataError(file, "shape", `d_skel is ${formatShape(shape)}; it must be 20 joints x 3 x frames`);
    }
    const frames = shape[2] ?? 1;
    const clip = newClip(frames, 1, JOINTS);
    for (let t = 0; t < frames; t++) {
      for (let v = 0; v < JOINTS; v++) {
        const value = (c: number): number => Number(data[(v * 3 + c) * frames + t]);
        const joint = v < 4 ? 3 - v : v;
        clip.data.set([value(0), value(1), value(2)], (t * JOINTS + joint) * 3);
      }
    }
    checkClip(clip, file);
    zerosAreLost(clip);
    return clip;
  } catch (cause) {
    if (cause instanceof FormatError) throw new DataError(file, "format", cause.fault, { cause });
    throw cause;
  }
}
