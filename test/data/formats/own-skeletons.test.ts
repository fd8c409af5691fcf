/** Recordings of one's own: long ones cut into windows, and MediaPipe's landmarks as the 25 joints of NTU. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { Clip } from "../../../src/data/skeleton/clip.ts";
import { generateClip } from "../../../src/data/synthetic/generator.ts";
import { loadLayout, NTU25 } from "../../../src/data/skeleton/layout.ts";
import { normalizeClip } from "../../../src/data/skeleton/normalize.ts";
import type { PrepareOptions, PrepareReport } from "../../../src/data/sources/prepare.ts";
import { prepareStore } from "../../../src/data/sources/prepare.ts";
import type { SourceKindOptions } from "../../../src/data/sources/kinds.ts";
import { openSourceOf } from "../../../src/data/sources/kinds.ts";
import { ClipStore } from "../../../src/data/store/store.ts";
import { SYNTHETIC_ACTIONS } from "../../../src/data/synthetic/actions.ts";
import { parseWindows, windowsOf } from "../../../src/data/sources/windows.ts";
import { SHARED_DATA, unless } from "../helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-own-"));
after(() => rmSync(folder, { recursive: true }));
const store = join(folder, "store.clips");

function prepareCsv(source: string, options: SourceKindOptions, prepare: PrepareOptions = {}): Promise<PrepareReport> {
  const { source: opened, map } = openSourceOf("csv", source, options);
  return prepareStore(opened, store, { map, ...prepare });
}

function storedClips(): { name: string; label: number; subject?: number; clip: Clip }[] {
  const opened = ClipStore.open(store);
  const clips = Array.from({ length: opened.length }, (_, i) => ({ ...opened.facts(i), clip: opened.read(i) }));
  opened.close();
  return clips;
}

test("windows cover a recording, each of the length asked for, the last one ending with it", () => {
  const whole = fc.integer({ min: 1, max: 400 });
  fc.assert(
    fc.property(whole, whole, whole, (frames, length, step) => {
      const hop = Math.min(step, length);
      const windows = windowsOf(frames, { length, hop });
      assert.equal(windows[0][0], 0);
      assert.equal(windows.at(-1)![1], frames);
      windows.forEach(([start, end], i) => {
        assert.equal(end - start, Math.min(length, frames));
        if (i === 0) return;
        assert.ok(start > windows[i - 1][0] && start <= windows[i - 1][1], "a hole, or a window twice");
        if (i < windows.length - 1) assert.equal(start, i * hop);
      });
    }),
  );
});

test("windows are given in frames or seconds", () => {
  assert.deepEqual(parseWindows("90", undefined), { length: 90, hop: 45 });
  assert.deepEqual(parseWindows("1.5s", "0.5s", 20), { length: 30, hop: 10 });
  assert.equal(parseWindows(undefined, undefined), undefined);
  for (const [window, hop, message] of [
    ["soon", undefined, /--window is "soon"; it must be a number of frames \(90\) or of seconds \(3s\)/],
    ["0", undefined, /at least one frame/],
    ["10", "11", /--hop is 11 frames, more than the window's 10/],
    [undefined, "5", /--hop .* needs --window/],
  ] as const)
    assert.throws(() => parseWindows(window, hop), message);
});

test("recordings are cut into windows that keep label, subject and split", async () => {
  const source = join(folder, "long");
  const spec = join(folder, "two.json");
  const layout = {
    name: "two",
    joints: ["a", "b"],
    parents: [-1, 0],
    axes: { centre: ["a"], up: ["a", "b"], across: ["a", "b"] },
  };
  writeFileSync(spec, JSON.stringify({ layout, fields: ["x", "y", "z"], rate: 10 }));
  mkdirSync(source);
  const lines = (count: number): string =>
    Array.from({ length: count }, (_, t) => `${t + 1},0,0,${t + 1},1,0\n`).join("");
  writeFileSync(join(source, "a@b.csv"), lines(25));
  writeFileSync(join(source, "short.csv"), lines(4));
  const labels = join(source, "labels.csv");
  writeFileSync(labels, "file,label,subject,split\na@b.csv,walk,1,train\nshort.csv,run,2,test\n");
  const options = { spec, labels, window: "1s", hop: "0.6s" };
  const report = await prepareCsv(source, options, { normalize: false });
  assert.deepEqual(report.protocols, [{ name: "given", train: 4, test: 1 }]);
  assert.deepEqual(
    storedClips().map(({ name, subject, clip }) => [name, subject, clip.frames, clip.data[0]]),
    [
      ["a@b.csv@0", 1, 10, 1],
      ["a@b.csv@6", 1, 10, 7],
      ["a@b.csv@12", 1, 10, 13],
      ["a@b.csv@15", 1, 10, 16],
      ["short.csv@0", 2, 4, 1],
    ],
  );
  await assert.rejects(
    prepareCsv(source, options, { maxFrames: 9 }),
    /windows of 10 frames are longer than the 9 frames kept/,
  );
  assert.throws(() => openSourceOf("ntu60", source, { window: "10" }), /ntu60 takes no --window/);
});

const mediapipe = (name: string): string => fileURLToPath(new URL(`../../../docs/mediapipe/${name}`, import.meta.url));

/** Joints that both have, by MediaPipe's names. */
const SHARED: Readonly<Record<string, string>> = Object.fromEntries(
  ["left", "right"].flatMap((side) => {
    const ntu = side === "left" ? "Left" : "Right";
    return ["Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle"]
      .map((joint) => [`${side}_${joint.toLowerCase()}`, joint + ntu])
      .concat([
        [`${side}_foot_index`, `Foot${ntu}`],
        [`${side}_index`, `HandTip${ntu}`],
        [`${side}_thumb`, `Thumb${ntu}`],
      ]);
  }),
);

/** A clip as rows of MediaPipe's world landmarks: x to the right of the picture, y down, the origin between the hips. */
function landmarkRows(clip: Clip, names: readonly string[]): string[] {
  return Array.from({ length: clip.frames }, (_, t) => {
    const joint = (name: string): number[] => {
      const at = (t * clip.persons * clip.joints + NTU25.joints.indexOf(name)) * 3;
      return [...clip.data.subarray(at, at + 3)];
    };
    const hips = joint("HipLeft").map((x, c) => (x + joint("HipRight")[c]) / 2);
    const place = (name: string): number[] => {
      const side = name.startsWith("left") ? "Left" : "Right";
      if (SHARED[name] !== undefined) return joint(SHARED[name]);
      // The knuckles lie on both sides of the middle of the hand.
      if (name.endsWith("pinky")) return joint(`Hand${side}`).map((x, c) => 2 * x - joint(`HandTip${side}`)[c]);
      return name.endsWith("heel") ? joint(`Ankle${side}`) : joint("Head");
    };
    return names
      .map((name) => {
        const [x, y, z] = place(name).map((value, c) => value - hips[c]);
        return [-x, -y, z, 0.9].map((value) => value.toFixed(7)).join(",");
      })
      .join(",");
  });
}

test("MediaPipe's landmarks become NTU's joints: places, sides and the origin", async () => {
  const { clip } = generateClip(SYNTHETIC_ACTIONS[0], 0, 1, 1, { noise: 0.2 });
  const { joints: names } = loadLayout(mediapipe("layout.json"));
  assert.equal(names.length, 33);
  const source = join(folder, "mediapipe");
  mkdirSync(join(source, "wave"), { recursive: true });
  const rows = landmarkRows(clip, names);
  // Nobody in one frame.
  const lost = 7;
  rows[lost] = Array.from({ length: 4 * 33 }, () => "nan").join(",");
  const header = names.map((name) => ["x", "y", "z", "v"].map((c) => `${name}_${c}`).join(",")).join(",");
  writeFileSync(join(source, "wave/one.csv"), `${header}\n${rows.join("\n")}\n`);
  const options = { spec: mediapipe("csv.json"), map: mediapipe("to-ntu25.json") };

  await prepareCsv(source, options, { normalize: false });
  const [{ clip: raw }] = storedClips();
  assert.equal(raw.frames, clip.frames);
  const at = (c: Clip, t: number, name: string): number[] => {
    const start = (t * c.persons * c.joints + NTU25.joints.indexOf(name)) * 3;
    return [...c.data.subarray(start, start + 3)];
  };
  const same = [...new Set(Object.values(SHARED)), "HandLeft", "HandRight"];
  for (let t = 0; t < raw.frames; t++) {
    if (t === lost) {
      const [before, after] = [at(raw, t - 1, "Head"), at(raw, t + 1, "Head")];
      at(raw, t, "Head").forEach((x, c) => assert.ok(Math.abs(x - (before[c] + after[c]) / 2) < 1e-5));
      continue;
    }
    const hips = at(clip, t, "HipLeft").map((x, c) => (x + at(clip, t, "HipRight")[c]) / 2);
    for (const name of same) {
      const expected = at(clip, t, name).map((x, c) => x - hips[c] + [0, 0, 3][c]);
      at(raw, t, name).forEach((x, c) =>
        assert.ok(Math.abs(x - expected[c]) < 1e-5, `${name} in frame ${t}: ${x}, not ${expected[c]}`),
      );
    }
    assert.ok(Math.hypot(...at(raw, t, "SpineBase").map((x, c) => x - [0, 0, 3][c])) < 1e-5);
  }

  // Pre-normalised, the two sensors' skeletons nearly coincide: spine and neck are only estimated.
  await prepareCsv(source, options);
  const [{ clip: normalized }] = storedClips();
  const expected = normalizeClip(clip, NTU25.axes);
  const distances = same.flatMap((name) =>
    Array.from({ length: raw.frames }, (_, t) =>
      t === lost ? 0 : Math.hypot(...at(normalized, t, name).map((x, c) => x - at(expected, t, name)[c])),
    ),
  );
  const mean = distances.reduce((sum, d) => sum + d, 0) / distances.length;
  assert.ok(mean < 0.12, `joints are ${mean.toFixed(3)} m apart in the mean`);
});

test("real Kinect recordings, in windows", { skip: unless(`${SHARED_DATA}/raw_samples/kimore`) }, async () => {
  const report = await prepareCsv(`${SHARED_DATA}/raw_samples/kimore`, { window: "4s", hop: "1s" }, { persons: 1 });
  assert.deepEqual([report.clips, report.bad.length], [232, 0]);
  assert.ok(storedClips().every(({ clip }) => clip.frames === 120));
});
