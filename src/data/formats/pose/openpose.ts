/**
 * OpenPose's JSON, one file a frame, and Kinetics-skeleton's, one file a clip.
 *
 * OpenPose (`--write_json`): `{ "version": 1.3, "people": [{ "person_id": [-1], "pose_keypoints_2d": [x, y, c, ...] }] }`
 * with 25 (BODY_25) or 18 (COCO) joints; person_id is -1 without tracking. Kinetics-skeleton (Yan et al., AAAI 2018):
 * `{ "data": [{ "frame_index": 1, "skeleton": [{ "pose": [x, y, ...], "score": [c, ...] }] }], "label": "...",
 * "label_index": 0 }`, with 18 joints in shares of a picture of 340 x 256. A joint of confidence 0 was not seen.
 */
import { DataError } from "../../errors.ts";
import type { Clip } from "../../skeleton/clip.ts";
import type { SkeletonLayout } from "../../skeleton/layout.ts";
import { OPENPOSE18, OPENPOSE25 } from "../../skeleton/pose-layouts.ts";
import { clipOfBodies, type TrackedBody } from "./bodies.ts";
import { isObject, listOf, numberOf, parseJson } from "../../json.ts";
import { standInPlane } from "./plane.ts";

/** Persons of a clip that are kept. */
const PERSONS = 2;

/** One frame: its bodies in pixels, and how many joints they have (0 where nobody is there). */
export interface OpenPoseFrame {
  readonly joints: number;
  readonly bodies: readonly TrackedBody[];
}

/** One frame of OpenPose: the text of a `_keypoints.json` file. @throws DataError: `format`, `shape`, `not-finite`. */
export function parseOpenPoseFrame(text: string, file: string): OpenPoseFrame {
  const value = parseJson(text, file);
  if (!isObject(value) || !("people" in value))
    throw new DataError(file, "format", `an OpenPose file is a JSON object with "people"`);
  let joints = 0;
  const bodies = listOf(value.people, `"people"`, file).map((person, i): TrackedBody => {
    const given = isObject(person) ? (person.pose_keypoints_2d ?? person.pose_keypoints) : undefined;
    const numbers = listOf(given, `pose_keypoints_2d of person ${i}`, file);
    if ((numbers.length !== 75 && numbers.length !== 54) || (joints > 0 && joints * 3 !== numbers.length))
      throw new DataError(
        file,
        "shape",
        `person ${i} has ${numbers.length} numbers; 25 joints (BODY_25) or 18 (COCO) of x, y, confidence make 75 or 54`,
      );
    joints = numbers.length / 3;
    const at = (k: number): number => numberOf(numbers[k], `number ${k} of person ${i}`, file);
    const id = isObject(person) && Array.isArray(person.person_id) ? (person.person_id as unknown[])[0] : undefined;
    return {
      id: typeof id === "number" && id >= 0 ? String(id) : undefined,
      joints: flat(joints, (v) => (at(3 * v + 2) > 0 ? [at(3 * v), at(3 * v + 1)] : undefined)),
    };
  });
  return { joints, bodies };
}

/** The clip of a recording's frames, in order; `file` names it in errors. @throws DataError: `empty`, `shape`. */
export function clipOfOpenPose(frames: readonly OpenPoseFrame[], file: string): { clip: Clip; layout: SkeletonLayout } {
  const joints = frames.find((frame) => frame.joints > 0)?.joints ?? 25;
  if (frames.some((frame) => frame.joints > 0 && frame.joints !== joints))
    throw new DataError(file, "shape", "has frames of 18 and of 25 joints; a recording has one kind");
  const layout = joints === 18 ? OPENPOSE18 : OPENPOSE25;
  const clip = clipOfBodies(
    frames.map(({ bodies }) => bodies),
    joints,
    PERSONS,
    file,
  );
  return { clip: standInPlane(clip, layout), layout };
}

/** One clip of Kinetics-skeleton. `label` is -1 where the file has none. */
export interface KineticsClip {
  readonly clip: Clip;
  readonly label: number;
  readonly className?: string;
}

/** Frames that a clip of ten seconds can have, at any rate that cameras have. */
const MOST_FRAMES = 100_000;
/** Pixels of the pictures whose shares coordinates are. */
const [WIDTH, HEIGHT] = [340, 256];

/** One clip of Kinetics-skeleton: the text of its JSON file. @throws DataError: `format`, `shape`, `not-finite`, `label`, `empty`. */
export function parseKineticsSkeleton(text: string, file: string): KineticsClip {
  const value = parseJson(text, file);
  if (!isObject(value) || !("data" in value))
    throw new DataError(file, "format", `a Kinetics-skeleton file is a JSON object with data, label and label_index`);
  const frames: TrackedBody[][] = [];
  listOf(value.data, `"data"`, file).forEach((frame, i) => {
    if (!isObject(frame)) throw new DataError(file, "format", `entry ${i} of data is no object`);
    const index = numberOf(frame.frame_index ?? i + 1, `frame_index of entry ${i}`, file);
    if (!Number.isInteger(index) || index < 1 || index > MOST_FRAMES || index <= frames.length)
      throw new DataError(file, "format", `entry ${i} has frame_index ${index}; they count up from 1`);
    while (frames.length < index - 1) frames.push([]);
    frames.push(listOf(frame.skeleton, `skeleton of entry ${i}`, file).map((body) => kineticsBody(body, i, file)));
  });
  const label = value.label_index ?? -1;
  if (!Number.isInteger(label) || (label as number) < -1)
    throw new DataError(file, "label", `label_index is ${JSON.stringify(label)?.slice(0, 40)}; it counts from 0`);
  const clip = clipOfBodies(frames, 18, PERSONS, file);
  const className = typeof value.label === "string" && value.label !== "" ? value.label : undefined;
  return { clip: standInPlane(clip, OPENPOSE18), label: label as number, className };
}

function kineticsBody(body: unknown, i: number, file: string): TrackedBody {
  const { pose, score } = isObject(body) ? body : {};
  const places = listOf(pose, `pose of entry ${i}`, file);
  const scores = listOf(score, `score of entry ${i}`, file);
  if (places.length !== 36 || scores.length !== 18)
    throw new DataError(
      file,
      "shape",
      `entry ${i} has ${places.length} coordinates and ${scores.length} scores, not 36 and 18`,
    );
  const at = (k: number): number => numberOf(places[k], `coordinate ${k} of entry ${i}`, file);
  const seen = (v: number): boolean => numberOf(scores[v], `score ${v} of entry ${i}`, file) > 0;
  return { joints: flat(18, (v) => (seen(v) ? [at(2 * v) * WIDTH, at(2 * v + 1) * HEIGHT] : undefined)) };
}

/** Joints in a plane at depth 0, NaN where none was seen. */
export function flat(joints: number, at: (v: number) => readonly [number, number] | undefined): Float64Array {
  const out = new Float64Array(joints * 3).fill(NaN);
  for (let v = 0; v < joints; v++) {
    const place = at(v);
    if (place) out.set([...place, 0], v * 3);
  }
  return out;
}
