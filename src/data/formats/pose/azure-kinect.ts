/**
 * Azure Kinect's body tracking as JSON, as the SDK's sample `offline_processor` writes it.
 *
 * `{ "joint_names": [32], "frames": [{ "frame_id": 0, "bodies": [{ "body_id": 1, "joint_positions": [32][x, y, z] }] }] }`
 * in millimetres, x to the picture's right, y down; both are turned, so that clips stand as those of other Kinects.
 * `joint_confidences` or `confidence_levels` (0 none, 1 low, 2 medium, 3 high), where a program adds them, say which
 * joints were seen: those of 0 were not.
 */
import { DataError } from "../../errors.ts";
import type { Clip } from "../../skeleton/clip.ts";
import { clipOfBodies, type TrackedBody } from "./bodies.ts";
import { isObject, listOf, numberOf, parseJson } from "../../json.ts";

const JOINTS = 32;
const PERSONS = 2;
const CONFIDENCES = ["joint_confidences", "joint_confidence", "confidence_levels", "confidences"];
/** Millimetres to metres, and the turn. */
const FACTORS = [-0.001, -0.001, 0.001];

/**
 * The clip in the JSON text of a recording; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `empty`.
 */
export function parseAzureKinect(text: string, file: string): Clip {
  const value = parseJson(text, file);
  const frames = listOf(isObject(value) ? value.frames : undefined, `"frames" of an Azure Kinect file`, file);
  const bodies = frames.map((frame, t): TrackedBody[] =>
    listOf(isObject(frame) ? frame.bodies : undefined, `bodies of frame ${t}`, file).map((body) => {
      if (!isObject(body)) throw new DataError(file, "format", `frame ${t} holds a body that is no object`);
      const places = listOf(body.joint_positions, `joint_positions of frame ${t}`, file);
      const key = CONFIDENCES.find((name) => body[name] !== undefined);
      const levels = key === undefined ? undefined : listOf(body[key], `${key} of frame ${t}`, file);
      if (places.length !== JOINTS || (levels && levels.length !== JOINTS))
        throw new DataError(file, "shape", `frame ${t} has ${places.length} joints; Azure Kinect has ${JOINTS}`);
      const joints = new Float64Array(JOINTS * 3).fill(NaN);
      places.forEach((place, v) => {
        if (levels && !(numberOf(levels[v], `confidence ${v} of frame ${t}`, file) > 0)) return;
        const xyz = listOf(place, `joint ${v} of frame ${t}`, file);
        if (xyz.length !== 3) throw new DataError(file, "shape", `frame ${t}, joint ${v} is not x, y, z`);
        xyz.forEach((x, c) => (joints[v * 3 + c] = FACTORS[c] * numberOf(x, `joint ${v} of frame ${t}`, file)));
      });
      const id = body.body_id;
      return { id: typeof id === "number" ? String(id) : undefined, joints };
    }),
  );
  return clipOfBodies(bodies, JOINTS, PERSONS, file);
}
