/** Fuzz targets of what pose estimators write. */
import {
  clipOfOpenPose,
  parseAzureKinect,
  parseKineticsSkeleton,
  parseMediaPipe,
  parseOpenPoseFrame,
} from "../../src/data/index.ts";
import { requireWholeClip, textTarget } from "./fuzzing-text.ts";
import type { FuzzTarget } from "./mutation.ts";

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

/** The targets by format. */
export const POSE_TARGETS = {
  openpose: openPose,
  "kinetics-skeleton": kinetics,
  mediapipe: mediaPipe,
  "azure-kinect": azureKinect,
} as const satisfies Record<string, () => FuzzTarget>;
