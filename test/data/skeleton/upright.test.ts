/** Centring and turning about the upright axis: heights stay, headings meet, crooked frames and lost joints move nothing. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { Clip } from "../../../src/data/index.ts";
import {
  centreClip,
  ClipStore,
  ClipStoreWriter,
  describeStore,
  generateClip,
  generatedSource,
  NORMALIZATIONS,
  NTU25,
  prepareStore,
  SYNTHETIC_ACTIONS,
  uprightClip,
  yawClip,
} from "../../../src/data/index.ts";
import { maxDifference } from "../helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-upright-"));
after(() => rmSync(folder, { recursive: true }));

const clipOf = (): Clip => generateClip(SYNTHETIC_ACTIONS[0], 0, 1, 1, { seed: 3 }).clip;

/** Turned by `angle` about y, and moved. */
function moved(clip: Clip, angle: number, [x, y, z]: readonly number[]): Clip {
  const data = clip.data.slice();
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  for (let i = 0; i < data.length; i += 3) {
    if (data.subarray(i, i + 3).every((value) => value === 0)) continue;
    const [a, b, c] = clip.data.subarray(i, i + 3);
    data.set([cos * a + sin * c + x, b + y, cos * c - sin * a + z], i);
  }
  return { ...clip, data };
}

/** Heights of the main person's joints above the first frame's first. */
const heights = ({ data, joints }: Clip, axis: number): number[] =>
  Array.from({ length: joints }, (_, v) => data[v * 3 + axis] - data[axis]);

describe("upright normalisation", () => {
  for (const per of ["clip", "frame"] as const) {
    test(`a turn about the upright axis and a move leave nothing behind, per ${per}`, () => {
      const clip = clipOf();
      const expected = yawClip(clip, NTU25, { per }).data;
      // Medians of headings are of components, so a turned clip's heading may differ by a little.
      assert.ok(maxDifference(yawClip(moved(clip, 1.1, [0.3, -0.2, 2]), NTU25, { per }).data, expected) < 0.05);
      const centred = centreClip(clip, NTU25, { per }).data;
      assert.ok(maxDifference(centreClip(moved(clip, 0, [0.3, -0.2, 2]), NTU25, { per }).data, centred) < 1e-5);
    });
  }

  test("a camera that looks down is levelled, by frames in which nobody is bent", () => {
    const clip = clipOf();
    const pitched = { ...clip, data: clip.data.slice() };
    const [cos, sin] = [Math.cos(0.35), Math.sin(0.35)];
    for (let i = 0; i < clip.data.length; i += 3) {
      const [x, y, z] = clip.data.subarray(i, i + 3);
      pitched.data.set([x, cos * y - sin * z, sin * y + cos * z], i);
    }
    const expected = uprightClip(clip, NTU25).data;
    assert.ok(maxDifference(uprightClip(pitched, NTU25).data, expected) < 0.02);
    assert.ok(maxDifference(yawClip(pitched, NTU25).data, expected) > 0.2);
    // Lying in the first third of the frames, which say nothing of how the camera stands.
    const fallen = { ...pitched, data: pitched.data.slice() };
    const third = Math.floor(clip.frames / 3) * clip.persons * 75;
    for (let i = 0; i < third; i += 3) {
      const [x, y, z] = clip.data.subarray(i, i + 3);
      fallen.data.set([x, z - 3, -y], i);
    }
    const last = (made: Clip): number[] => heights({ ...made, data: made.data.slice(-clip.persons * 75) }, 2);
    assert.ok(maxDifference(last(uprightClip(fallen, NTU25)), last({ ...clip, data: expected })) < 0.03);
  });

  test("frames whose spine was lost and guessed say little of how the camera stands", () => {
    const clip = clipOf();
    const expected = uprightClip(clip, NTU25);
    const guessed = { ...clip, data: clip.data.slice() };
    const filled = { ...clip, data: new Float32Array(clip.data.length) };
    const ends = ["ShoulderLeft", "ShoulderRight", "SpineShoulder"].map((joint) => NTU25.joints.indexOf(joint));
    // Three frames of five have the shoulders half a metre off, and are known to be guesses.
    for (let t = 0; t < clip.frames; t++) {
      for (const v of t % 5 < 3 ? [...ends, ...[0, 12, 16]] : []) {
        const at = (t * clip.persons * clip.joints + v) * 3;
        filled.data.fill(1, at, at + 3);
        if (ends.includes(v)) guessed.data[at + 2] += 0.3;
      }
    }
    const hips = NTU25.joints.indexOf("HipLeft") * 3;
    const differs = (one: Clip): number =>
      Math.max(...[0, 1, 2].map((c) => Math.abs(one.data[hips + c] - expected.data[hips + c])));
    assert.ok(differs(uprightClip(guessed, NTU25, { filled })) < 0.2 * differs(uprightClip(guessed, NTU25)));
  });

  test("a body that lies throughout is not stood up", () => {
    const clip = clipOf();
    const data = clip.data.map((_value, i) => [clip.data[i], clip.data[i + 1], -clip.data[i - 1]][i % 3]);
    const lying = { ...clip, data };
    assert.deepEqual(uprightClip(lying, NTU25), yawClip(lying, NTU25));
  });

  test("heights stay what they were: nobody is tilted", () => {
    const clip = clipOf();
    for (const made of [centreClip(clip, NTU25), yawClip(clip, NTU25)])
      assert.ok(maxDifference(heights(made, 2), heights(clip, 1)) < 1e-5);
    const standing = { ...clip, data: centreClip(clip, NTU25).data };
    assert.ok(maxDifference(yawClip(standing, NTU25, { up: "z" }).data, yawClip(clip, NTU25).data) < 1e-5);
  });

  test("a crooked first frame turns nothing", () => {
    const clip = clipOf();
    const expected = yawClip(clip, NTU25);
    const crooked = { ...clip, data: clip.data.slice() };
    for (let v = 0; v < 25; v++) crooked.data.set([v % 3, v % 5, v % 2], v * 3);
    const frame = clip.persons * 75;
    assert.ok(
      maxDifference(yawClip(crooked, NTU25).data.subarray(frame), expected.data.subarray(frame)) < 0.02,
      "the other frames stay where they were",
    );
  });

  test("where the centre or the shoulders are lost, others give place and heading", () => {
    const clip = clipOf();
    const expected = yawClip(clip, NTU25);
    const lost = { ...clip, data: clip.data.slice() };
    const gone = [NTU25.axes.centre[0], 4, 8];
    for (let at = 0; at < lost.data.length; at += 3) if (gone.includes((at / 3) % 25)) lost.data.fill(NaN, at, at + 3);
    const made = yawClip(lost, NTU25);
    const wrist = (of: Clip): Float32Array => of.data.subarray(6 * 3, 6 * 3 + 3);
    assert.ok(maxDifference(wrist(made), wrist(expected)) < 0.4);
    assert.ok(made.data.every((x, i) => Number.isFinite(x) || gone.includes(Math.floor(i / 3) % 25)));
  });

  test("a layout without axes is centred, and turned only by an error that says what it lacks", async () => {
    const source = generatedSource({ subjects: 2, repetitions: 1 });
    const plain = {
      ...source,
      layout: { ...source.layout, name: "plain", axes: { centre: [0], up: [[], []], across: [[], []] } as const },
    };
    const path = join(folder, "plain.clips");
    await prepareStore(plain, path);
    assert.deepEqual([describeStore(path).normalization, describeStore(path).layout], ["centre", "plain"]);
    for (const normalize of ["yaw", "upright", "full"] as const)
      await assert.rejects(
        prepareStore(plain, join(folder, "turned.clips"), { normalize }),
        /by the axes of their layout, and "plain" names none; add axes .* or take centre or none/,
      );
  });

  test("the store says how it was normalised; one that does not say is in the published form", async () => {
    for (const normalize of NORMALIZATIONS) {
      const path = join(folder, `${normalize}.clips`);
      await prepareStore(generatedSource({ subjects: 1, repetitions: 1 }), path, { normalize });
      assert.deepEqual(
        [describeStore(path).normalization, describeStore(path).normalized],
        [normalize, normalize !== "none"],
      );
    }
    const path = join(folder, "old.clips");
    const writer = new ClipStoreWriter(path, { layout: NTU25, classes: ["one"], normalized: true });
    writer.add({ name: "a", label: 0 }, clipOf());
    writer.commit();
    const store = ClipStore.open(path);
    assert.equal(store.header.normalization, "full");
    store.close();
    const source = generatedSource({ subjects: 1, repetitions: 1 });
    await assert.rejects(
      prepareStore(source, path, { normalize: "full", normalizePer: "frame" }),
      /per clip or frame go centre, yaw and upright/,
    );
  });
});
