/** Fuzz targets of what pose estimators and motion capture write. */
import {
  clipOfOpenPose,
  cutUtKinect,
  parseAzureKinect,
  parseC3d,
  parseKineticsSkeleton,
  parseMediaPipe,
  parseOpenPoseFrame,
  parseTrc,
  parseUtKinect,
  parseUtKinectLabels,
} from "../../src/data/index.ts";
import { requireWholeClip, textTarget } from "./fuzzing-text.ts";
import { c3dFile } from "../data/formats/c3d-file.ts";
import { mutateBytes, type Draw, type FuzzTarget } from "./mutation.ts";

const numbers = (count: number, from: number): number[] => Array.from({ length: count }, (_, i) => from + i / 4);

function openPose(): FuzzTarget {
  const file = (joints: number, ids: readonly number[]): string => {
    const person = (id: number): object => ({ person_id: [id], pose_keypoints_2d: numbers(joints * 3, id + 2) });
    return JSON.stringify({ version: 1.3, people: ids.map(person) });
  };
  return textTarget([file(25, [-1, -1]), file(18, [4, 7]), file(25, [])], (text) => {
    const frame = parseOpenPoseFrame(text, "x.json");
    requireWholeClip(clipOfOpenPose([frame, frame], "x").clip);
  });
}

function kinetics(): FuzzTarget {
  const body = (from: number): object => ({ pose: numbers(36, from), score: numbers(18, 0) });
  const frame = (index: number, bodies: number): object => ({
    frame_index: index,
    skeleton: Array.from({ length: bodies }, (_, i) => body(i)),
  });
  const seed = { data: [frame(1, 1), frame(2, 0), frame(4, 2)], label: "jumping", label_index: 3 };
  return textTarget([JSON.stringify(seed)], (text) => requireWholeClip(parseKineticsSkeleton(text, "x.json").clip));
}

function mediaPipe(): FuzzTarget {
  const person = (from: number): object[] =>
    Array.from({ length: 33 }, (_, i) => ({ x: from + i / 33, y: i / 40, z: 0.1, visibility: i / 40 }));
  const seeds = [
    [
      { landmarks: [person(0), person(1)], worldLandmarks: [person(0), person(1)] },
      { landmarks: [], worldLandmarks: [] },
    ],
    { width: 640, height: 480, frames: [{ pose_landmarks: { landmark: person(0) } }, { pose_landmarks: null }] },
    [person(0), null, person(1)],
  ];
  return textTarget(
    seeds.map((seed) => JSON.stringify(seed)),
    (text) => requireWholeClip(parseMediaPipe(text, "x.json").clip),
  );
}

function azureKinect(): FuzzTarget {
  const places = Array.from({ length: 32 }, (_, v) => [v * 10, v - 5, 2000]);
  const body = (id: number): object => ({ body_id: id, joint_positions: places, joint_confidences: numbers(32, 0) });
  const seed = {
    joint_names: [],
    frames: [
      { frame_id: 0, bodies: [body(1)] },
      { frame_id: 1, bodies: [body(2), body(1)] },
    ],
  };
  return textTarget([JSON.stringify(seed)], (text) => requireWholeClip(parseAzureKinect(text, "x.json")));
}

function trc(): FuzzTarget {
  const rows = [0, 1].map((t) => [t + 1, t / 60, 1, 2, 3, ...(t === 0 ? [4, 5, 6] : ["", "", ""])].join("\t"));
  const head = ["PathFileType\t4\t(X/Y/Z)\ta.trc", "DataRate\tNumFrames\tNumMarkers\tUnits", "60\t2\t2\tmm"];
  const seed = [...head, "Frame#\tTime\tLASI\t\t\tRASI", "\t\tX1\tY1\tZ1\tX2\tY2\tZ2", "", ...rows].join("\n");
  return textTarget([seed, seed.replaceAll("\n", "\r\n")], (text) => requireWholeClip(parseTrc(text, "x.trc").clip));
}

function c3d(): FuzzTarget {
  const frames = [0, 1].map((t) => [[t, 2, 3], [4, 5, 6], t === 0 ? null : [7, 8, 9]]);
  const seeds = [c3dFile(frames), c3dFile(frames, { scale: 0.5, units: "m" })];
  const header = (draw: Draw, bytes: Uint8Array): Uint8Array => {
    const out = bytes.slice();
    out[draw.below(2) === 0 ? draw.below(24) : 512 + draw.below(80)] = draw.below(256);
    return out;
  };
  return {
    seeds,
    mutate: (draw, bytes) => (draw.below(2) === 0 ? header(draw, bytes) : mutateBytes(draw, bytes, seeds)),
    read: (bytes) => requireWholeClip(parseC3d(bytes, "x.c3d").clip),
  };
}

function utKinect(): FuzzTarget {
  const line = (at: number): string => [at, ...numbers(60, 1)].join(" ");
  const seeds = [
    ["s01_e01", "walk: 1 3", "carry: NaN NaN", "sitDown: 4 9"].join("\n"),
    [1, 2, 2, 5].map(line).join("\n"),
  ];
  return textTarget(seeds, (text) => {
    if (!/^[\s\d.]+$/.test(text.slice(0, 8))) return void parseUtKinectLabels(text, "x.txt");
    const action = { recording: "s01_e01", label: 0, subject: 1, first: 1, last: 3 };
    requireWholeClip(cutUtKinect(parseUtKinect(text, "x.txt"), action, "x.txt"));
  });
}

/** The targets by format. */
export const POSE_TARGETS = {
  openpose: openPose,
  "kinetics-skeleton": kinetics,
  mediapipe: mediaPipe,
  "azure-kinect": azureKinect,
  trc,
  c3d,
  utkinect: utKinect,
} as const satisfies Record<string, () => FuzzTarget>;
