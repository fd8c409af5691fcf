/**
 * MediaPipe Pose's landmarks as JSON.
 *
 * MediaPipe writes no files; programs write what its solutions and tasks return. Read is a list of frames (or an object
 * with `frames`), each a result as JSON: `worldLandmarks` or `pose_world_landmarks` (metres about the hips),
 * `landmarks` or `pose_landmarks` (shares of the picture), of one person or a list of persons; a person is 33 objects
 * of x, y, z and visibility, or the same in `landmark`. Null and [] are nobody. World landmarks are taken where both
 * are there. A landmark of visibility 0 was not seen. Who is who follows the places in the picture.
 *
 * MediaPipe's x grows to the picture's right and y down; both are turned, as a Kinect's are.
 */
import { DataError } from "../../errors.ts";
import type { Clip } from "../../skeleton/clip.ts";
import { MEDIAPIPE33 } from "../../skeleton/pose-layouts.ts";
import { clipOfBodies, type TrackedBody } from "./bodies.ts";
import { isObject, listOf, numberOf, parseJson, type JsonObject } from "../../json.ts";
import { standInPlane } from "./plane.ts";

const JOINTS = 33;
const PERSONS = 2;
const WORLD = ["worldLandmarks", "world_landmarks", "pose_world_landmarks", "poseWorldLandmarks"];
const PICTURE = ["landmarks", "pose_landmarks", "poseLandmarks", "keypoints"];

/**
 * The clip in the JSON text of a recording, and whether it is of `world` landmarks; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `empty`.
 */
export function parseMediaPipe(text: string, file: string): { clip: Clip; world: boolean } {
  const value = parseJson(text, file);
  const frames = listOf(isObject(value) ? value.frames : value, "the frames of a MediaPipe file", file);
  const aspect = isObject(value) ? aspectOf(value, file) : 1;
  const world = frames.some((frame) => isObject(frame) && named(frame, WORLD) !== undefined);
  const bodies = frames.map((frame, t): TrackedBody[] => {
    const own = world ? WORLD : PICTURE;
    const persons = personsOf(isObject(frame) ? named(frame, own) : frame, t, file);
    const places = isObject(frame) && world ? personsOf(named(frame, PICTURE), t, file) : [];
    return persons.map((person, i) => {
      const joints = landmarks(person, world ? [-1, -1, 1] : [aspect, 1, aspect], t, file);
      if (places.length !== persons.length) return { joints };
      return { joints, place: landmarks(places[i], [aspect, 1, 0], t, file) };
    });
  });
  const clip = clipOfBodies(bodies, JOINTS, PERSONS, file);
  return { clip: world ? clip : standInPlane(clip, MEDIAPIPE33), world };
}

/** Width over height where the file says them. */
function aspectOf(value: JsonObject, file: string): number {
  if (value.width === undefined || value.height === undefined) return 1;
  const aspect = numberOf(value.width, "width", file) / numberOf(value.height, "height", file);
  if (aspect > 0 && Number.isFinite(aspect)) return aspect;
  throw new DataError(file, "format", "width and height must be pixels of the picture");
}

function named(frame: JsonObject, names: readonly string[]): unknown {
  return frame[names.find((name) => frame[name] !== undefined) ?? ""];
}

/** The persons of a frame, each a list of landmarks. */
function personsOf(given: unknown, t: number, file: string): (readonly unknown[])[] {
  const bare = isObject(given) ? (given.landmark ?? given.landmarks) : given;
  if (bare === undefined || bare === null) return [];
  const list = listOf(bare, `landmarks of frame ${t}`, file);
  if (list.length === 0) return [];
  const isLandmark = (one: unknown): boolean => isObject(one) && "x" in one;
  if (isLandmark(list[0])) return [list];
  return list.map((person) =>
    listOf(isObject(person) ? (person.landmark ?? person.landmarks) : person, `a person of frame ${t}`, file),
  );
}

function landmarks(person: readonly unknown[], factors: readonly number[], t: number, file: string): Float64Array {
  if (person.length !== JOINTS)
    throw new DataError(
      file,
      "shape",
      `frame ${t} has a person of ${person.length} landmarks; MediaPipe Pose has ${JOINTS}`,
    );
  const out = new Float64Array(JOINTS * 3).fill(NaN);
  person.forEach((one, v) => {
    if (!isObject(one)) throw new DataError(file, "format", `frame ${t}, landmark ${v} is no object of x, y, z`);
    if (one.visibility !== undefined && !(numberOf(one.visibility, `visibility ${v} of frame ${t}`, file) > 0)) return;
    ["x", "y", "z"].forEach((c, i) => {
      out[v * 3 + i] =
        factors[i] * numberOf(one[c] ?? (c === "z" ? 0 : undefined), `${c} of landmark ${v}, frame ${t}`, file);
    });
  });
  return out;
}
