/**
 * Skeleton layouts as data: which joints a sensor or pose model gives, how they hang together, which way the body is.
 *
 * Nothing else in the package knows a joint by name, so a user's own skeleton (MediaPipe, COCO, a motion-capture suit)
 * is a JSON file read by `parseLayout`:
 *
 *     { "name": "coco17", "persons": 1,
 *       "joints": ["nose", ..., "left_hip", "right_hip", ...],
 *       "parents": [-1, 0, ...],                                     // or { "left_eye": "nose", ... }
 *       "axes": { "centre": ["left_hip", "right_hip"],               // a joint, or the mean of several
 *                 "up": [["left_hip", "right_hip"], "nose"],
 *                 "across": ["left_shoulder", "right_shoulder"] } }
 *
 * Without `axes` nothing can be turned: such clips are centred about their roots, or left where they are.
 */
import { readFileBytes } from "../../io/byte-source.ts";
import { DataError } from "../errors.ts";
import { parseJson } from "../json.ts";

/** A point of the body: the mean of these joints. */
export type Anchor = readonly number[];

/** The joints pre-normalisation looks at: origin; direction turned to +z; direction turned to +x. */
export interface BodyAxes {
  readonly centre: Anchor;
  readonly up: readonly [Anchor, Anchor];
  readonly across: readonly [Anchor, Anchor];
}

/** Whether a layout says which way a body stands and faces: without that nothing can be turned. */
export function hasAxes({ axes: { up, across } }: SkeletonLayout): boolean {
  return [...up, ...across].every((anchor) => anchor.length > 0);
}

/** The joints of a skeleton: their names, what each is attached to, and which of them say how a body stands. */
export interface SkeletonLayout {
  readonly name: string;
  readonly joints: readonly string[];
  /** For each joint the joint its bone comes from, -1 at a root. */
  readonly parents: readonly number[];
  /** Persons that a clip of this layout has room for. */
  readonly persons: number;
  readonly axes: BodyAxes;
}

const KINECT_AXES: BodyAxes = { centre: [1], up: [[0], [1]], across: [[4], [8]] };

/**
 * Kinect v2, as in NTU RGB+D and PKU-MMD. Bones as in Shahroudy et al. (CVPR 2016), figure 2: they hang from
 * SpineShoulder; hand tips and thumbs hang across (tip from thumb, thumb from hand, as the published pairs have it).
 */
export const NTU25: SkeletonLayout = {
  name: "ntu25",
  joints: [
    "SpineBase",
    "SpineMid",
    "Neck",
    "Head",
    "ShoulderLeft",
    "ElbowLeft",
    "WristLeft",
    "HandLeft",
    "ShoulderRight",
    "ElbowRight",
    "WristRight",
    "HandRight",
    "HipLeft",
    "KneeLeft",
    "AnkleLeft",
    "FootLeft",
    "HipRight",
    "KneeRight",
    "AnkleRight",
    "FootRight",
    "SpineShoulder",
    "HandTipLeft",
    "ThumbLeft",
    "HandTipRight",
    "ThumbRight",
  ],
  parents: [1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, -1, 22, 7, 24, 11],
  persons: 2,
  axes: KINECT_AXES,
};

/** Kinect v1 SDK, as in NW-UCLA and UTD-MHAD. */
export const KINECT_V1_20: SkeletonLayout = {
  name: "kinect-v1-20",
  joints: [
    "HipCenter",
    "Spine",
    "ShoulderCenter",
    "Head",
    "ShoulderLeft",
    "ElbowLeft",
    "WristLeft",
    "HandLeft",
    "ShoulderRight",
    "ElbowRight",
    "WristRight",
    "HandRight",
    "HipLeft",
    "KneeLeft",
    "AnkleLeft",
    "FootLeft",
    "HipRight",
    "KneeRight",
    "AnkleRight",
    "FootRight",
  ],
  parents: [-1, 0, 1, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18],
  persons: 1,
  axes: KINECT_AXES,
};

/** OpenNI, as in SBU Kinect Interaction. There is no pelvis joint: its place is the mean of the hips. */
export const SBU15: SkeletonLayout = {
  name: "sbu15",
  joints: [
    "Head",
    "Neck",
    "Torso",
    "ShoulderLeft",
    "ElbowLeft",
    "HandLeft",
    "ShoulderRight",
    "ElbowRight",
    "HandRight",
    "HipLeft",
    "KneeLeft",
    "FootLeft",
    "HipRight",
    "KneeRight",
    "FootRight",
  ],
  parents: [1, 2, -1, 1, 3, 4, 1, 6, 7, 2, 9, 10, 2, 12, 13],
  persons: 2,
  axes: { centre: [2], up: [[9, 12], [2]], across: [[3], [6]] },
};

/** SMPL's first 22 joints, as HumanML3D and AMASS-style files give them. */
export const SMPL22: SkeletonLayout = {
  name: "smpl22",
  joints: [
    ...["pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"],
    ...["spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder"],
    ...["right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"],
  ],
  parents: [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19],
  persons: 1,
  axes: { centre: [0], up: [[0], [9]], across: [[16], [17]] },
};

/** A layout from a user's JSON file at `path`. @throws DataError naming the file and the rule. */
export function loadLayout(path: string): SkeletonLayout {
  let text: string;
  try {
    text = new TextDecoder().decode(readFileBytes(path));
  } catch (cause) {
    throw new DataError(path, "unreadable", (cause as Error).message, { cause });
  }
  return parseLayout(parseJson(text, path), path);
}

/**
 * Checks a layout read from JSON, the `value`. Joints are named or numbered; see the header for the form. `file` names
 * it in errors. @throws DataError naming the rule.
 */
export function parseLayout(value: unknown, file = "layout"): SkeletonLayout {
  const fail = (detail: string): never => {
    throw new DataError(file, "format", detail);
  };
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return fail(`a layout is a JSON object with name, joints, parents, persons, axes`);
  }
  const record = value as Record<string, unknown>;
  for (const key of Object.keys(record)) {
    if (!["name", "joints", "parents", "persons", "axes"].includes(key)) {
      fail(`unknown key "${key}"; a layout has name, joints, parents, persons, axes`);
    }
  }
  const name = record.name;
  if (typeof name !== "string" || name === "") return fail(`"name" must be a non-empty string`);
  const joints = readJointNames(record.joints, fail);
  const index = (joint: unknown, where: string): number => {
    const found = typeof joint === "string" ? joints.indexOf(joint) : joint;
    if (typeof found === "number" && Number.isInteger(found) && found >= 0 && found < joints.length) return found;
    return fail(`${where}: ${JSON.stringify(joint)} is neither a joint name nor an index below ${joints.length}`);
  };
  const persons = record.persons ?? 1;
  if (typeof persons !== "number" || !Number.isInteger(persons) || persons < 1) {
    return fail(`"persons" must be a positive integer, is ${JSON.stringify(persons)}`);
  }
  const parents = readParents(record.parents, joints, index, fail);
  return { name, joints, parents, persons, axes: readAxes(record.axes, parents, index, fail) };
}

type Fail = (detail: string) => never;
type JointIndex = (joint: unknown, where: string) => number;

function readJointNames(value: unknown, fail: Fail): string[] {
  if (!Array.isArray(value) || value.length < 2 || !value.every((n) => typeof n === "string" && n !== "")) {
    return fail(`"joints" must be a list of at least two joint names`);
  }
  const names = value as string[];
  const twice = names.find((n, i) => names.indexOf(n) !== i);
  return twice === undefined ? names : fail(`"joints" names "${twice}" twice`);
}

function readParents(value: unknown, joints: readonly string[], index: JointIndex, fail: Fail): number[] {
  const parents = new Array<number>(joints.length).fill(-1);
  if (Array.isArray(value)) {
    if (value.length !== joints.length) {
      return fail(`"parents" has ${value.length} entries for ${joints.length} joints; one each, -1 at a root`);
    }
    value.forEach((parent: unknown, v) => {
      if (parent !== -1) parents[v] = index(parent, `"parents" of ${joints[v]}`);
    });
  } else if (typeof value === "object" && value !== null) {
    for (const [child, parent] of Object.entries(value)) {
      const v = index(child, `"parents"`);
      if (parent !== -1) parents[v] = index(parent, `"parents" of ${child}`);
    }
  } else {
    return fail(`"parents" must be a list with the parent of each joint (-1 at a root) or an object child: parent`);
  }
  for (let v = 0; v < joints.length; v++) {
    let at = v;
    for (let steps = 0; parents[at] >= 0; at = parents[at], steps++) {
      if (steps > joints.length) return fail(`"parents" goes in a circle through ${joints[v]}; a root has parent -1`);
    }
  }
  return parents;
}

/** Without axes the roots are the centre, and there are no directions. */
function readAxes(value: unknown, parents: readonly number[], index: JointIndex, fail: Fail): BodyAxes {
  const roots = parents.flatMap((parent, v) => (parent < 0 ? [v] : []));
  const without: BodyAxes = { centre: roots, up: [[], []], across: [[], []] };
  if (value === undefined) return without;
  if (typeof value !== "object" || value === null) {
    return fail(`"axes" must be an object with centre, up and across: the joints that pre-normalisation looks at`);
  }
  const axes = value as Record<string, unknown>;
  const anchor = (joint: unknown, where: string): Anchor => {
    const list = Array.isArray(joint) ? joint : [joint];
    if (list.length === 0) return fail(`${where}: an empty list of joints`);
    return list.map((one) => index(one, where));
  };
  // As a store has it of a layout without any.
  if (JSON.stringify([axes.up, axes.across]) === JSON.stringify([without.up, without.across]))
    return { ...without, centre: anchor(axes.centre, `"axes.centre"`) };
  const direction = (key: "up" | "across"): [Anchor, Anchor] => {
    const ends = axes[key];
    if (!Array.isArray(ends) || ends.length !== 2) return fail(`"axes.${key}" must be a pair [from, to] of joints`);
    return [anchor(ends[0], `"axes.${key}"`), anchor(ends[1], `"axes.${key}"`)];
  };
  return { centre: anchor(axes.centre, `"axes.centre"`), up: direction("up"), across: direction("across") };
}
