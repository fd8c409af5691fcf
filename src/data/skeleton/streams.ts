/**
 * The three input streams of a clip: where joints are, how they move, how bones point.
 *
 * As HiCo and its predecessors (2s-AGCN, arXiv 1805.07694) compute them: `joint` = coordinates; `motion[t] =
 * x[t+1] - x[t]` with a zero last frame; `bone[v] = x[v] - x[parent(v)]` with zero at a root. Taken after augmentation.
 */
import type { Clip } from "./clip.ts";
import { newClip, personStride } from "./clip.ts";

/**
 * Which values of the joints a network sees: positions, their change from frame to frame, or bones from joint to
 * joint.
 */
export type Stream = "joint" | "motion" | "bone";

/** The three streams of a skeleton that networks are trained on. */
export const STREAMS: readonly Stream[] = ["joint", "motion", "bone"];

/** `clip` as the given stream (`joint` is the clip itself, not a copy). `parents[v]` is -1 at a root. */
export function toStream(clip: Clip, stream: Stream, parents: readonly number[]): Clip {
  switch (stream) {
    case "joint":
      return clip;
    case "motion":
      return motionOf(clip);
    case "bone":
      return boneOf(clip, parents);
    default:
      throw new Error(`toStream: no stream "${String(stream)}"; there are ${STREAMS.join(", ")}`);
  }
}

function motionOf(clip: Clip): Clip {
  const out = newClip(clip.frames, clip.persons, clip.joints);
  const frame = clip.persons * personStride(clip);
  for (let i = 0; i + frame < clip.data.length; i++) out.data[i] = clip.data[i + frame] - clip.data[i];
  return out;
}

function boneOf(clip: Clip, parents: readonly number[]): Clip {
  if (parents.length !== clip.joints) {
    throw new Error(`toStream: ${parents.length} bone parents for a clip of ${clip.joints} joints`);
  }
  const out = newClip(clip.frames, clip.persons, clip.joints);
  const { data } = clip;
  const stride = personStride(clip);
  for (let start = 0; start < data.length; start += stride) {
    for (let v = 0; v < clip.joints; v++) {
      const parent = parents[v];
      if (parent < 0) continue;
      for (let c = 0; c < 3; c++) out.data[start + v * 3 + c] = data[start + v * 3 + c] - data[start + parent * 3 + c];
    }
  }
  return out;
}
