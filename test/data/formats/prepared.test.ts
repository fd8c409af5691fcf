/** Prepared forms, motion files and MSR-Action3D: exactly made ones, and real ones against what they were made from. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DataError, SourceClip, SourceKind } from "../../../src/data/index.ts";
import { detectKind, openSourceOf, parseBvh, parseMsrAction3d, parseNwUclaName } from "../../../src/data/index.ts";
import { f16ToFloat32, float32ToF16 } from "../../../src/io/index.ts";
import { SHARED_DATA, unless } from "../helpers.ts";

const raw = join(SHARED_DATA, "raw_samples");
const skip = unless(join(raw, "prepared_pyskl"));

function clipsOf(folder: string, kind: SourceKind): SourceClip[] {
  assert.equal(detectKind(folder)?.kind, kind);
  const { source } = openSourceOf(kind, folder);
  const fail = (error: DataError): never => {
    throw error;
  };
  const clips = [...source.clips(fail, () => {})];
  source.close?.();
  return clips;
}

describe("prepared forms of NTU RGB+D", () => {
  for (const [kind, folder, half] of [
    ["st-gcn", "prepared_stgcn", false],
    ["ctr-gcn", "prepared_ctrgcn", false],
    ["pyskl", "prepared_pyskl", true],
  ] as [SourceKind, string, boolean][]) {
    test(`${kind}: the coordinates of the .skeleton files`, { skip }, () => {
      const originals = clipsOf(join(raw, "ntu"), "ntu60");
      const read = clipsOf(join(raw, folder), kind);
      assert.equal(read.length, originals.length);
      read.forEach(({ facts, clip }, i) => {
        const original = originals[i];
        if (kind !== "ctr-gcn") assert.equal(facts.name, original.facts.name);
        assert.equal(facts.label, original.facts.label);
        // The sample of ST-GCN's form has room for 120 frames.
        assert.equal(clip.frames, kind === "st-gcn" ? Math.min(120, original.clip.frames) : original.clip.frames);
        const { persons } = original.clip;
        const wanted = (t: number, m: number, k: number): number => {
          const value = m < persons ? original.clip.data[(t * persons + m) * 75 + k] : 0;
          return half ? f16ToFloat32(float32ToF16([value]))[0] : value;
        };
        // Preparation puts the person who moves most first; these forms keep the sensor's order.
        const swapped = clip.persons === 2 && clip.data[0] !== wanted(0, 0, 0);
        for (let t = 0; t < clip.frames; t++) {
          for (let m = 0; m < clip.persons; m++) {
            for (let k = 0; k < 75; k++) {
              const value = clip.data[(t * clip.persons + m) * 75 + k];
              assert.equal(value, wanted(t, swapped ? 1 - m : m, k), `${facts.name}, frame ${t}, person ${m}, ${k}`);
            }
          }
        }
      });
    });
  }
});

const BVH = `HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Chest
  {
    OFFSET 0 2 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 1 0 0
    }
  }
}
MOTION
Frames: 1
Frame Time: 0.04
1 2 3 90 0 0 0 90 0
`;

describe("BVH", () => {
  test("forward kinematics by hand: a quarter turn about z, then about x", () => {
    const { joints, parents, clip } = parseBvh(BVH, "x.bvh");
    assert.deepEqual(joints, ["Hips", "Chest", "Chest_End"]);
    assert.deepEqual(parents, [-1, 0, 1]);
    const wanted = [1, 2, 3, -1, 2, 3, -1, 3, 3];
    clip.data.forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) < 1e-6, `${i}: ${value}`));
  });
  test("names of joints may have blanks", () => {
    const { joints } = parseBvh(BVH.replace("Hips", "Bip01 Pelvis").replace("Chest", "Bip01 L Thigh"), "x.bvh");
    assert.deepEqual(joints, ["Bip01 Pelvis", "Bip01 L Thigh", "Bip01 L Thigh_End"]);
  });
  test("refusals", () => {
    assert.throws(() => parseBvh(BVH.replace("90 0\n", "90\n"), "x.bvh"), /x\.bvh: shape: 8 numbers of motion.*need 9/);
    assert.throws(() => parseBvh(BVH.replace("Zrotation", "Wrotation"), "x"), /"Wrotation" is no channel/);
    assert.throws(() => parseBvh("HIERARCHY", "x"), /cut off/);
  });
  test("a real recording: the positions of its CSV within 0.1 mm", { skip }, () => {
    const [{ clip }] = clipsOf(join(raw, "bvh"), "bvh");
    const rows = readFileSync(join(raw, "bvh/walk01_world_positions.csv"), "utf8").trim().split(/\r?\n/);
    const { joints } = parseBvh(readFileSync(join(raw, "bvh/walk01.bvh"), "utf8"), "walk01.bvh");
    const columns = rows[0].split(",");
    assert.equal(rows.length - 1, clip.frames);
    rows.slice(1).forEach((row, t) => {
      row.split(",").forEach((word, i) => {
        if (i === 0) return;
        const [, name, axis] = /^(.*)\.([xyz])$/.exec(columns[i].trim())!;
        const value = clip.data[(t * clip.joints + joints.indexOf(name)) * 3 + "xyz".indexOf(axis)];
        assert.ok(Math.abs(value - Number(word) / 100) < 1e-4, `${columns[i]}, frame ${t}: ${value}`);
      });
    });
  });
});

describe("MSR-Action3D and SMPL", () => {
  test("joints come into Kinect's order", () => {
    const text = Array.from({ length: 20 }, (_, i) => `${i + 1} 0 1 1`).join("\n");
    const clip = parseMsrAction3d(text, "x.txt");
    const order = [7, 4, 3, 20, 1, 8, 10, 12, 2, 9, 11, 13, 5, 14, 16, 18, 6, 15, 17, 19];
    assert.deepEqual(
      order,
      Array.from({ length: 20 }, (_, v) => clip.data[v * 3]),
    );
    assert.throws(() => parseMsrAction3d(text.slice(8), "x.txt"), /19 lines; frames have 20/);
  });
  test("real files", { skip }, () => {
    const msr = clipsOf(join(raw, "msr_action3d"), "msr-action3d");
    assert.deepEqual(
      msr.map(({ facts, clip }) => [facts.label, clip.frames]),
      [
        [0, 54],
        [1, 34],
      ],
    );
    // The head is the highest joint of who stands, and the left shoulder lies left of the right one.
    for (const { clip } of msr) assert.ok(clip.data[3 * 3 + 1] > clip.data[2 * 3 + 1]);
    const [smpl] = clipsOf(join(raw, "humanml3d"), "smpl");
    assert.deepEqual([smpl.clip.frames, smpl.clip.joints], [170, 22]);
    assert.equal(parseNwUclaName("a01_s01_e01_skeleton3D"), undefined);
  });
});
