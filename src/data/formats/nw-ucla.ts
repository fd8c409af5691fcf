/**
 * NW-UCLA as its users download it: `all_sqe`, one JSON file a clip (Wang et al., CVPR 2014).
 *
 * `{ "file_name": "a01_s01_e00_v01", "skeletons": [T][20][3], "label": 1 }` (1 to 10) in metres, joints in Kinect v1's order,
 * (0, 0, 0) where the sensor lost one. The name says action, subject, episode and view; of the actions 1 to 12 there
 * are no 7 and 10, and users of the data set count the other ten from 0.
 */
import { DataError } from "../errors.ts";
import { parseJson } from "../json.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, newClip } from "../skeleton/clip.ts";
import { zerosAreLost } from "../skeleton/missing.ts";
import type { ClipFacts } from "../store/format.ts";
import { stem } from "./text.ts";

/** The ten classes of NW-UCLA, in the order of their labels. */
export const NW_UCLA_CLASSES: readonly string[] = [
  "pick up with one hand",
  "pick up with two hands",
  "drop trash",
  "walk around",
  "sit down",
  "stand up",
  "donning",
  "doffing",
  "throw",
  "carry",
];

const ACTIONS: readonly number[] = [1, 2, 3, 4, 5, 6, 8, 9, 11, 12];
const JOINTS = 20;

/** What a name says; undefined where it is none of this data set. */
export function parseNwUclaName(name: string): ClipFacts | undefined {
  const match = /^a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d)$/.exec(name);
  if (!match) return undefined;
  return { name, label: ACTIONS.indexOf(Number(match[1])), subject: Number(match[2]), camera: Number(match[4]) };
}

/**
 * Reads the text of one file of NW-UCLA; `file` names it in errors.
 *
 * @throws DataError: `format`, `shape`, `not-finite`, `label`, `empty`.
 */
export function parseNwUcla(text: string, file: string): { facts: ClipFacts; clip: Clip } {
  const value = parseJson(text, file);
  if (typeof value !== "object" || value === null || !("skeletons" in value)) {
    throw new DataError(file, "format", `an NW-UCLA file is a JSON object with file_name, skeletons and label`);
  }
  const { file_name: given, skeletons, label } = value as Record<string, unknown>;
  const name = given === undefined ? stem(file, ".json") : given;
  const facts = typeof name === "string" ? parseNwUclaName(name) : undefined;
  if (!facts)
    throw new DataError(file, "label", `is named ${JSON.stringify(name)?.slice(0, 60)}; names are aAA_sSS_eEE_vVV`);
  const action = Number(facts.name.slice(1, 3));
  if (facts.label < 0) throw new DataError(file, "label", `action ${action} is none of ${ACTIONS.join(", ")}`);
  // Files count the ten actions through; copies that carry the action number of the name are about too.
  if (label !== undefined && label !== facts.label + 1 && label !== action) {
    const said = JSON.stringify(label)?.slice(0, 40);
    throw new DataError(
      file,
      "label",
      `says label ${said}; by its name it is action ${action}, class ${facts.label + 1} of 10`,
    );
  }
  return { facts, clip: readFrames(skeletons, file) };
}

function readFrames(skeletons: unknown, file: string): Clip {
  if (!Array.isArray(skeletons)) throw new DataError(file, "format", `"skeletons" must be a list of frames`);
  const clip = newClip(skeletons.length, 1, JOINTS);
  skeletons.forEach((frame: unknown, t) => {
    if (!Array.isArray(frame) || frame.length !== JOINTS) {
      const held = Array.isArray(frame) ? `${frame.length} joints` : "no list of joints";
      throw new DataError(file, "shape", `frame ${t} holds ${held}; it must hold ${JOINTS}`);
    }
    frame.forEach((joint: unknown, v) => {
      if (!Array.isArray(joint) || joint.length !== 3 || !joint.every((x) => typeof x === "number")) {
        throw new DataError(file, "shape", `frame ${t}, joint ${v} is not three numbers x, y, z`);
      }
      clip.data.set(joint as number[], (t * JOINTS + v) * 3);
    });
  });
  checkClip(clip, file);
  zerosAreLost(clip);
  return clip;
}
