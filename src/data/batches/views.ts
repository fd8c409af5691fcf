/**
 * The two views of a clip that HiCo encodes (arXiv 2212.02082, section 3.1).
 *
 * Time-majored `xc`: one row a frame, (T, M*V*C), in which the temporal encoder reads a sequence of poses.
 * Space-majored `xp`: one row a joint of a person, (M*V, T*C), in which the spatial encoder reads a sequence of joint
 * trajectories.
 */
import type { Clip } from "../skeleton/clip.ts";

/** (T, M*V*C), order M, V, C within a row. It is the clip's own memory order, so a view of it and no copy. */
export function timeMajored(clip: Clip): Float32Array {
  return clip.data;
}

/** (M*V, T*C), order T, C within a row; written into `out` where given. */
export function spaceMajored(clip: Clip, out: Float32Array = new Float32Array(clip.data.length)): Float32Array {
  const { data, frames } = clip;
  const tokens = clip.persons * clip.joints;
  if (out.length !== data.length) {
    throw new Error(`spaceMajored: out holds ${out.length} numbers, the clip has ${data.length}`);
  }
  for (let token = 0; token < tokens; token++) {
    for (let t = 0; t < frames; t++) {
      const from = (t * tokens + token) * 3;
      const to = (token * frames + t) * 3;
      out[to] = data[from];
      out[to + 1] = data[from + 1];
      out[to + 2] = data[from + 2];
    }
  }
  return out;
}
