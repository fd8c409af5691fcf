/** Preparation: every kind of raw input becomes a store with its protocols; bad input is counted; nothing is lost. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clip, PrepareOptions, PrepareReport, SourceKind, SourceKindOptions } from "../../../src/data/index.ts";
import {
  ClipStore,
  DataError,
  describeStore,
  generatedSource,
  KINECT_V1_20,
  layoutMap,
  mapClip,
  normalizeClip,
  NTU25,
  openSourceOf,
  prepareStore,
  toChannelsFirst,
  uprightClip,
} from "../../../src/data/index.ts";
import { hostTensor, writeNpy } from "../../../src/io/index.ts";
import { SHARED_DATA, unless } from "../helpers.ts";
import { erase, randomClip, skeletonText } from "../synthetic.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-prepare-"));
after(() => rmSync(folder, { recursive: true }));
let next = 0;

function inFolder(): string {
  const path = join(folder, String(next++));
  mkdirSync(path);
  return path;
}

function prepare(
  kind: SourceKind,
  source: string,
  options: SourceKindOptions = {},
  more: PrepareOptions = {},
): Promise<PrepareReport> {
  const opened = openSourceOf(kind, source, options);
  return prepareStore(opened.source, join(folder, `${next++}.clips`), { map: opened.map, ...more });
}

function clipsOf(path: string): Map<string, Clip> {
  const store = ClipStore.open(path);
  const clips = new Map(Array.from({ length: store.length }, (_, i) => [store.facts(i).name, store.read(i)]));
  store.close();
  return clips;
}

/** Clips of `joints` joints as a folder of npy files. */
function writeNpyFolder(
  clips: readonly Clip[],
  labels: readonly number[],
  columns: Readonly<Record<string, readonly number[]>> = {},
): string {
  const path = inFolder();
  const frames = Math.max(...clips.map((clip) => clip.frames));
  const [{ joints, persons }] = clips;
  const data = new Float32Array(clips.length * 3 * frames * joints * persons);
  clips.forEach((clip, i) => data.set(toChannelsFirst(clip, frames), (i * data.length) / clips.length));
  writeNpy(join(path, "data.npy"), hostTensor("f32", [clips.length, 3, frames, joints, persons], data));
  const all = { labels, num_frame: clips.map((clip) => clip.frames), ...columns };
  for (const [name, values] of Object.entries(all))
    writeNpy(join(path, `${name}.npy`), hostTensor("i32", [values.length], Int32Array.from(values)));
  return path;
}

describe("npy", () => {
  const clips = [randomClip(1, 9, 1, 20), randomClip(2, 5, 1, 20), randomClip(3, 7, 1, 20)];

  test("a data set known by name is mapped to NTU's joints, normalised, and split by its protocol", async () => {
    const source = writeNpyFolder(clips, [0, 1, 0], { subjects: [1, 2, 3], views: [1, 3, 2] });
    const report = await prepare("nw-ucla", source);
    assert.deepEqual([report.clips, report.layout, report.persons, report.classes], [3, "ntu25", 1, 2]);
    assert.deepEqual(report.protocols, [{ name: "nw-ucla-xview", train: 2, test: 1 }]);
    const map = layoutMap(KINECT_V1_20, NTU25);
    const stored = clipsOf(report.path);
    clips.forEach((clip, i) => assert.deepEqual(stored.get(String(i)), uprightClip(mapClip(clip, map), NTU25)));
    const published = await prepare("nw-ucla", source, {}, { normalize: "full" });
    const full = clipsOf(published.path);
    clips.forEach((clip, i) => assert.deepEqual(full.get(String(i)), normalizeClip(mapClip(clip, map), NTU25.axes)));
  });

  test("as it is: no map, no normalisation, cut to fewer frames", async () => {
    const source = writeNpyFolder(clips, [0, 1, 0], { views: [1, 3, 2] });
    const report = await prepare("nw-ucla", source, { map: "none" }, { normalize: false, maxFrames: 6 });
    const stored = clipsOf(report.path);
    assert.deepEqual([report.layout, describeStore(report.path).normalized], ["kinect-v1-20", false]);
    clips.forEach((clip, i) =>
      assert.deepEqual(stored.get(String(i))!.data, clip.data.slice(0, Math.min(6, clip.frames) * 60)),
    );
  });

  test("anybody's own skeleton: a layout and a map from files; split.npy or test subjects as protocols", async () => {
    const own = [randomClip(4, 8, 1, 3), randomClip(5, 8, 1, 3)];
    const source = writeNpyFolder(own, [0, 1], { subjects: [4, 7], split: [0, 1] });
    const [layout, map] = [join(folder, "stick.json"), join(folder, "stick-map.json")];
    writeFileSync(
      layout,
      JSON.stringify({
        name: "stick",
        joints: ["foot", "hip", "head"],
        parents: [-1, 0, 1],
        axes: { centre: "hip", up: ["foot", "head"], across: ["foot", "hip"] },
      }),
    );
    writeFileSync(
      map,
      JSON.stringify(
        NTU25.joints.map((_, v) =>
          v % 2
            ? [
                [0, 0.5],
                [1, 0.5],
              ]
            : [[2, 1]],
        ),
      ),
    );
    const plain = await prepare("npy", source, { layout, testSubjects: [7] });
    assert.deepEqual(plain.protocols, [
      { name: "xsub", train: 1, test: 1 },
      { name: "given", train: 1, test: 1 },
    ]);
    assert.equal(plain.layout, "stick");
    const mapped = await prepare("npy", source, { layout, map }, { normalize: false });
    const [clip] = clipsOf(mapped.path).values();
    assert.equal(clip.joints, 25);
    assert.deepEqual(clip.data.slice(0, 3), own[0].data.slice(6, 9));
    assert.deepEqual(
      clip.data.slice(3, 6),
      Float32Array.from({ length: 3 }, (_, c) => 0.5 * own[0].data[c] + 0.5 * own[0].data[3 + c]),
    );
  });

  test("wrong shapes, labels and NaN are named with file and reason", async () => {
    const bad = randomClip(6, 5, 1, 20);
    bad.data[17] = NaN;
    const source = writeNpyFolder([clips[0], bad], [0, 1], { views: [1, 3] });
    const report = await prepare("nw-ucla", source);
    assert.deepEqual([report.clips, report.badByReason], [1, { "not-finite": 1 }]);
    assert.match(report.bad[0].file, /data\.npy\[1\] \(1\)/);
    await assert.rejects(
      prepare("nw-ucla", source, {}, { onBad: "fail" }),
      /not-finite: coordinate z is NaN in frame 0, person 0, joint 5/,
    );
    writeFileSync(join(source, "class_names.json"), `["only one"]`);
    await assert.rejects(async () => prepare("nw-ucla", source), /labels\.npy: label: entry 1 is 1, outside 0\.\.0/);
    await assert.rejects(async () => prepare("sbu", source), /has 20 joints; layout "sbu15" has 15/);
    await assert.rejects(
      async () => prepare("npy", source, { layout: "human" }),
      /no layout "human": neither built in \(ntu25, /,
    );
  });

  for (const [kind, set, clipCount, protocols] of [
    ["nw-ucla", "nw_ucla", 1484, { "nw-ucla-xview": [1020, 464] }],
    ["utd-mhad", "utd_mhad", 861, { "utd-mhad-xsub": [431, 430] }],
    ["sbu", "sbu", 282, { "sbu-fold1": [227, 55], "sbu-fold5": [217, 65] }],
  ] as const) {
    test(`the real ${set}`, { skip: unless(`${SHARED_DATA}/${set}`) }, async () => {
      const report = await prepare(kind, `${SHARED_DATA}/${set}`);
      assert.deepEqual([report.clips, report.bad], [clipCount, []]);
      for (const [name, sizes] of Object.entries(protocols)) {
        const found = report.protocols.find((protocol) => protocol.name === name)!;
        assert.deepEqual([found.train, found.test], sizes);
      }
      assert.deepEqual(describeStore(report.path, true).damaged, []);
    });
  }
});

describe("NTU RGB+D", () => {
  test("samples in folders, either line end; the list of missing ones left out; broken ones skipped", async () => {
    const source = inFolder();
    mkdirSync(join(source, "more"));
    const two = randomClip(7, 6, 2, 25);
    erase(two, 3, 1);
    const bodies = Array.from({ length: 6 }, (_, t) =>
      t === 3 ? [["11", 0] as const] : [["11", 0] as const, ["12", 1] as const],
    );
    writeFileSync(join(source, "S001C001P001R001A001.skeleton"), skeletonText(two, bodies));
    writeFileSync(join(source, "more", "S001C002P003R001A050.skeleton"), skeletonText(two, bodies, "\r\n"));
    writeFileSync(join(source, "S001C003P001R001A002.skeleton"), "5\n1\n");
    writeFileSync(join(source, "S001C003P001R001A003.skeleton"), skeletonText(two, bodies));
    const missing = join(source, "missing.txt");
    writeFileSync(missing, "Samples with missing skeletons\nS001C003P001R001A003\n");
    const report = await prepare("ntu60", source, { missing });
    assert.deepEqual([report.clips, report.classes, report.leftOut, report.badByReason], [2, 60, 1, { format: 1 }]);
    assert.deepEqual(report.protocols, [
      { name: "ntu60-xsub", train: 1, test: 1 },
      { name: "ntu60-xview", train: 1, test: 1 },
    ]);
    const store = ClipStore.open(report.path);
    assert.deepEqual(store.facts(0), { name: "S001C001P001R001A001", label: 0, subject: 1, camera: 1, setup: 1 });
    assert.deepEqual(store.facts(1), { name: "S001C002P003R001A050", label: 49, subject: 3, camera: 2, setup: 1 });
    assert.deepEqual(store.read(0).data, store.read(1).data);
    store.close();
  });

  test("real files", { skip: unless(`${SHARED_DATA}/raw_samples`) }, async () => {
    const report = await prepare("ntu60", `${SHARED_DATA}/raw_samples/ntu`);
    assert.deepEqual([report.clips, report.bad], [10, []]);
    const both = await prepare("ntu120", `${SHARED_DATA}/raw_samples/ntu`);
    assert.deepEqual(
      both.protocols.map(({ name }) => name),
      ["ntu120-xsub", "ntu120-xset"],
    );
  });
});

test("PKU-MMD: label files cut recordings into clips; the split list names recordings", async () => {
  const [source, labels] = [inFolder(), inFolder()];
  const recording = randomClip(8, 40, 2, 25);
  const lines = Array.from({ length: 40 }, (_, t) => [...recording.data.subarray(t * 150, (t + 1) * 150)].join(" "));
  for (const name of ["A01N01-L", "A02N05-R"]) writeFileSync(join(source, `${name}.txt`), lines.join("\n") + "\n");
  writeFileSync(join(labels, "A01N01-L.txt"), "3,0,10,2\n51,12,30,1\n7,90,95,1\n");
  writeFileSync(join(labels, "A02N05-R.txt"), "1,5,40,2\n");
  const splitList = join(labels, "cross_subject_v2.list.txt");
  writeFileSync(splitList, "Training videos:\nA01N01-L\nValidation videos:\nA02N05-R\n");
  const report = await prepare("pku-mmd", source, { labels, splitList });
  assert.deepEqual([report.clips, report.classes, report.badByReason], [3, 51, { label: 1 }]);
  assert.deepEqual(report.protocols, [{ name: "pku-mmd-cross-subject-v2-list", train: 2, test: 1 }]);
  assert.deepEqual(
    [...clipsOf(report.path)].map(([name, clip]) => [name, clip.frames]),
    [
      ["A01N01-L_0", 10],
      ["A01N01-L_1", 18],
      ["A02N05-R_0", 35],
    ],
  );
  rmSync(join(labels, "A02N05-R.txt"));
  const without = await prepare("pku-mmd", source, { labels });
  assert.deepEqual([without.clips, without.protocols], [2, []]);
  assert.ok(without.bad.some(({ file, detail }) => file.endsWith("A02N05-R.txt") && /no label file/.test(detail)));
});

test("CSV: a table of labels with subjects and splits, columns by a specification", async () => {
  const source = inFolder();
  const row = (x: number): string => [x, x + 1, x + 2, x + 3, x + 4, x + 5].join(";");
  for (const [name, x] of [
    ["a", 1],
    ["b", 2],
    ["c", 3],
  ] as const)
    writeFileSync(join(source, `${name}.csv`), `${row(x)}\n${row(x)}\n`);
  const labels = join(source, "labels.csv");
  writeFileSync(labels, "file,label,subject,split\na.csv,10,1,train\nb.csv,9,2,test\n");
  const spec = join(folder, "spec.json");
  const layout = {
    name: "two",
    joints: ["low", "high"],
    parents: [-1, 0],
    axes: { centre: "low", up: ["low", "high"], across: ["low", "high"] },
  };
  writeFileSync(spec, JSON.stringify({ layout, fields: ["x", "y", "z"], delimiter: ";" }));
  const report = await prepare("csv", source, { spec, labels, testSubjects: [2] }, { normalize: false });
  assert.deepEqual([report.clips, report.badByReason], [2, { label: 1 }]);
  assert.match(report.bad[0].detail, /has no line in .*labels\.csv/);
  assert.deepEqual(report.protocols, [
    { name: "xsub", train: 1, test: 1 },
    { name: "given", train: 1, test: 1 },
  ]);
  assert.deepEqual(describeStore(report.path).classes, [
    { name: "9", clips: 1 },
    { name: "10", clips: 1 },
  ]);
  assert.deepEqual([...clipsOf(report.path).get("a.csv")!.data.slice(0, 6)], [1, 2, 3, 4, 5, 6]);
  for (const [text, message] of [
    ["name,label\n", /first line must name the columns file,label/],
    ["file,label,split\na.csv,1,dev\n", /line 2: split is "dev"; it must be train or test/],
    ["file,label\na.csv,1\na.csv,2\n", /a\.csv is listed twice/],
    ["file,label,subject\na.csv,1,x\n", /line 2: subject is "x"/],
  ] as const) {
    writeFileSync(labels, text);
    await assert.rejects(async () => prepare("csv", source, { spec, labels }), message);
  }
});

describe("a store appears whole or not at all", () => {
  test("a failure or an interruption leaves what was there, and no other file", async () => {
    const own = inFolder();
    const path = join(own, "kept.clips");
    await prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), path);
    const before = readFileSync(path);
    const controller = new AbortController();
    await assert.rejects(
      prepareStore(generatedSource({ subjects: 4, repetitions: 2 }), path, {
        signal: controller.signal,
        onProgress: ({ done }) => {
          if (done === 20) controller.abort(new Error("stop"));
        },
      }),
      /stop/,
    );
    const failing = {
      ...generatedSource({ subjects: 2, repetitions: 1 }),
      // biome-ignore lint/correctness/useYield: it fails before its first clip.
      *clips(): Generator<never> {
        throw new DataError("x", "format", "broken");
      },
    };
    await assert.rejects(prepareStore(failing, path, { onBad: "fail" }), /x: format: broken/);
    assert.deepEqual(readFileSync(path), before);
    assert.deepEqual(readdirSync(own), ["kept.clips"]);
  });

  test("where not one clip can be used, the first fault is told", async () => {
    const source = inFolder();
    writeFileSync(join(source, "S001C001P001R001A001.skeleton"), "x");
    await assert.rejects(
      async () => prepare("ntu60", source),
      /A001\.skeleton: format: .*not one of 1 inputs can be used/,
    );
    await assert.rejects(
      async () => prepare("ntu60", join(folder, "nowhere")),
      /nowhere: unreadable: there is no such folder/,
    );
    assert.ok(!existsSync(join(folder, `${next - 1}.clips`)));
  });
});
