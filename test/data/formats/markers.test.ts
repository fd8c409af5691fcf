/** TRC, C3D, UTKinect and MotionBERT's npy: exactly made files, from the folder to clips. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { ClipSource, SourceClip, SourceKind } from "../../../src/data/index.ts";
import {
  DataError,
  detectKind,
  openSourceOf,
  parseC3d,
  parseTrc,
  parseUtKinect,
  parseUtKinectLabels,
  prepareStore,
} from "../../../src/data/index.ts";
import { encodeNpy, hostTensor } from "../../../src/io/index.ts";
import { c3dFile } from "./c3d-file.ts";

const root = mkdtempSync(join(tmpdir(), "hico-markers-"));
after(() => rmSync(root, { recursive: true }));

function put(name: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), content);
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

const NAMES = ["LASI", "RASI", "LSHO", "RSHO", "LFHD"];
/** Millimetres, z up. */
const BODY = [
  [100, 0, 900],
  [-100, 0, 900],
  [180, 0, 1400],
  [-180, 0, 1400],
  [60, 0, 1700],
];

const trc = (units = "mm", lost = ""): string =>
  [
    "PathFileType\t4\t(X/Y/Z)\twalk.trc",
    "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
    `60\t60\t2\t5\t${units}\t60\t1\t2`,
    `Frame#\tTime\t${NAMES.join("\t\t\t")}`,
    `\t\t${NAMES.map((_, v) => `X${v + 1}\tY${v + 1}\tZ${v + 1}`).join("\t")}`,
    "",
    ...[0, 1].map((t) =>
      [
        t + 1,
        t / 60,
        ...BODY.flatMap((place, v) => (t === 1 && v === 4 && lost ? ["", "", ""] : place.map(String))),
      ].join("\t"),
    ),
    "",
  ].join("\n");

describe("TRC", () => {
  test("metres, lost markers, what is up, axes by names, and a store", async () => {
    put("trc/walk/a.trc", trc("mm", "lost"));
    put("trc/run/b.trc", trc());
    const { source, clips } = read("trc", "trc");
    assert.deepEqual([source.classes, source.up], [["run", "walk"], "z"]);
    assert.deepEqual(source.layout.axes, {
      centre: [0, 1],
      up: [
        [0, 1],
        [2, 3],
      ],
      across: [[2], [3]],
    });
    assert.deepEqual(source.layout.parents, [-1, 0, 0, 2, 2]);
    const { data } = clips[1].clip;
    assert.deepEqual([...data.subarray(6, 9)], [0.18, 0, 1.4].map(Math.fround));
    assert.ok(Number.isNaN(data[9 * 3]));
    const report = await prepareStore(openSourceOf("trc", join(root, "trc")).source, join(root, "trc.clips"));
    assert.deepEqual([report.clips, report.layout], [2, "markers"]);
  });
  test("refusals", () => {
    refuses(() => parseTrc("hello", "x.trc"), /x\.trc: format: line 1 must begin with PathFileType/);
    refuses(() => parseTrc(trc("furlong"), "x"), /Units is "furlong"/);
    refuses(() => parseTrc(trc().replace("RASI", "LASI"), "x"), /marker "LASI" twice/);
    const whole = trc().trimEnd();
    refuses(() => parseTrc(whole.slice(0, whole.lastIndexOf("\n")), "x"), /is cut off: 1 of the 2 frames/);
  });
});

describe("C3D", () => {
  test("more frames than the heading can count", () => {
    const long = Array.from({ length: 66_000 }, (_, t) => [
      [t, 0, 1000],
      [0, t, 1000],
    ]);
    const { clip } = parseC3d(c3dFile(long), "x.c3d");
    assert.equal(clip.frames, 66_000);
    assert.equal(clip.data[(65_999 * 2 + 1) * 3 + 1], Math.fround(65.999));
  });

  const frames = [BODY, BODY.map((place, v) => (v === 2 ? null : place.map((x) => x + 10)))];
  for (const scale of [undefined, 0.1])
    test(`${scale === undefined ? "float32" : "16-bit"} points: metres, names, lost points`, () => {
      const { names, clip, rate } = parseC3d(c3dFile(frames, { scale, names: NAMES }), "x.c3d");
      assert.deepEqual([names, rate, clip.frames], [NAMES, 100, 2]);
      [0.1, 0, 0.9].forEach((x, c) => assert.ok(Math.abs(clip.data[c] - x) < 1e-6));
      assert.ok(Number.isNaN(clip.data[7 * 3]) && Math.abs(clip.data[8 * 3 + 2] - 1.41) < 1e-6);
    });
  test("a folder, and refusals", () => {
    put("c3d/walk/a.c3d", c3dFile(frames, { names: NAMES }));
    const { source, clips } = read("c3d", "c3d");
    assert.deepEqual([source.classes, source.up, clips[0].clip.joints], [["walk"], "z", 5]);
    const whole = c3dFile(frames);
    refuses(
      () => parseC3d(whole.subarray(0, whole.length - 1), "x.c3d"),
      /x\.c3d: shape: 2 frames of 5 points need 160/,
    );
    refuses(() => parseC3d(new Uint8Array(2000), "x"), /is no C3D file/);
    refuses(() => parseC3d(c3dFile(frames, { units: "parsec" }), "x"), /its unit is "parsec"/);
    const dec = whole.slice();
    dec[515] = 85;
    refuses(() => parseC3d(dec, "x"), /DEC computer/);
  });
});

describe("UTKinect", () => {
  const line = (at: number): string => [at, ...Array.from({ length: 60 }, (_, i) => 1 + i / 100)].join("  ");
  const table = "s01_e01\nwalk: 10 14\nsitDown: 16 20\ncarry: NaN NaN\ns02_e01\nwaveHands: 1 3\n";
  test("actions by their frame numbers, which skip and repeat", () => {
    put("ut/actionLabel.txt", table);
    put("ut/joints/joints_s01_e01.txt", [10, 12, 12, 14, 16, 20, 22].map(line).join("\n"));
    put("ut/joints/joints_s02_e01.txt", [1, 3].map(line).join("\r\n"));
    const { source, clips } = read("ut", "utkinect");
    assert.deepEqual(
      clips.map(({ facts, clip }) => [facts.name, facts.label, facts.subject, clip.frames]),
      [
        ["s01_e01/walk@10", 0, 1, 3],
        ["s01_e01/sit down@16", 1, 1, 2],
        ["s02_e01/wave hands@1", 8, 2, 2],
      ],
    );
    assert.deepEqual(
      clips.map(({ facts }) => source.protocols[0].split(facts)),
      ["train", "train", "test"],
    );
  });
  test("refusals", () => {
    refuses(() => parseUtKinectLabels("walk: 1 2", "t.txt"), /t\.txt: label: line 1: an action before any recording/);
    refuses(() => parseUtKinectLabels("s01_e01\nfly: 1 2", "t"), /"fly" is none of walk/);
    refuses(() => parseUtKinect("1 2 3", "x"), /line 1 has 3 numbers; .* 61/);
  });
});

test("MotionBERT's (T, 17, 3): recognised, turned upright", () => {
  const down = Float32Array.from({ length: 2 * 51 }, (_, i) => (i % 3 === 1 ? -Math.floor((i % 51) / 3) / 10 : 0.3));
  put("mb/X3D.npy", encodeNpy(hostTensor("f32", [2, 17, 3], down)));
  const { source, clips } = read("mb", "smpl");
  assert.equal(source.layout.name, "h36m17");
  assert.ok(clips[0].clip.data[8 * 3 + 1] > 0.79 && clips[0].clip.data[0] < 0);
});
