/**
 * One skeleton clip in memory: who stood where, frame by frame.
 *
 * The order is frames, persons, joints, coordinates: `data[((t * M + m) * V + v) * 3 + c]`. A frame is contiguous, so
 * cutting a clip in time is a slice, every joint is a triple, and a row of the time-majored view of HiCo (order M, V,
 * C within a row; arXiv 2212.02082) is a frame as it lies. Files and tools of the field use (C, T, V, M) instead;
 * `fromChannelsFirst` and `toChannelsFirst` convert. An absent person or an empty frame is all zeros; a joint that was not
 * seen is NaN in all three (`missing.ts`).
 */
import { DataError } from "../errors.ts";

/** A recording of skeletons: positions of joints, frame by frame and person by person. */
export interface Clip {
  /** float32, frames x persons x joints x 3, metres. */
  readonly data: Float32Array;
  readonly frames: number;
  readonly persons: number;
  readonly joints: number;
}

/** A zeroed clip of so many `frames`, `persons` in each and `joints` of each person. */
export function newClip(frames: number, persons: number, joints: number): Clip {
  return { data: new Float32Array(frames * persons * joints * 3), frames, persons, joints };
}

/** Numbers in one frame of one person of a clip: three a joint. */
export function personStride(clip: { readonly joints: number }): number {
  return clip.joints * 3;
}

/**
 * A clip from `source` in the order (C=3, T, V, M), T being `storedFrames`, V `joints` and M `persons`. Only the first
 * `frames` are taken, all by default.
 */
export function fromChannelsFirst(
  source: ArrayLike<number>,
  storedFrames: number,
  joints: number,
  persons: number,
  frames = storedFrames,
): Clip {
  const expected = 3 * storedFrames * joints * persons;
  if (source.length !== expected) {
    throw new Error(
      `fromChannelsFirst: ${source.length} numbers given; ` +
        `(3, ${storedFrames}, ${joints}, ${persons}) needs ${expected}`,
    );
  }
  const clip = newClip(frames, persons, joints);
  const { data } = clip;
  let at = 0;
  for (let t = 0; t < frames; t++) {
    for (let m = 0; m < persons; m++) {
      for (let v = 0; v < joints; v++) {
        for (let c = 0; c < 3; c++) data[at++] = source[((c * storedFrames + t) * joints + v) * persons + m];
      }
    }
  }
  return clip;
}

/** The clip in the order (C=3, T, V, M), zero-padded to `storedFrames`. */
export function toChannelsFirst(clip: Clip, storedFrames = clip.frames): Float32Array {
  const { data, frames, persons, joints } = clip;
  if (storedFrames < frames) {
    throw new Error(`toChannelsFirst: ${storedFrames} frames cannot hold the clip's ${frames}`);
  }
  const out = new Float32Array(3 * storedFrames * joints * persons);
  let at = 0;
  for (let t = 0; t < frames; t++) {
    for (let m = 0; m < persons; m++) {
      for (let v = 0; v < joints; v++) {
        for (let c = 0; c < 3; c++) out[((c * storedFrames + t) * joints + v) * persons + m] = data[at++];
      }
    }
  }
  return out;
}

/** Whether person `m` has any non-zero coordinate in frame `t`. */
export function isPresent(clip: Clip, t: number, m: number): boolean {
  const stride = personStride(clip);
  const start = (t * clip.persons + m) * stride;
  for (let i = start; i < start + stride; i++) if (clip.data[i] !== 0) return true;
  return false;
}

/** For person `m`, the frames in which it is present, ascending. */
export function presentFrames(clip: Clip, m: number): number[] {
  const frames: number[] = [];
  for (let t = 0; t < clip.frames; t++) if (isPresent(clip, t, m)) frames.push(t);
  return frames;
}

/** Frames `start` (inclusive) to `end` (exclusive), copied. */
export function sliceFrames(clip: Clip, start: number, end: number): Clip {
  if (!(Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= clip.frames)) {
    throw new Error(`sliceFrames: [${start}, ${end}) is not inside a clip of ${clip.frames} frames`);
  }
  const stride = clip.persons * personStride(clip);
  return { ...clip, data: clip.data.slice(start * stride, end * stride), frames: end - start };
}

/** Most frames that the field keeps of a clip (NTU RGB+D's longest). */
export const MAX_FRAMES = 300;

/**
 * The clip with at most `most` frames. `how`: its first ones (`cut`), or as many spread evenly over it (`thin`; frames
 * are picked and not mixed, so that an absent person stays absent).
 */
export function limitFrames(clip: Clip, most = MAX_FRAMES, how: "cut" | "thin" = "cut"): Clip {
  if (clip.frames <= most) return clip;
  if (how === "cut") return sliceFrames(clip, 0, most);
  const stride = clip.persons * personStride(clip);
  const out = newClip(most, clip.persons, clip.joints);
  for (let t = 0; t < most; t++) {
    const from = Math.floor(((t + 0.5) * clip.frames) / most) * stride;
    out.data.set(clip.data.subarray(from, from + stride), t * stride);
  }
  return out;
}

/** The clip with exactly `persons` persons: the first ones, or with absent (zero) ones added. */
export function withPersons(clip: Clip, persons: number): Clip {
  if (persons === clip.persons) return clip;
  const out = newClip(clip.frames, persons, clip.joints);
  const stride = personStride(clip);
  const kept = Math.min(persons, clip.persons);
  for (let t = 0; t < clip.frames; t++) {
    const from = t * clip.persons * stride;
    out.data.set(clip.data.subarray(from, from + kept * stride), t * persons * stride);
  }
  return out;
}

/**
 * Refuses a clip that cannot be learned from. Lost joints, NaN in all three coordinates, are none of its faults.
 *
 * @param file names the clip in errors.
 * @throws DataError `empty` (no frames, or nobody in any of them) or `not-finite` (with the first place of it).
 */
export function checkClip(clip: Clip, file: string): void {
  const { data, frames, persons, joints } = clip;
  if (frames === 0) throw new DataError(file, "empty", "the clip has no frames");
  let somebody = false;
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (value !== 0) {
      if (!Number.isFinite(value)) {
        const joint = Math.floor(i / 3);
        if ([0, 1, 2].every((c) => Number.isNaN(data[joint * 3 + c]))) continue;
        throw new DataError(
          file,
          "not-finite",
          `coordinate ${"xyz"[i % 3]} is ${value} in frame ${Math.floor(joint / (joints * persons))}, ` +
            `person ${Math.floor(joint / joints) % persons}, joint ${joint % joints}`,
        );
      }
      somebody = true;
    }
  }
  if (!somebody) throw new DataError(file, "empty", `all ${frames} frames are zero or lost: nobody was tracked`);
}

/** A joint may be so many times its body's size away from the body's middle; a real one is hardly more than one. */
const REACH = 50;

/**
 * Refuses a clip with a joint far from its body: mostly a lost joint that was written as a number (9999). A body's size
 * is how far three quarters of its joints lie from its middle, over the clip.
 *
 * @param file names the clip in errors.
 * @throws DataError `range`, with the first place of it.
 */
export function checkReach({ data, frames, persons, joints }: Clip, file: string): void {
  const away = new Float64Array(frames * persons * joints);
  const sizes = new Float64Array(frames * persons);
  let bodies = 0;
  const row = new Float64Array(joints);
  const middle = [0, 0, 0];
  for (let start = 0; start < away.length; start += joints) {
    for (let c = 0; c < 3; c++) {
      for (let v = 0; v < joints; v++) row[v] = data[(start + v) * 3 + c];
      middle[c] = quantile(row, joints, 0.5);
    }
    for (let v = 0; v < joints; v++) {
      const at = (start + v) * 3;
      row[v] = away[start + v] = Math.hypot(data[at] - middle[0], data[at + 1] - middle[1], data[at + 2] - middle[2]);
    }
    const size = quantile(row, joints, 0.75);
    if (size > 0) sizes[bodies++] = size;
  }
  const size = quantile(sizes, bodies, 0.5);
  const far = away.findIndex((distance) => distance > REACH * size);
  if (far < 0) return;
  const [joint, body] = [far % joints, Math.floor(far / joints)];
  throw new DataError(
    file,
    "range",
    `joint ${joint} of person ${body % persons} lies ${away[far].toPrecision(3)} from the middle of its body in frame ` +
      `${Math.floor(body / persons)}, where bodies measure about ${size.toPrecision(3)}: a lost joint written as a number? ` +
      "Write it as the format has lost joints",
  );
}

/** A quantile of the first `count` numbers, of those that are not NaN; NaN where there are none. Sorts them in place. */
function quantile(values: Float64Array, count: number, share: number): number {
  const there = count <= FEW ? insertionSort(values, count) : nativeSort(values, count);
  return there > 0 ? values[Math.floor(share * (there - 1))] : NaN;
}

/** So few numbers, a body's joints, are sorted sooner than a typed array's own sort has begun. */
const FEW = 64;

/** Sorts the first `count` numbers but NaN to the front. @returns how many those are */
function insertionSort(values: Float64Array, count: number): number {
  let there = 0;
  for (let i = 0; i < count; i++) {
    const value = values[i];
    if (Number.isNaN(value)) continue;
    let place = there++;
    for (; place > 0 && values[place - 1] > value; place--) values[place] = values[place - 1];
    values[place] = value;
  }
  return there;
}

/** As `insertionSort`, for many. */
function nativeSort(values: Float64Array, count: number): number {
  // NaN is sorted behind all numbers.
  values.subarray(0, count).sort();
  let there = count;
  while (there > 0 && Number.isNaN(values[there - 1])) there--;
  return there;
}
