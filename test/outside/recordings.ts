/**
 * Folders as downloads and recorders leave them, written from generated people: the smallest that a whole run takes.
 * Two people, two actions, four takes each; the writers share no code with the readers.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Clip } from "../../src/data/skeleton/clip.ts";
import { NTU25 } from "../../src/data/skeleton/layout.ts";
import { generateClips } from "../../src/data/synthetic/generator.ts";
import { matFile, matVariable } from "../data/formats/mat-file.ts";

interface Take {
  /** 0 or 1, the action. */
  readonly action: number;
  /** 1 or 2. */
  readonly subject: number;
  /** From 1. */
  readonly number: number;
  /** Positions by frame and joint of Kinect v2, metres, y up, x to the sensor's left. */
  readonly frames: readonly (readonly (readonly number[])[])[];
}

const ACTIONS = ["wave", "squat"] as const;
const FRAMES = 24;

function takes(): Take[] {
  const count = new Map<string, number>();
  return [...generateClips({ seed: 5, subjects: 2, repetitions: 4, actions: [...ACTIONS], noise: 0.3 })].map(
    ({ facts: { label, subject = 0 }, clip }) => {
      const key = `${label} ${subject}`;
      const number = (count.get(key) ?? 0) + 1;
      count.set(key, number);
      return { action: label, subject, number, frames: framesOf(clip) };
    },
  );
}

function framesOf(clip: Clip): number[][][] {
  const round = (value: number): number => Number(value.toFixed(5));
  return Array.from({ length: FRAMES }, (_, t) =>
    NTU25.joints.map((_name, v) => {
      const at = (Math.min(t, clip.frames - 1) * clip.persons * clip.joints + v) * 3;
      return [...clip.data.subarray(at, at + 3)].map(round);
    }),
  );
}

const two = (value: number): string => String(value).padStart(2, "0");
const three = (value: number): string => String(value).padStart(3, "0");
/** CLASS/sN/takeN, as own recordings lie. */
const place = ({ action, subject, number }: Take): string => `${ACTIONS[action]}/s${subject}/take${number}`;

/** Kinect v1's joints, and those of the poses that cameras give, by the nearest joint of Kinect v2. */
const KINECT_V1 = [0, 1, 20, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
const BODY_25 = [3, 20, 8, 9, 10, 4, 5, 6, 0, 16, 17, 18, 12, 13, 14, 3, 3, 3, 3, 15, 15, 14, 19, 19, 18];
const LANDMARKS = [
  ...[3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 4, 8, 5, 9, 6, 10, 21, 23, 7, 11, 22, 24, 12, 16, 13, 17, 14, 18, 14, 18],
  ...[15, 19],
];

type Writer = (put: (path: string, content: string | Uint8Array) => void) => void;

function ntu(take: Take): [string, string] {
  const person = take.subject === 1 ? 1 : 3;
  const lines = [String(FRAMES)];
  for (const joints of take.frames) {
    lines.push("1", "72057594037931101 0 1 1 1 1 0 0.02 0.05 2", "25");
    for (const joint of joints) lines.push(`${joint.join(" ")} 277.4 191.8 1036.2 519.1 -0.2 0.05 0.9 -0.1 2`);
  }
  const [camera, action] = [take.number % 3, take.action === 0 ? 23 : 8];
  return [`S001C${three(camera + 1)}P${three(person)}R001A${three(action)}.skeleton`, `${lines.join("\r\n")}\r\n`];
}

function nwUcla(take: Take): [string, string] {
  const [action, camera] = [take.action + 1, take.subject === 1 ? 1 + (take.number % 2) : 3];
  const name = `a${two(action)}_s${two(take.subject)}_e${two(take.number)}_v${two(camera)}`;
  const skeletons = take.frames.map((joints) => KINECT_V1.map((v) => joints[v]));
  return [`${name}.json`, JSON.stringify({ file_name: name, skeletons, label: action })];
}

function utdMhad(take: Take): [string, Uint8Array] {
  // The files have the trunk from the head down; MATLAB's order has joints fastest.
  const order = [3, 20, 1, 0, ...KINECT_V1.slice(4)];
  const values = take.frames.flatMap((joints) => [0, 1, 2].flatMap((c) => order.map((v) => joints[v][c])));
  const file = matFile([matVariable("d_skel", [20, 3, FRAMES], values)], true);
  return [`a${take.action + 1}_s${take.subject}_t${take.number}_skeleton.mat`, file];
}

function openPose(take: Take): [string, string][] {
  return take.frames.map((joints, t) => {
    const points = BODY_25.flatMap((v) => [960 + (joints[v][0] * 900) / 3, 540 - (joints[v][1] * 900) / 3, 0.9]);
    const people = [{ person_id: [-1], pose_keypoints_2d: points }];
    const name = `take${take.number}_${String(t).padStart(12, "0")}_keypoints.json`;
    return [`${place(take)}/${name}`, JSON.stringify({ version: 1.3, people })];
  });
}

function mediaPipe(take: Take): string {
  const frames = take.frames.map((joints) => ({
    worldLandmarks: [
      LANDMARKS.map((v) => {
        const [x, y, z] = joints[v].map((value, c) => value - joints[0][c]);
        return { x: -x, y: -y, z, visibility: 0.99 };
      }),
    ],
  }));
  return JSON.stringify(frames);
}

function bvh(take: Take): string {
  const parents = [-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11];
  const order: number[] = [];
  const joint = (v: number, indent: string): string => {
    order.push(v);
    const children = parents.flatMap((parent, child) => (parent === v ? [child] : []));
    const inner = `${indent}  `;
    const below =
      children.length > 0
        ? children.map((child) => joint(child, inner)).join("")
        : `${inner}End Site\n${inner}{\n${inner}  OFFSET 0 4 0\n${inner}}\n`;
    return (
      `${indent}${parents[v] < 0 ? "ROOT" : "JOINT"} ${NTU25.joints[v]}\n${indent}{\n${inner}OFFSET 0 0 0\n` +
      `${inner}CHANNELS 3 Xposition Yposition Zposition\n${below}${indent}}\n`
    );
  };
  const hierarchy = joint(0, "");
  const rows = take.frames.map((joints) =>
    order.flatMap((v) =>
      joints[v].map((value, c) => (100 * (value - (parents[v] < 0 ? 0 : joints[parents[v]][c]))).toFixed(3)),
    ),
  );
  const motion = rows.map((row) => row.join(" ")).join("\n");
  return `HIERARCHY\n${hierarchy}MOTION\nFrames: ${FRAMES}\nFrame Time: 0.0333333\n${motion}\n`;
}

const kinect = (take: Take): string =>
  take.frames.map((joints) => `${joints.map((joint) => `${joint.join(",")},2`).join(",")},\n`).join("");

/** By the name of the folder that the page's commands take. */
const FOLDERS: Readonly<Record<string, Writer>> = {
  "nturgb+d_skeletons": (put) =>
    takes().forEach((take) => {
      const [name, text] = ntu(take);
      // Four takes of three cameras: the fourth is a repetition.
      put(name.replace("R001", take.number > 3 ? "R002" : "R001"), text);
    }),
  all_sqe: (put) => takes().forEach((take) => put(...nwUcla(take))),
  Skeleton: (put) => takes().forEach((take) => put(...utdMhad(take))),
  poses: (put) => takes().forEach((take) => openPose(take).forEach(([name, text]) => put(name, text))),
  landmarks: (put) => {
    const lines = takes().map((take) => {
      const file = `${place(take).replaceAll("/", "-")}.json`;
      put(file, mediaPipe(take));
      return `${file},${ACTIONS[take.action]},${take.subject === 1 ? "train" : "test"}`;
    });
    put("../landmarks.csv", `file,label,split\n${lines.join("\n")}\n`);
  },
  captures: (put) => takes().forEach((take) => put(`${place(take)}.bvh`, bvh(take))),
  kinect: (put) => takes().forEach((take) => put(`${place(take)}.csv`, kinect(take))),
};

/** Writes the folder of that name into `parent`. @throws Error where none is known */
export function makeRecordings(parent: string, name: string): void {
  if (!Object.hasOwn(FOLDERS, name))
    throw new Error(`no recordings called ${name}: ${Object.keys(FOLDERS).join(", ")}`);
  FOLDERS[name]((path, content) => {
    const file = join(parent, name, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  });
}
