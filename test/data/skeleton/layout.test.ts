/** Layouts, user layouts, maps between layouts, streams of bones. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { newClip } from "../../../src/data/skeleton/clip.ts";
import { DataError } from "../../../src/data/errors.ts";
import { hasAxes, KINECT_V1_20, loadLayout, NTU25, parseLayout, SBU15 } from "../../../src/data/skeleton/layout.ts";
import { layoutNamed, LAYOUTS } from "../../../src/data/skeleton/layouts.ts";
import {
  KINECT_V1_20_TO_NTU25,
  LAYOUT_MAPS,
  layoutMap,
  SBU15_TO_NTU25,
} from "../../../src/data/skeleton/built-in-maps.ts";
import { loadLayoutMap, mapClip, parseLayoutMap } from "../../../src/data/skeleton/layout-map.ts";
import { normalizeClip } from "../../../src/data/skeleton/normalize.ts";
import { toStream } from "../../../src/data/skeleton/streams.ts";
import { maxDifference, SHARED_DATA, unless } from "../helpers.ts";
import { randomClip } from "../synthetic.ts";

/** The published (child, parent) bone pairs of NTU RGB+D, counted from 1. */
const NTU_PAIRS = [
  [1, 2],
  [2, 21],
  [3, 21],
  [4, 3],
  [5, 21],
  [6, 5],
  [7, 6],
  [8, 7],
  [9, 21],
  [10, 9],
  [11, 10],
  [12, 11],
  [13, 1],
  [14, 13],
  [15, 14],
  [16, 15],
  [17, 1],
  [18, 17],
  [19, 18],
  [20, 19],
  [21, 21],
  [22, 23],
  [23, 8],
  [24, 25],
  [25, 12],
];

const COCO = {
  name: "coco4",
  joints: ["nose", "left_hip", "right_hip", "left_shoulder"],
  parents: { left_hip: "nose", right_hip: 0, left_shoulder: "left_hip" },
  axes: { centre: ["left_hip", "right_hip"], up: [["left_hip", "right_hip"], "nose"], across: ["left_hip", 2] },
};

describe("layouts", () => {
  test("the bones of ntu25 are the published pairs", () => {
    for (const [child, parent] of NTU_PAIRS) {
      assert.equal(NTU25.parents[child - 1], child === parent ? -1 : parent - 1);
    }
  });

  test("built-in layouts pass the checks of a user's", () => {
    for (const layout of LAYOUTS) {
      assert.deepEqual(parseLayout(JSON.parse(JSON.stringify(layout))), layout);
      assert.equal(layoutNamed(layout.name), layout);
    }
    assert.throws(
      () => layoutNamed("giraffe"),
      /no skeleton layout "giraffe"; built in are ntu25, kinect-v1-20, sbu15/,
    );
  });

  test("without axes the roots are the centre and there are no directions, in a store as well", () => {
    const { axes: _, ...plain } = COCO;
    const layout = parseLayout(plain);
    assert.deepEqual([hasAxes(layout), hasAxes(parseLayout(COCO))], [false, true]);
    assert.deepEqual(layout.axes.centre, [0]);
    assert.deepEqual(parseLayout(JSON.parse(JSON.stringify(layout))), layout);
  });

  test("a user's layout: names or indices, parents by child, axes through means of joints", () => {
    const layout = parseLayout(COCO);
    assert.deepEqual(layout.parents, [-1, 0, 0, 1]);
    assert.deepEqual(layout.axes, { centre: [1, 2], up: [[1, 2], [0]], across: [[1], [2]] });
    assert.equal(layout.persons, 1);
    const clip = normalizeClip(randomClip(1, 3, 1, 4), layout.axes);
    const at = (v: number) => [...clip.data.subarray(v * 3, v * 3 + 3)];
    const middle = at(1).map((x, c) => (x + at(2)[c]) / 2);
    assert.ok(maxDifference(middle, [0, 0, 0]) < 1e-6);
    const across = at(2).map((x, c) => x - at(1)[c]);
    assert.ok(maxDifference(across, [Math.hypot(...across), 0, 0]) < 1e-6);
  });

  test("a wrong layout is refused with the rule", () => {
    const wrong = (change: object, part: RegExp) =>
      assert.throws(
        () => parseLayout({ ...COCO, ...change }, "l.json"),
        (error: unknown) => {
          assert.ok(error instanceof DataError && error.file === "l.json" && error.reason === "format");
          assert.match(error.message, part);
          return true;
        },
      );
    wrong({ name: "" }, /"name" must be/);
    wrong({ joints: ["a"] }, /at least two/);
    wrong({ joints: ["a", "b", "a", "c"] }, /"a" twice/);
    wrong({ parents: [-1, 0] }, /2 entries for 4 joints/);
    wrong({ parents: [-1, 2, 1, 0] }, /circle through left_hip/);
    wrong({ parents: [-1, 2, 9, 0] }, /9 is neither a joint name nor an index below 4/);
    wrong({ parents: 3 }, /must be a list/);
    wrong({ persons: 0 }, /positive integer/);
    wrong({ axes: "up" }, /"axes" must be/);
    wrong({ axes: { up: [[], []], across: [[], []] } }, /"axes.centre"|empty list/);
    wrong({ axes: { ...COCO.axes, up: ["nose"] } }, /"axes.up" must be a pair/);
    wrong({ axes: { ...COCO.axes, centre: ["knee"] } }, /"axes.centre": "knee" is neither/);
    wrong({ axes: { ...COCO.axes, centre: [] } }, /empty list/);
    wrong({ bones: [] }, /unknown key "bones"/);
    assert.throws(() => parseLayout([]), /JSON object/);
  });

  test("layout and map files", () => {
    const folder = mkdtempSync(join(tmpdir(), "hico-layout-"));
    const path = join(folder, "l.json");
    assert.throws(() => loadLayout(path), { name: "DataError", reason: "unreadable", file: path });
    writeFileSync(path, "{");
    assert.throws(() => loadLayout(path), { name: "DataError", reason: "format", file: path });
    writeFileSync(path, JSON.stringify(COCO));
    const layout = loadLayout(path);
    assert.equal(layout.name, "coco4");
    writeFileSync(path, "[[[0,1]],[[1,1]]]");
    assert.throws(() => loadLayoutMap(path, NTU25, layout), { name: "DataError", reason: "format", file: path });
    writeFileSync(path, "[[[3,1]],[[12,1]],[[16,1]],[[4,0.5],[8,0.5]]]");
    assert.deepEqual(loadLayoutMap(path, NTU25, layout).sources[3], [
      [4, 0.5],
      [8, 0.5],
    ]);
    writeFileSync(path, "[");
    assert.throws(() => loadLayoutMap(path, NTU25, layout), { name: "DataError", reason: "format", file: path });
    rmSync(folder, { recursive: true });
    assert.throws(() => loadLayoutMap(path, NTU25, layout), { name: "DataError", reason: "unreadable", file: path });
  });
});

describe("maps between layouts", () => {
  test("every joint is a weighted mean; an absent person stays absent", () => {
    const clip = randomClip(9, 2, 2, 15);
    clip.data.fill(0, 45, 90);
    const mapped = mapClip(clip, SBU15_TO_NTU25);
    assert.equal(mapped.joints, 25);
    const joint = (v: number) => [...clip.data.subarray(v * 3, v * 3 + 3)];
    const pelvis = joint(9).map((x, c) => (x + joint(12)[c]) / 2);
    assert.ok(maxDifference(mapped.data.subarray(0, 3), pelvis) < 1e-6);
    assert.deepEqual([...mapped.data.subarray(9, 12)], joint(0));
    assert.ok(mapped.data.subarray(75, 150).every((x) => x === 0));
    assert.throws(() => mapClip(clip, KINECT_V1_20_TO_NTU25), /15 joints; the map is from "kinect-v1-20" with 20/);
  });

  test("maps are found by name, the identity included", () => {
    assert.equal(layoutMap(SBU15, NTU25), SBU15_TO_NTU25);
    const clip = randomClip(1, 2, 1, 25);
    assert.deepEqual(mapClip(clip, layoutMap(NTU25, NTU25)), clip);
    assert.throws(() => layoutMap(NTU25, SBU15), /no built-in map from layout "ntu25" to "sbu15"/);
  });

  test("a wrong map is refused with the rule", () => {
    const identity = SBU15.joints.map((_, v): unknown[] => [[v, 1]]);
    const wrong = (at: number, entry: unknown, part: RegExp) =>
      assert.throws(() => parseLayoutMap(identity.with(at, entry as unknown[]), SBU15, SBU15, "m.json"), part);
    assert.equal(parseLayoutMap(identity, SBU15, SBU15).sources.length, 15);
    wrong(2, [], /m.json: format: joint Torso needs a non-empty list/);
    wrong(2, [[15, 1]], /not \[joint below 15, weight\]/);
    wrong(2, [[1]], /not \[joint below 15, weight\]/);
    wrong(2, [[1, null]], /weight null is not a finite number/);
    wrong(
      2,
      [
        [1, 0.5],
        [2, 0.4],
      ],
      /weights sum to 0.9; they must sum to 1/,
    );
  });

  test("built-in maps give all of NTU's joints, left from left and right from right", () => {
    const side = (name: string): string => /left|right/i.exec(name)?.[0].toLowerCase() ?? "";
    const names = LAYOUT_MAPS.map(({ from }) => from.name);
    for (const name of ["coco17", "openpose18", "openpose25", "h36m17", "mediapipe33", "smpl22", "azure-kinect32"])
      assert.ok(names.includes(name), name);
    for (const { from, to, sources } of LAYOUT_MAPS) {
      const map = parseLayoutMap(JSON.parse(JSON.stringify(sources)) as unknown, from, to);
      assert.equal(map.to, NTU25);
      map.sources.forEach((joints, v) => {
        const sides = new Set(joints.map(([joint]) => side(from.joints[joint])));
        const balanced = sides.size === 2 && sides.has("left") && sides.has("right");
        const own = side(NTU25.joints[v]);
        assert.ok(own === "" ? balanced || [...sides].join() === "" : [...sides].join() === own, `${from.name} ${v}`);
      });
    }
  });

  test("the built-in maps are those of the prepared data sets", { skip: unless(SHARED_DATA) }, () => {
    for (const [set, from] of [
      ["nw_ucla", "kinect-v1-20"],
      ["utd_mhad", "kinect-v1-20"],
      ["sbu", "sbu15"],
    ]) {
      const json: unknown = JSON.parse(readFileSync(`${SHARED_DATA}/${set}/ntu25_map.json`, "utf8"));
      const map = LAYOUT_MAPS.find((m) => m.from.name === from);
      assert.deepEqual(parseLayoutMap(json, layoutNamed(from), NTU25).sources, map?.sources);
    }
    assert.equal(KINECT_V1_20.persons, 1);
  });
});

describe("streams", () => {
  test("bones point from parent to child, motion to the next frame", () => {
    const clip = randomClip(4, 3, 2, 15);
    const bone = toStream(clip, "bone", SBU15.parents);
    const motion = toStream(clip, "motion", SBU15.parents);
    for (let i = 0; i < clip.data.length; i++) {
      const v = Math.floor(i / 3) % 15;
      const parent = SBU15.parents[v];
      assert.equal(bone.data[i], parent < 0 ? 0 : Math.fround(clip.data[i] - clip.data[i + (parent - v) * 3]));
      assert.equal(motion.data[i], i < 180 ? Math.fround(clip.data[i + 90] - clip.data[i]) : 0);
    }
    assert.equal(toStream(clip, "joint", SBU15.parents), clip);
    assert.throws(() => toStream(clip, "bone", NTU25.parents), /25 bone parents for a clip of 15 joints/);
    assert.throws(() => toStream(newClip(1, 1, 1), "acceleration" as "bone", [-1]), /no stream "acceleration"/);
  });
});
