/** OpenPose, Kinetics-skeleton, PySKL in 2D, MediaPipe and Azure Kinect: exactly made files, from the folder to clips. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ClipSource, SourceClip, SourceKind } from "../../../src/data/index.ts";
import {
  COCO17,
  DataError,
  detectKind,
  MEDIAPIPE33,
  openSourceOf,
  parseAzureKinect,
  parseKineticsSkeleton,
  parseMediaPipe,
  parseOpenPoseFrame,
  prepareStore,
} from "../../../src/data/index.ts";
import { hostTensor } from "../../../src/io/index.ts";
import { numpyPickle } from "../../io/numpy/numpy-pickle.ts";

const root = mkdtempSync(join(tmpdir(), "hico-poses-"));
after(() => rmSync(root, { recursive: true }));

function put(folder: string, name: string, content: unknown): void {
  const path = join(root, folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content instanceof Uint8Array ? content : JSON.stringify(content));
}

/** All clips of a folder, whose kind is found without being named. */
function read(folder: string, kind: SourceKind): { source: ClipSource; clips: SourceClip[] } {
  assert.equal(detectKind(join(root, folder))?.kind, kind);
  const { source } = openSourceOf(kind, join(root, folder));
  const fail = (error: DataError): never => {
    throw error;
  };
  return { source, clips: [...source.clips(fail, () => {})] };
}

const refuses = (act: () => unknown, words: RegExp): void =>
  assert.throws(act, (error: unknown) => error instanceof DataError && words.test(error.message));

const near = (a: number, b: number, what: string): void => assert.ok(Math.abs(a - b) < 1e-5, `${what}: ${a}, not ${b}`);

/** x, y, confidence of a standing body: hips 100 pixels below the shoulders, at `x`. */
const openPosePerson = (joints: number, x: number, id = -1): object => {
  const keypoints = Array.from({ length: joints }, (_, v) => {
    const [down] = v === 1 ? [100] : joints === 25 ? (v === 8 ? [200] : [150]) : v === 8 || v === 11 ? [200] : [150];
    return v === 4 ? [0, 0, 0] : [x, down, 0.5];
  });
  return { person_id: [id], pose_keypoints_2d: keypoints.flat() };
};

describe("OpenPose", () => {
  const frame = (...people: object[]): object => ({ version: 1.3, people });
  test("a folder of frames: recordings, classes, scale, lost joints, who is who", () => {
    for (let t = 0; t < 3; t++) {
      const two = [openPosePerson(25, 100 + t), openPosePerson(25, 500 + 3 * t)];
      // The tracker lists people in another order in frame 1.
      put("op", `wave/v1_${String(t).padStart(12, "0")}_keypoints.json`, frame(...(t === 1 ? two.reverse() : two)));
      put("op", `sit/v2_${String(t).padStart(12, "0")}_keypoints.json`, frame(...(t === 1 ? [] : [two[0]])));
    }
    const { source, clips } = read("op", "openpose");
    assert.deepEqual(source.classes, ["sit", "wave"]);
    assert.deepEqual(
      clips.map(({ facts, clip }) => [facts.name, facts.label, clip.frames, clip.persons]),
      [
        ["sit/v2", 0, 3, 1],
        ["wave/v1", 1, 3, 2],
      ],
    );
    const { data } = clips[1].clip;
    const at = (t: number, m: number, v: number): number[] => [
      ...data.subarray(((t * 2 + m) * 25 + v) * 3).slice(0, 3),
    ];
    // 100 pixels of trunk are 0.5 m; the one who moves more comes first.
    for (let t = 0; t < 3; t++) {
      near(at(t, 0, 1)[0], -(500 + 3 * t) / 200, `x of frame ${t}`);
      near(at(t, 1, 1)[0], -(100 + t) / 200, `x of frame ${t}`);
      near(at(t, 0, 1)[1] - at(t, 0, 8)[1], 0.5, "trunk");
      assert.equal(at(t, 0, 8)[2], 0);
      assert.ok(Number.isNaN(at(t, 0, 4)[0]), "confidence 0 is lost");
    }
    assert.ok(
      clips[0].clip.data.subarray(75, 150).every((x) => x === 0),
      "nobody in frame 1",
    );
  });
  test("refusals", () => {
    refuses(() => parseOpenPoseFrame(`{"a":1}`, "x.json"), /x\.json: format: .*"people"/);
    refuses(
      () => parseOpenPoseFrame(JSON.stringify(frame({ pose_keypoints_2d: [1, 2] })), "x"),
      /2 numbers; 25 joints/,
    );
    refuses(() => parseOpenPoseFrame(JSON.stringify(frame({})), "x"), /pose_keypoints_2d of person 0 must be a list/);
  });
});

describe("Kinetics-skeleton", () => {
  const body = (x: number): object => ({
    pose: Array.from({ length: 18 }, (_, v) => [x, v === 1 ? 0.25 : 0.5]).flat(),
    score: Array.from({ length: 18 }, (_, v) => (v === 4 ? 0 : 0.7)),
  });
  const clip = (label: string, index: number): object => ({
    data: [
      { frame_index: 1, skeleton: [body(0.5)] },
      { frame_index: 3, skeleton: [body(0.25), body(0.75)] },
    ],
    label,
    label_index: index,
  });
  test("frames between are empty, folders are the split, classes have their names", () => {
    put("ks", "kinetics_train/a.json", clip("wave", 0));
    put("ks", "kinetics_val/b.json", clip("run", 2));
    const { source, clips } = read("ks", "kinetics-skeleton");
    assert.deepEqual(source.classes, ["wave", "class 1", "run"]);
    assert.deepEqual(
      clips.map(({ facts }) => source.protocols[0].split(facts)),
      ["train", "test"],
    );
    const [{ clip: first }] = clips;
    assert.deepEqual([first.frames, first.persons, first.joints], [3, 2, 18]);
    near(first.data[3 + 1] - first.data[8 * 3 + 1], 0.5, "trunk");
    assert.ok(Number.isNaN(first.data[12]));
  });
  test("refusals", () => {
    const wrong = (change: object): string => JSON.stringify({ ...clip("a", 0), ...change });
    refuses(() => parseKineticsSkeleton(wrong({ label_index: 0.5 }), "x"), /label_index is 0\.5/);
    refuses(() => parseKineticsSkeleton(wrong({ data: [{ frame_index: 0, skeleton: [] }] }), "x"), /frame_index 0/);
    refuses(
      () => parseKineticsSkeleton(wrong({ data: [{ skeleton: [{ pose: [], score: [] }] }] }), "x"),
      /not 36 and 18/,
    );
  });
});

describe("PySKL in 2D", () => {
  const annotation = (name: string, change: object = {}): object => ({
    frame_dir: name,
    label: name === "a" ? 0 : 1,
    keypoint: hostTensor(
      "f32",
      [1, 2, 17, 2],
      Float32Array.from({ length: 68 }, (_, i) => (i % 2 === 0 ? 320 : [5, 6].includes((i >> 1) % 17) ? 100 : 200)),
    ),
    keypoint_score: hostTensor(
      "f32",
      [1, 2, 17],
      Float32Array.from({ length: 34 }, (_, i) => (i === 3 ? 0 : 0.9)),
    ),
    ...change,
  });
  const file = (...annotations: object[]): Uint8Array =>
    numpyPickle({ split: { xsub_train: ["a"], xsub_val: ["b"] }, annotations } as never);
  test("COCO's joints, scaled, those of score 0 lost; one command prepares", async () => {
    put("py2d", "ntu_hrnet.pkl", file(annotation("a"), annotation("b")));
    const { source, clips } = read("py2d", "pyskl");
    assert.equal(source.layout.name, COCO17.name);
    const { data } = clips[0].clip;
    assert.ok(Number.isNaN(data[3 * 3]) && data[(17 + 3) * 3] < 0);
    near(data[5 * 3 + 1] - data[11 * 3 + 1], 0.5, "trunk");
    const report = await prepareStore(openSourceOf("pyskl", join(root, "py2d")).source, join(root, "py2d.clips"));
    assert.deepEqual([report.clips, report.layout, report.normalization], [2, "coco17", "centre"]);
  });
  test("refusals", () => {
    put("py2d-bad", "x.pkl", file(annotation("a", { keypoint_score: null })));
    refuses(() => openSourceOf("pyskl", join(root, "py2d-bad")), /a lacks a keypoint_score of \[?1, 2, 17/);
  });
});

describe("MediaPipe", () => {
  const person = (x: number): object[] =>
    MEDIAPIPE33.joints.map((_, v) => ({ x: x + v / 100, y: v / 50, z: 0.25, visibility: v === 20 ? 0 : 0.9 }));
  test("world landmarks: turned, lost where not visible; persons by their place in the picture", () => {
    const [a, b] = [person(0.1), person(0.5)];
    const frames = [
      { landmarks: [person(0), person(0.8)], worldLandmarks: [a, b] },
      { landmarks: [person(0.8), person(0)], worldLandmarks: [b, a] },
      { landmarks: [], worldLandmarks: [] },
    ];
    put("mp", "wave/one.json", frames);
    const { clips } = read("mp", "mediapipe");
    const { data, frames: count, persons } = clips[0].clip;
    assert.deepEqual([count, persons], [3, 2]);
    assert.deepEqual([data[0], data[99]].map((x) => x.toFixed(3)).sort(), ["-0.100", "-0.500"]);
    near(data[198], data[0], "the first person stays");
    near(data[198 + 99], data[99], "the second person stays");
    near(data[3 + 1], -1 / 50, "y");
    assert.ok(Number.isNaN(data[60]));
  });
  test("other programs' forms, and pictures", () => {
    const plain = parseMediaPipe(
      JSON.stringify([null, { pose_world_landmarks: { landmark: person(0) } }, { pose_world_landmarks: null }]),
      "x",
    );
    assert.deepEqual([plain.world, plain.clip.frames], [true, 3]);
    const picture = parseMediaPipe(
      JSON.stringify({ width: 640, height: 320, frames: [{ pose_landmarks: { landmark: person(0) } }] }),
      "x",
    );
    assert.equal(picture.world, false);
    const { data } = picture.clip;
    const [hip, shoulder] = [23.5, 11.5];
    // From hips to shoulders x goes 12/100 of twice the height, y 12/50.
    const trunk = Math.hypot(0.24, 0.24);
    near(data[23 * 3] - data[11 * 3], (-0.24 * 0.5) / trunk, "x");
    near(data[23 * 3 + 1] - data[11 * 3 + 1], (-((hip - shoulder) / 50) * 0.5) / trunk, "y");
    refuses(() => parseMediaPipe(JSON.stringify([person(0).slice(1)]), "x"), /32 landmarks; MediaPipe Pose has 33/);
    refuses(() => parseMediaPipe("{}", "x"), /the frames of a MediaPipe file must be a list/);
  });
});

describe("Azure Kinect", () => {
  const places = (x: number): number[][] => Array.from({ length: 32 }, (_, v) => [x, 100 * v, 2000]);
  test("millimetres, turned, by body_id; confidence 0 is lost", () => {
    const body = (id: number, x: number): object => ({
      body_id: id,
      joint_positions: places(x),
      joint_confidences: places(0).map((_, v) => (v === 5 ? 0 : 2)),
    });
    put("ak", "kick/r.json", {
      joint_names: [],
      frames: [
        { frame_id: 0, bodies: [body(1, 500), body(2, -500)] },
        { frame_id: 1, bodies: [body(2, 400), body(1, 450)] },
      ],
    });
    const { clips } = read("ak", "azure-kinect");
    const { data, persons } = clips[0].clip;
    assert.equal(persons, 2);
    assert.deepEqual(
      [data[0], data[192], data[96], data[192 + 96]].map((x) => Math.fround(x)),
      [0.5, -0.4, -0.5, -0.45].map(Math.fround),
    );
    near(data[4], -0.1, "y");
    near(data[5], 2, "z");
    assert.ok(Number.isNaN(data[15]));
    refuses(
      () => parseAzureKinect(`{"frames":[{"bodies":[{"joint_positions":[]}]}]}`, "x"),
      /0 joints; Azure Kinect has 32/,
    );
  });
});
