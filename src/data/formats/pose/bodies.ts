/**
 * Bodies as a tracker gives them frame by frame, put together as a clip in which each keeps its place.
 *
 * Who is who comes from the tracker's own identity where it gives one; else a body is taken for the one that was
 * nearest in the last frames, so that nobody jumps when the tracker lists people in another order.
 */
import { DataError } from "../../errors.ts";
import { bodyEnergy, pickPersons } from "../../skeleton/bodies.ts";
import { checkClip, newClip, type Clip } from "../../skeleton/clip.ts";
import { markMissing } from "../../skeleton/missing.ts";

/** One body of a frame. */
export interface TrackedBody {
  /** The tracker's identity; undefined where it has none. */
  readonly id?: string;
  /** x, y, z of each joint, NaN where it was not seen. */
  readonly joints: Float64Array;
  /** Where the body is, for who is who, where joints do not say it (MediaPipe's world landmarks). */
  readonly place?: Float64Array;
}

/** Bodies of one recording that are followed; more are a tracker's noise or a crowd. */
const MOST_BODIES = 64;

/** Numbers of a clip that one recording may have, which bounds what damaged counts can ask for. */
const MOST_NUMBERS = 2 ** 28;

/**
 * The clip of a recording, [frames, persons, joints, 3], main person first (the one who moves most of those there longest).
 * @param persons kept at most
 * @throws DataError `empty`, `not-finite`, `shape`
 */
export function clipOfBodies(
  frames: readonly (readonly TrackedBody[])[],
  joints: number,
  persons: number,
  file: string,
): Clip {
  const tracks = followed(frames, file);
  const kept = tracks
    .map((track) => ({ track, seen: track.filter(Boolean).length }))
    .filter(({ seen }) => seen > 0)
    .sort((a, b) => b.seen - a.seen)
    .slice(0, Math.max(1, persons));
  const count = Math.max(1, kept.length);
  if (frames.length * count * joints * 3 > MOST_NUMBERS)
    throw new DataError(file, "shape", `${frames.length} frames of ${count} bodies are too many for one recording`);
  const clip = newClip(frames.length, count, joints);
  kept.forEach(({ track }, m) => {
    for (let t = 0; t < frames.length; t++) {
      const body = track[t];
      if (!body?.joints.some((x) => !Number.isNaN(x))) continue;
      for (let v = 0; v < joints; v++) {
        const at = ((t * count + m) * joints + v) * 3;
        const place = body.joints.subarray(v * 3, v * 3 + 3);
        if (place.some((x) => Number.isNaN(x))) markMissing(clip.data, at);
        else clip.data.set(place, at);
      }
    }
  });
  checkClip(clip, file);
  return mainFirst(
    clip,
    kept.map(({ seen }) => seen),
  );
}

/** The tracks of bodies: per track the body of each frame. */
function followed(frames: readonly (readonly TrackedBody[])[], file: string): (TrackedBody | undefined)[][] {
  const tracks: (TrackedBody | undefined)[][] = [];
  const last: Float64Array[] = [];
  const byId = new Map<string, number>();
  const begin = (): number => {
    if (tracks.length === MOST_BODIES)
      throw new DataError(file, "shape", `more than ${MOST_BODIES} bodies; keep those of one recording in a file`);
    tracks.push(new Array<TrackedBody | undefined>(frames.length));
    return tracks.length - 1;
  };
  frames.forEach((bodies, t) => {
    const taken = new Set<number>();
    const put = (track: number, body: TrackedBody): void => {
      tracks[track][t] = body;
      last[track] = body.place ?? body.joints;
      taken.add(track);
    };
    for (const body of bodies) {
      if (body.id === undefined) continue;
      const track = byId.get(body.id) ?? begin();
      if (taken.has(track)) throw new DataError(file, "format", `body ${body.id.slice(0, 40)} is twice in frame ${t}`);
      byId.set(body.id, track);
      put(track, body);
    }
    const nameless = bodies.filter(({ id }) => id === undefined);
    const pairs = nameless.flatMap((body, b) =>
      last.map((place, track) => ({ b, track, far: distance(body.place ?? body.joints, place) })),
    );
    pairs.sort((a, b) => a.far - b.far);
    const done = new Set<number>();
    for (const { b, track } of pairs) {
      if (done.has(b) || taken.has(track)) continue;
      done.add(b);
      put(track, nameless[b]);
    }
    nameless.forEach((body, b) => {
      if (!done.has(b)) put(begin(), body);
    });
  });
  return tracks;
}

/** Mean distance of the joints that both have; of none, as far as can be. */
function distance(a: Float64Array, b: Float64Array): number {
  let [sum, count] = [0, 0];
  for (let i = 0; i + 2 < Math.min(a.length, b.length); i += 3) {
    const far = Math.hypot(a[i] - b[i], a[i + 1] - b[i + 1], a[i + 2] - b[i + 2]);
    if (Number.isNaN(far)) continue;
    sum += far;
    count++;
  }
  return count === 0 ? Number.MAX_VALUE : sum / count;
}

/** Bodies that are there for at least half as long as the longest, by how much they move, before the others. */
function mainFirst(clip: Clip, seen: readonly number[]): Clip {
  if (clip.persons === 1) return clip;
  const long = seen.map((count) => count >= seen[0] / 2);
  const energy = seen.map((_, m) => bodyEnergy(clip, m) || 0);
  const order = seen.map((_, m) => m).sort((a, b) => +long[b] - +long[a] || energy[b] - energy[a]);
  return pickPersons(clip, order);
}
