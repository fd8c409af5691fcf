/** NW-UCLA's JSON and UTD-MHAD's MATLAB files: exactly made ones, and real ones against the packed data sets. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SourceKind } from "../../../src/data/index.ts";
import {
  DataError,
  detectKind,
  openSourceOf,
  parseNwUcla,
  parseUtdMhad,
  parseUtdMhadName,
} from "../../../src/data/index.ts";
import { hostTensor, matArray, readMat, writeNpy } from "../../../src/io/index.ts";
import { SHARED_DATA, unless } from "../helpers.ts";
import { matFile, matVariable } from "./mat-file.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-downloads-"));
after(() => rmSync(folder, { recursive: true }));

const joints = Array.from({ length: 20 }, (_, v) => [v + 0.5, 3 - v, v / 4 + 1]);
const nwUcla = (changes: object = {}): string =>
  JSON.stringify({ file_name: "a08_s03_e01_v02", skeletons: [joints, joints], label: 8, ...changes });

function refuses(read: () => unknown, reason: string, words: RegExp): void {
  assert.throws(read, (error: unknown) => {
    assert.ok(error instanceof DataError);
    assert.equal(error.reason, reason);
    assert.match(error.message, words);
    return true;
  });
}

describe("NW-UCLA JSON", () => {
  test("coordinates, and what the name says", () => {
    const { facts, clip } = parseNwUcla(nwUcla(), "x.json");
    assert.deepEqual(facts, { name: "a08_s03_e01_v02", label: 6, subject: 3, camera: 2 });
    assert.deepEqual([...clip.data], [...joints.flat(), ...joints.flat()]);
  });
  test("refusals name the rule", () => {
    refuses(() => parseNwUcla("{", "x.json"), "format", /x\.json.*not JSON/);
    refuses(() => parseNwUcla("[]", "x.json"), "format", /file_name, skeletons and label/);
    refuses(() => parseNwUcla(nwUcla({ file_name: "wave" }), "x"), "label", /aAA_sSS_eEE_vVV/);
    refuses(() => parseNwUcla(nwUcla({ file_name: "a07_s01_e01_v01" }), "x"), "label", /action 7 is none of/);
    refuses(() => parseNwUcla(nwUcla({ label: 3 }), "x"), "label", /says label 3; by its name it is action 8, class 7/);
    refuses(() => parseNwUcla(nwUcla({ skeletons: [joints.slice(1)] }), "x"), "shape", /19 joints; it must hold 20/);
    refuses(() => parseNwUcla(nwUcla({ skeletons: [joints.map(() => [1, 2])] }), "x"), "shape", /three numbers/);
    refuses(() => parseNwUcla(nwUcla({ skeletons: [] }), "x"), "empty", /no frames/);
  });
});

describe("MATLAB 5 files", () => {
  const values = Array.from({ length: 24 }, (_, i) => i);
  for (const compress of [false, true]) {
    for (const small of [false, true]) {
      test(`${compress ? "compressed" : "plain"}, stored as ${small ? "bytes" : "doubles"}: row-major`, () => {
        const file = matFile([matVariable("x", [2, 3, 4], values, { small })], compress);
        const { shape, data } = matArray(readMat(file), "x", "f");
        assert.deepEqual(shape, [2, 3, 4]);
        const expected = values.map((i) => Math.floor(i / 12) + 2 * (Math.floor(i / 4) % 3) + 6 * (i % 4));
        assert.deepEqual([...data], expected);
      });
    }
  }
  test("refusals say what is there and what to do", () => {
    const read = (bytes: Uint8Array): unknown => matArray(readMat(bytes, "f.mat"), "x", "f.mat");
    const whole = matFile([matVariable("y", [2, 3, 4], values)]);
    assert.throws(() => read(whole), /f\.mat: has no variable "x"; it has "y"/);
    assert.throws(() => read(matFile([matVariable("x", [1, 1], [1], { kind: 1 })])), /"x" is a cell array/);
    assert.throws(() => read(matFile([matVariable("x", [1, 1], [1], { flags: 0x800 })])), /"x" is a complex array/);
    assert.throws(() => read(matFile([matVariable("x", [2, 2], [1])])), /needs 32 bytes, has 8/);
    assert.throws(() => read(whole.subarray(0, whole.length - 5)), /truncated/);
    assert.throws(() => read(Buffer.from("MATLAB 7.3 MAT-file".padEnd(200))), /save it with save\(\.\.\., '-v7'\)/);
    assert.throws(() => read(Buffer.from("hello")), /is not a MATLAB 5 file/);
  });
});

describe("UTD-MHAD", () => {
  const frames = Array.from({ length: 120 }, (_, i) => i + 1);
  test("the first four joints are in the SDK's order afterwards", () => {
    const clip = parseUtdMhad(matFile([matVariable("d_skel", [20, 3, 2], frames)]), "f.mat");
    assert.equal(clip.frames, 2);
    assert.deepEqual([...clip.data.subarray(0, 3)], [4, 24, 44]);
    assert.deepEqual([...clip.data.subarray(9, 15)], [1, 21, 41, 5, 25, 45]);
    assert.deepEqual([...clip.data.subarray(60, 63)], [64, 84, 104]);
  });
  test("names and refusals", () => {
    const facts = { name: "a27_s8_t4_skeleton.mat", label: 26, subject: 8 };
    assert.deepEqual(parseUtdMhadName("a27_s8_t4_skeleton.mat"), facts);
    assert.equal(parseUtdMhadName("a28_s1_t1_skeleton.mat"), undefined);
    refuses(() => parseUtdMhad(matFile([matVariable("d_skel", [3, 20, 2], frames)]), "f"), "shape", /20 joints x 3/);
    refuses(() => parseUtdMhad(matFile([]), "f.mat"), "format", /f\.mat.*no variable "d_skel"/);
  });
});

describe("a folder is recognised", () => {
  test("by its files; another kind is refused with the right one", () => {
    const path = join(folder, "json");
    mkdirSync(path);
    writeFileSync(join(path, "a08_s03_e01_v02.json"), nwUcla());
    assert.equal(detectKind(path)?.kind, "nw-ucla");
    refuses(() => openSourceOf("utd-mhad", path), "label", /this is NW-UCLA, not UTD-MHAD.*prepare it as nw-ucla/);
  });
  test("by its joints, views and classes, where clips have no names", () => {
    const path = join(folder, "npy");
    mkdirSync(path);
    const column = (f: (i: number) => number) =>
      hostTensor(
        "i32",
        [40],
        Int32Array.from({ length: 40 }, (_, i) => f(i)),
      );
    writeNpy(join(path, "data.npy"), hostTensor("f32", [40, 3, 2, 20, 1], new Float32Array(40 * 120).fill(1)));
    writeNpy(
      join(path, "labels.npy"),
      column((i) => i % 10),
    );
    writeNpy(
      join(path, "subjects.npy"),
      column((i) => (i % 10) + 1),
    );
    writeNpy(
      join(path, "views.npy"),
      column((i) => (i % 3) + 1),
    );
    assert.equal(detectKind(path)?.kind, "nw-ucla");
    refuses(() => openSourceOf("utd-mhad", path), "label", /this is NW-UCLA, not UTD-MHAD/);
  });
  test("nothing known: undefined", () => {
    const path = join(folder, "other");
    mkdirSync(path);
    writeFileSync(join(path, "notes.doc"), "x");
    assert.equal(detectKind(path), undefined);
  });
});

/** Real files give the bits of the packed data set. */
for (const [kind, name] of [
  ["nw-ucla", "nw_ucla"],
  ["utd-mhad", "utd_mhad"],
] as [SourceKind, string][]) {
  const raw = join(SHARED_DATA, "raw_samples", name);
  const packed = join(SHARED_DATA, name);
  test(`${kind}: downloaded files equal the packed ones`, { skip: unless(raw) || unless(packed) }, () => {
    const fail = (error: DataError): never => {
      throw error;
    };
    const read = [...openSourceOf(kind, raw).source.clips(fail, () => {})];
    assert.ok(read.length >= 2);
    const wanted = new Set(read.map(({ facts }) => facts.name));
    const source = openSourceOf(kind, packed).source;
    let found = 0;
    for (const { facts, clip } of source.clips(fail, () => {})) {
      if (!wanted.has(facts.name)) continue;
      const own = read.find((one) => one.facts.name === facts.name)!;
      assert.deepEqual(own.clip, clip);
      const { split: _, ...said } = JSON.parse(JSON.stringify(facts));
      assert.deepEqual({ ...own.facts }, said);
      found++;
    }
    source.close?.();
    assert.equal(found, read.length);
  });
}
