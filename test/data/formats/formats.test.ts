/** Parsers of NTU RGB+D, PKU-MMD, CSV and npy: made-up files everywhere, real recordings where they are. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { bodyEnergy, mainBodies } from "../../../src/data/skeleton/bodies.ts";
import { isPresent, newClip, presentFrames, toChannelsFirst } from "../../../src/data/skeleton/clip.ts";
import type { BadInput } from "../../../src/data/errors.ts";
import { DataError } from "../../../src/data/errors.ts";
import { KINECT_V1_20, NTU25, SBU15 } from "../../../src/data/skeleton/layout.ts";
import { ntuClip, parseNtuSkeleton, trackedBodies } from "../../../src/data/formats/ntu-skeleton.ts";
import {
  cutPkuAction,
  cutPkuRecording,
  parsePkuLabels,
  parsePkuName,
  parsePkuSkeleton,
} from "../../../src/data/formats/pku-mmd.ts";
import type { CsvSpec } from "../../../src/data/formats/skeleton-csv.ts";
import { KINECT_V2_CSV, parseSkeletonCsv } from "../../../src/data/formats/skeleton-csv.ts";
import { NpyClips, npyFilesIn } from "../../../src/data/formats/skeleton-npy.ts";
import { readText } from "../../../src/data/formats/text.ts";
import { writeNpy } from "../../../src/io/numpy/npy.ts";
import { SHARED_DATA, unless } from "../helpers.ts";
import type { Appearance } from "../synthetic.ts";
import { erase, randomClip, skeletonText } from "../synthetic.ts";

/** Asserts a DataError of this file and reason whose message holds `part`. */
function refuses(run: () => unknown, file: string, reason: BadInput, part: string): void {
  assert.throws(run, (error: unknown) => {
    assert.ok(error instanceof DataError, `${String(error)} is not a DataError`);
    assert.equal(error.file, file);
    assert.equal(error.reason, reason);
    assert.ok(error.message.startsWith(`${file}: ${reason}: `) && error.message.includes(part), error.message);
    return true;
  });
}

function inFolder(run: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "hico-data-"));
  try {
    run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("NTU .skeleton", () => {
  test("what is written is read, with either line end and any appearances of bodies", () => {
    const body = fc.constantFrom<Appearance>(["71", 0], ["72", 1], ["73", 2]);
    const frame = fc.uniqueArray(body, { selector: ([id]) => id, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 6 }), fc.boolean(), fc.nat(99), (frames, crlf, seed) => {
        const clip = randomClip(seed, frames.length, 3, 25);
        const recording = parseNtuSkeleton(skeletonText(clip, frames, crlf ? "\r\n" : "\n"), "f");
        assert.equal(recording.frames, frames.length);
        const { ids, clip: tracked } = trackedBodies(recording, "id");
        for (const [id, person] of [
          ["71", 0],
          ["72", 1],
          ["73", 2],
        ] as const) {
          const track = ids.indexOf(id);
          const seen = frames.flatMap((bodies, t) => (bodies.some((b) => b[0] === id) ? [t] : []));
          assert.deepEqual(track < 0 ? [] : presentFrames(tracked, track), seen);
          for (const t of seen) {
            const from = (t * tracked.persons + track) * 75;
            const source = (t * 3 + person) * 75;
            assert.deepEqual(tracked.data.subarray(from, from + 75), clip.data.subarray(source, source + 75));
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test("bodies that swap places are told apart by ID, and kept by place on request", () => {
    const clip = randomClip(5, 2, 2, 25);
    const text = skeletonText(clip, [
      [
        ["9", 0],
        ["8", 1],
      ],
      [
        ["8", 1],
        ["9", 0],
      ],
    ]);
    const recording = parseNtuSkeleton(text, "f");
    assert.deepEqual(trackedBodies(recording, "id").ids, ["9", "8"]);
    assert.deepEqual(trackedBodies(recording, "id").clip.data, clip.data);
    const bySlot = trackedBodies(recording, "slot").clip.data;
    assert.deepEqual(bySlot.subarray(0, 150), clip.data.subarray(0, 150));
    assert.deepEqual(bySlot.subarray(150, 225), clip.data.subarray(225, 300));
  });

  test("the two bodies that move most are kept, the liveliest first", () => {
    const clip = randomClip(6, 8, 3, 25);
    const quiet = (m: number, factor: number): void => {
      for (let t = 0; t < 8; t++) {
        for (let i = 0; i < 75; i++) clip.data[(t * 3 + m) * 75 + i] *= factor;
      }
    };
    quiet(0, 0.5);
    quiet(1, 0.01);
    const frames = Array.from({ length: 8 }, (): Appearance[] => [
      ["1", 0],
      ["2", 1],
      ["3", 2],
    ]);
    const kept = ntuClip(parseNtuSkeleton(skeletonText(clip, frames), "f"), "f");
    assert.equal(kept.persons, 2);
    assert.equal(bodyEnergy(kept, 0), bodyEnergy(clip, 2));
    assert.equal(bodyEnergy(kept, 1), bodyEnergy(clip, 0));
    assert.ok(bodyEnergy(kept, 0) > bodyEnergy(kept, 1));
  });

  test("energy is the standard deviation over non-empty frames and joints, summed over x, y, z", () => {
    const clip = newClip(3, 1, 2);
    clip.data.set([1, 0, 2, 3, 0, 2], 6);
    assert.equal(bodyEnergy(clip, 0), 1);
    assert.deepEqual(mainBodies(clip, 1), clip);
  });

  test("broken files are named with the reason", () => {
    const clip = randomClip(1, 2, 1, 25);
    const good = skeletonText(clip, [[["1", 0]], [["1", 0]]]);
    const lines = good.split("\n");
    const without = (from: number): string => lines.slice(0, from).join("\n");
    const replaced = (at: number, line: string): string => lines.with(at, line).join("\n");
    const parse = (text: string) => () => ntuClip(parseNtuSkeleton(text, "a.skeleton"), "a.skeleton");
    refuses(parse(without(10)), "a.skeleton", "format", "cut off in frame 0 of 2, at joint 6");
    refuses(parse(without(29)), "a.skeleton", "format", "cut off: line 30");
    refuses(parse(without(30)), "a.skeleton", "format", "cut off");
    refuses(parse(`${good}1\n`), "a.skeleton", "format", "goes on after the 2 frames");
    refuses(parse(replaced(0, "two")), "a.skeleton", "format", "number of frames");
    refuses(parse(replaced(3, "20")), "a.skeleton", "shape", "20 joints");
    refuses(parse(replaced(6, "1 nan 2 0 0")), "a.skeleton", "not-finite", "line 7");
    refuses(parse(replaced(6, "1 2")), "a.skeleton", "format", "line 7 has 2 numbers");
    refuses(parse(replaced(6, "1 2 x")), "a.skeleton", "format", "is not a number");
    refuses(parse("2\n0\n0\n"), "a.skeleton", "empty", "no body in any of 2 frames");
    refuses(parse("0\n"), "a.skeleton", "empty", "no body in any of 0 frames");
  });

  test("unreadable and empty files are named", () => {
    refuses(() => readText("/no/such.skeleton"), "/no/such.skeleton", "unreadable", "ENOENT");
    inFolder((folder) => {
      const path = join(folder, "empty.skeleton");
      writeFileSync(path, " \r\n");
      refuses(() => readText(path), path, "empty", "holds nothing");
      refuses(() => readText(folder), folder, "unreadable", "folder");
    });
  });

  const folder = `${SHARED_DATA}/raw_samples`;
  test("real recordings, against an independent reader", { skip: unless(folder) }, () => {
    const expected = readExpected(folder);
    const files = readdirSync(`${folder}/ntu`);
    assert.equal(files.length, 10);
    for (const name of files) {
      const facts = expected[name];
      const recording = parseNtuSkeleton(readText(`${folder}/ntu/${name}`), name);
      const { ids } = trackedBodies(recording, "id");
      assert.equal(recording.frames, facts.frames);
      assert.deepEqual([...ids].sort(), facts.bodyIDs);
      const perFrame = new Set(recording.bodies.map((b) => recording.bodies.filter((o) => o.frame === b.frame).length));
      assert.deepEqual([...perFrame], facts.bodies);
      const first = recording.bodies[0].xyz;
      const last = recording.bodies[recording.bodies.length - 1].xyz;
      assert.deepEqual(first.slice(0, 3), Float32Array.from(facts.first_xyz));
      assert.deepEqual(first.slice(72), Float32Array.from(facts.first_xyz_joint24));
      assert.deepEqual(last.slice(72), Float32Array.from(facts.last_body_last_joint));
      let sum = 0;
      for (const { xyz } of recording.bodies) for (const x of xyz) sum += x;
      assert.ok(Math.abs(sum - facts.sum_xyz) < 1e-5 * Math.abs(facts.sum_xyz), `${name}: ${sum}`);
    }
  });
});

/** What the independent reader found, per file; the fields depend on the kind of file. */
interface Expected {
  readonly frames: number;
  readonly bodies: number[];
  readonly bodyIDs: string[];
  readonly first_xyz: number[];
  readonly first_xyz_joint24: number[];
  readonly last_body_last_joint: number[];
  readonly sum_xyz: number;
  readonly columns: number;
  readonly frames_with_second_person: number;
  readonly first_second_person_frame: number;
  readonly sum: number;
  readonly rows: number;
  readonly states: number[];
  readonly head_above_base: number;
}

function readExpected(folder: string): Record<string, Expected> {
  return JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")) as Record<string, Expected>;
}

describe("PKU-MMD", () => {
  const clip = randomClip(3, 12, 2, 25);
  for (let t = 0; t < 6; t++) erase(clip, t, 1);
  for (let t = 6; t < 9; t++) for (const m of [0, 1]) erase(clip, t, m);
  const text = Array.from({ length: 12 }, (_, t) => [...clip.data.subarray(t * 150, (t + 1) * 150)].join(" "));

  test("150 numbers a line, and label lines cut clips out", () => {
    const recording = parsePkuSkeleton(`${text.join("\n ")}\n\n`, "A01N02-L.txt");
    assert.deepEqual(recording, clip);
    const labels = parsePkuLabels("3,1,5,2\r\n51,4,20,1\n7,6,9,1\n8,12,14,1\n", "A01N02-L.txt");
    assert.deepEqual(labels[0], { label: 2, start: 1, end: 5, confidence: 2 });
    const bad: DataError[] = [];
    const cuts = cutPkuRecording(recording, labels, "A01N02-L", (error) => bad.push(error));
    assert.deepEqual(
      cuts.map((cut) => [cut.name, cut.label, cut.clip.frames]),
      [
        ["A01N02-L_0", 2, 4],
        ["A01N02-L_1", 50, 8],
      ],
    );
    assert.deepEqual(cuts[0].clip.data, clip.data.subarray(150, 5 * 150));
    assert.deepEqual(
      bad.map((error) => [error.file, error.reason]),
      [
        ["A01N02-L_2", "empty"],
        ["A01N02-L_3", "label"],
      ],
    );
  });

  test("in a cut where only the second place is taken, that person is the main one", () => {
    const recording = randomClip(4, 4, 2, 25);
    for (let t = 0; t < 4; t++) erase(recording, t, 0);
    const cut = cutPkuAction(recording, { label: 0, start: 0, end: 4, confidence: 1 }, "x");
    assert.ok(isPresent(cut, 0, 0) && !isPresent(cut, 0, 1));
  });

  test("bad lines are named", () => {
    refuses(() => parsePkuSkeleton(text[0].replace(/ \S+$/, ""), "p.txt"), "p.txt", "shape", "line 1 holds 149");
    refuses(() => parsePkuSkeleton(text[0].replace(/ \S+$/, " inf"), "p.txt"), "p.txt", "not-finite", "line 1");
    refuses(() => parsePkuSkeleton(`${text[0]}\n\n${text[0]}`, "p.txt"), "p.txt", "shape", "line 2 holds 0");
    refuses(() => parsePkuLabels("52,1,2,1", "l.txt"), "l.txt", "label", "52 is outside 1..51");
    refuses(() => parsePkuLabels("5,9,9,1", "l.txt"), "l.txt", "label", "9 to 9");
    refuses(() => parsePkuLabels("5;9;9;1", "l.txt"), "l.txt", "format", "line 1");
    refuses(() => parsePkuLabels("\n", "l.txt"), "l.txt", "empty", "no labelled action");
  });

  test("names of both phases", () => {
    assert.deepEqual(parsePkuName("x/0002-R.txt"), { name: "0002-R", phase: 1, view: "R" });
    assert.deepEqual(parsePkuName("A10N08-L.txt"), { name: "A10N08-L", phase: 2, view: "L", subject: 8 });
    refuses(() => parsePkuName("A10-L.txt"), "A10-L.txt", "label", "neither");
  });

  const folder = `${SHARED_DATA}/raw_samples`;
  test("a real recording, against an independent reader", { skip: unless(folder) }, () => {
    const facts = readExpected(folder)["A10N08-L.txt"];
    const recording = parsePkuSkeleton(readText(`${folder}/pku/A10N08-L.txt`), "A10N08-L.txt");
    assert.equal(recording.frames, facts.frames);
    assert.equal(recording.persons * recording.joints * 3, facts.columns);
    const second = presentFrames(recording, 1);
    assert.equal(second.length, facts.frames_with_second_person);
    assert.equal(second[0], facts.first_second_person_frame);
    assert.deepEqual(recording.data.slice(0, 3), Float32Array.from(facts.first_xyz));
    const sum = recording.data.reduce((total, x) => total + x, 0);
    assert.ok(Math.abs(sum - facts.sum) < 1e-6 * facts.sum, String(sum));
  });
});

describe("CSV", () => {
  test("raw Kinect v2: x, y, z, state a joint, blank lines at the top, a trailing comma", () => {
    const clip = randomClip(8, 3, 1, 25);
    const lines = Array.from({ length: 3 }, (_, t) =>
      Array.from({ length: 25 }, (_, v) => {
        const at = (t * 25 + v) * 3;
        return `${clip.data.subarray(at, at + 3)},${v % 3},`;
      }).join(""),
    );
    const read = parseSkeletonCsv(`\n\n${lines.join("\r\n")}\r\n`, "k.csv", KINECT_V2_CSV);
    // State 0: the sensor did not see the joint.
    for (let v = 0; v < 75; v++) if ((v % 25) % 3 === 0) clip.data.fill(NaN, v * 3, v * 3 + 3);
    assert.deepEqual(read.clip, clip);
    assert.deepEqual(
      read.states,
      Float32Array.from({ length: 75 }, (_, i) => (i % 25) % 3),
    );
    const parse = (text: string) => () => parseSkeletonCsv(text, "k.csv", KINECT_V2_CSV);
    refuses(parse(`${lines[0]}\n${lines[1].replace(/,[^,]*,$/, ",")}`), "k.csv", "shape", "line 2 has 99 columns");
    refuses(parse(lines[0].replace(/,[^,]*,$/, ",")), "k.csv", "format", "line 1");
    refuses(parse(lines[0].replace(/^[^,]*/, "inf")), "k.csv", "not-finite", "line 1");
    // What tables hold for a missing number is a lost joint, at the end of a line as well.
    for (const word of ["", "NaN", "nan", "NA", "null"]) {
      const seen = lines[0].replace(/^([^,]*,[^,]*,[^,]*),0,/, "$1,2,");
      assert.ok(!Number.isNaN(parse(seen)().clip.data[1]));
      assert.ok(
        parse(seen.replace(/^[^,]*/, word))()
          .clip.data.subarray(0, 3)
          .every(Number.isNaN),
      );
    }
    const plain: CsvSpec = { layout: NTU25, fields: ["x", "y", "z"] };
    const cells = Array.from({ length: 75 }, (_, i) => (i === 74 ? "" : String(i + 1)));
    const last = parseSkeletonCsv(`${cells.join(",")}\n`, "k.csv", plain).clip.data;
    assert.ok(last.subarray(72).every(Number.isNaN) && last.subarray(0, 72).every((x, i) => x === i + 1));
    refuses(parse("\n \n"), "k.csv", "empty", "no frames");
    refuses(parse(`${"0,".repeat(100)}\n`.repeat(2)), "k.csv", "empty", "nobody was tracked");
  });

  const pair = { name: "pair", joints: ["a", "b"], parents: [-1, 0], persons: 2, axes: SBU15.axes };

  test("columns by name: header, units, axes, missing joints, two persons", () => {
    const spec: CsvSpec = {
      layout: pair,
      delimiter: ";",
      header: true,
      scale: 0.001,
      flip: [1, -1, 1],
      missing: ["", "n/a"],
      columns: [
        { a: ["ax", "ay", "az"], b: ["bx", "by", null] },
        { a: [1, 2, 3], b: [5, 6, 7] },
      ],
    };
    const text = '"time";"ax";"ay";"az";"bx";"by";"cx";"cy"\n0.1;1000;2000;3000;4000;n/a;6;7\n0.2;1;2;3;4;5;;7';
    const { clip, states } = parseSkeletonCsv(text, "c.csv", spec);
    assert.equal(states, undefined);
    const expected = [
      [1, -2, 3, NaN, NaN, NaN],
      [1, -2, 3, NaN, NaN, NaN],
      [0.001, -0.002, 0.003, 0.004, -0.005, 0],
      [0.001, -0.002, 0.003, NaN, NaN, NaN],
    ];
    assert.deepEqual(clip.data, Float32Array.from(expected.flat()));
    refuses(() => parseSkeletonCsv(text.replace('"by"', '"bz"'), "c.csv", spec), "c.csv", "shape", 'no column "by"');
    const { missing: _, ...strict } = spec;
    refuses(() => parseSkeletonCsv(text, "c.csv", strict), "c.csv", "format", "line 2");
  });

  test("fields with leading columns and two persons", () => {
    const spec: CsvSpec = { layout: pair, skip: 1, fields: ["y", "skip", "x"], persons: 2 };
    const { clip } = parseSkeletonCsv("7,1,9,2,3,9,4,5,9,6,7,9,8", "c.csv", spec);
    assert.deepEqual([...clip.data], [2, 1, 0, 4, 3, 0, 6, 5, 0, 8, 7, 0]);
  });

  test("a wrong specification is an error of its own", () => {
    const wrong = (spec: Partial<CsvSpec>, part: RegExp) =>
      assert.throws(() => parseSkeletonCsv("1,2,3", "c.csv", { layout: pair, ...spec }), part);
    wrong({}, /exactly one of/);
    wrong({ fields: ["x"] }, /at least x and y/);
    wrong({ columns: [{ c: [0, 1, 2] }] }, /no joint "c"/);
    wrong({ columns: [{ a: [0, 1, 2] }] }, /"b" needs its three/);
    wrong({ columns: [{ a: ["x", 1, 2], b: [0, 1, 2] }] }, /"header" is not set/);
  });

  const folder = `${SHARED_DATA}/raw_samples`;
  test("real recordings, against an independent reader", { skip: unless(folder) }, () => {
    const expected = readExpected(folder);
    const files = readdirSync(`${folder}/kimore`);
    assert.equal(files.length, 10);
    for (const name of files) {
      const facts = expected[`kimore/${name}`];
      const { clip, states } = parseSkeletonCsv(readText(`${folder}/kimore/${name}`), name, KINECT_V2_CSV);
      assert.equal(clip.frames, facts.rows);
      assert.deepEqual([...new Set(states)].sort(), facts.states);
      let above = 0;
      for (let t = 0; t < clip.frames; t++) above += (clip.data[t * 75 + 10] - clip.data[t * 75 + 1]) / clip.frames;
      assert.ok(Math.abs(above - facts.head_above_base) < 1e-6, `${name}: ${above}`);
    }
  });
});

describe("damaged text", () => {
  const clip = randomClip(1, 2, 2, 25);
  const rows = [0, 1].map((t) => [...clip.data.subarray(t * 150, t * 150 + 150)]);
  const skeleton = skeletonText(clip, [
    [
      ["1", 0],
      ["2", 1],
    ],
    [["1", 0]],
  ]);
  const pku = rows.map((row) => row.join(" ")).join("\n");
  const csv = rows.map((row) => row.slice(0, 100).join(",")).join("\n");
  const readers: [string, string, (text: string) => unknown][] = [
    ["NTU", skeleton, (text) => ntuClip(parseNtuSkeleton(text, "f"), "f")],
    ["PKU-MMD", pku, (text) => parsePkuSkeleton(text, "f")],
    ["PKU-MMD labels", "3,1,5,2\n51,4,20,1\n", (text) => parsePkuLabels(text, "f")],
    ["CSV", csv, (text) => parseSkeletonCsv(text, "f", KINECT_V2_CSV)],
  ];
  for (const [name, text, read] of readers) {
    test(`${name}: either read or refused with a DataError`, () => {
      read(text);
      const pieces = ["", "\n", "\r", " ", ",", "-", "nan", "1e999", "0x", "é", "999999999", "9".repeat(30)];
      const piece = fc.constantFrom(...pieces);
      const edit = fc.tuple(fc.nat(text.length - 1), fc.nat(30), piece);
      fc.assert(
        fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
          let damaged = text;
          for (const [at, length, by] of edits) damaged = damaged.slice(0, at) + by + damaged.slice(at + length);
          try {
            read(damaged);
          } catch (error) {
            assert.ok(error instanceof DataError && error.file === "f", String(error));
          }
        }),
        { numRuns: 300 },
      );
    });
  }
});

describe("npy", () => {
  function write(folder: string, change: (data: Float32Array) => void = () => {}, joints = 15): void {
    const clip = randomClip(2, 4, 2, joints);
    const one = toChannelsFirst(clip, 6);
    const data = new Float32Array(3 * one.length);
    for (let i = 0; i < 3; i++) data.set(one, i * one.length);
    change(data);
    writeNpy(join(folder, "data.npy"), { dtype: "f32", shape: [3, 3, 6, joints, 2], data });
    const column = (name: string, values: number[]): void =>
      writeNpy(join(folder, name), { dtype: "i32", shape: [values.length], data: Int32Array.from(values) });
    column("labels.npy", [0, 7, 3]);
    column("num_frame.npy", [4, 4, 3]);
    column("subjects.npy", [1, 2, 3]);
    column("split.npy", [0, 1, 1]);
    writeFileSync(join(folder, "names.json"), '["p/1", "p/2", "q/1"]');
  }

  test("clips come one by one, with what is known of them", () => {
    inFolder((folder) => {
      write(folder);
      const clips = NpyClips.open(npyFilesIn(folder), SBU15, 8);
      assert.equal(clips.length, 3);
      assert.deepEqual(clips.read(0), randomClip(2, 4, 2, 15));
      assert.equal(clips.read(2).frames, 3);
      assert.deepEqual(clips.factsOf(1), { name: "p/2", label: 7, subject: 2, camera: undefined, split: "test" });
      clips.close();
      rmSync(join(folder, "num_frame.npy"));
      const counted = NpyClips.open(npyFilesIn(folder), SBU15);
      assert.equal(counted.read(2).frames, 4);
      counted.close();
    });
  });

  test("bad files and clips are named", () => {
    inFolder((folder) => {
      const path = (name: string) => join(folder, name);
      const open = (classes?: number) => () => NpyClips.open(npyFilesIn(folder), SBU15, classes).close();
      refuses(open(), path("data.npy"), "unreadable", "ENOENT");
      write(folder, (data) => data.fill(0, 540 * 2).fill(NaN, 540, 541));
      const clips = NpyClips.open(npyFilesIn(folder), SBU15);
      refuses(() => clips.read(1), `${path("data.npy")}[1] (p/2)`, "not-finite", "frame 0, person 0, joint 0");
      refuses(() => clips.read(2), `${path("data.npy")}[2] (q/1)`, "empty", "all 3 frames");
      clips.close();
      refuses(open(7), path("labels.npy"), "label", "entry 1 is 7, outside 0..6");
      writeFileSync(path("names.json"), '["a"]');
      refuses(open(), path("names.json"), "shape", "3 names");
      writeFileSync(path("names.json"), "[");
      refuses(open(), path("names.json"), "format", "JSON");
      writeFileSync(path("labels.npy"), "not npy at all");
      refuses(open(), path("labels.npy"), "format", "npy");
      write(folder, () => {}, 14);
      refuses(open(), path("data.npy"), "shape", '14 joints; layout "sbu15" has 15');
    });
  });

  const prepared = [
    ["nw_ucla", KINECT_V1_20, 1484],
    ["utd_mhad", KINECT_V1_20, 861],
    ["sbu", SBU15, 282],
  ] as const;
  for (const [set, layout, count] of prepared) {
    const folder = `${SHARED_DATA}/${set}`;
    test(`${set}: its clips are readable`, { skip: unless(folder) }, () => {
      const classes = (JSON.parse(readFileSync(`${folder}/class_names.json`, "utf8")) as string[]).length;
      const clips = NpyClips.open(npyFilesIn(folder), layout, classes);
      assert.equal(clips.length, count);
      for (let i = 0; i < count; i += 5) assert.equal(clips.read(i).persons, layout.persons);
      clips.close();
    });
  }

  test("layouts of the prepared sets have the expected joints", { skip: unless(`${SHARED_DATA}/sbu`) }, () => {
    for (const [set, layout] of prepared) {
      const read = (name: string): unknown => JSON.parse(readFileSync(`${SHARED_DATA}/${set}/${name}.json`, "utf8"));
      assert.deepEqual(read("joint_names"), layout.joints);
      assert.deepEqual(read("bones"), layout.parents);
    }
  });
});

test("persons keep to themselves where the sensor's list swaps them, and where it loses and finds one", () => {
  const body = (frame: number, slot: number, id: string, x: number) => ({
    ...{ frame, slot, id },
    xyz: Float32Array.from({ length: 75 }, (_, i) => x + i / 100 + frame / 1000),
  });
  // "a" stands at 1, "b" at 4; they swap slots in frame 2; "a" is lost in 3 and comes back in 4 as "c".
  const bodies = [
    ...[body(0, 0, "a", 1), body(0, 1, "b", 4), body(1, 0, "a", 1), body(1, 1, "b", 4)],
    ...[body(2, 0, "b", 4), body(2, 1, "a", 1), body(3, 0, "b", 4), body(4, 0, "b", 4), body(4, 1, "c", 1.1)],
  ];
  const recording = { frames: 5, bodies };
  const { ids, clip } = trackedBodies(recording, "person");
  assert.deepEqual(ids, ["a", "b"]);
  const places = (m: number): number[] => Array.from({ length: 5 }, (_, t) => Math.round(clip.data[(t * 2 + m) * 75]));
  assert.deepEqual(
    [places(0), places(1)],
    [
      [1, 1, 1, 0, 1],
      [4, 4, 4, 4, 4],
    ],
  );
  assert.deepEqual(trackedBodies(recording, "id").ids, ["a", "b", "c"]);
  // Somebody who comes in elsewhere is another person, and nobody takes over one who is still there.
  const other = {
    frames: 3,
    bodies: [body(0, 0, "a", 1), body(1, 0, "a", 1), body(1, 1, "d", 1.2), body(2, 0, "e", 3)],
  };
  assert.deepEqual(trackedBodies(other, "person").ids, ["a", "d", "e"]);
});
