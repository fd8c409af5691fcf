/** The synthetic actions: bodies hold together, clips repeat, the set is neither easy nor hopeless. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { evaluationCrop } from "../../../src/data/batches/augment.ts";
import { ADULT, mirrored, placeBody, standing } from "../../../src/data/synthetic/body-model.ts";
import { checkClip, isPresent } from "../../../src/data/skeleton/clip.ts";
import type { GeneratedClip, GeneratorOptions } from "../../../src/data/synthetic/generator.ts";
import {
  generateClip,
  generateClips,
  generatedActions,
  generatedCount,
  SYNTHETIC_PROTOCOL,
} from "../../../src/data/synthetic/generator.ts";
import { generateOnThreads } from "../../../src/data/synthetic/on-threads.ts";
import { generatedOnThreads, generatedSource } from "../../../src/data/sources/generated.ts";
import { prepareStore } from "../../../src/data/sources/prepare.ts";
import { NTU25 } from "../../../src/data/skeleton/layout.ts";
import { normalizeClip } from "../../../src/data/skeleton/normalize.ts";
import { ClipStore } from "../../../src/data/store/store.ts";
import { ClipStoreWriter } from "../../../src/data/store/writer.ts";

const joint = (name: string): number => NTU25.joints.indexOf(name);

/** Rigid parts: pairs of joints and the size of ADULT between them. */
const BONES: readonly (readonly [string, string, number])[] = [
  ["ShoulderLeft", "ElbowLeft", ADULT.upperArm],
  ["ElbowRight", "WristRight", ADULT.forearm],
  ["HipLeft", "KneeLeft", ADULT.thigh],
  ["KneeRight", "AnkleRight", ADULT.shin],
  ["Neck", "SpineShoulder", ADULT.neck],
];

describe("body model", () => {
  const angle = fc.double({ min: -1, max: 1, noNaN: true });
  const place = fc.tuple(angle, angle, angle);

  test("limbs keep their lengths in any pose", () => {
    fc.assert(
      fc.property(place, place, place, angle, angle, angle, (hand, foot, shift, pitch, twist, facing) => {
        const body = new Float64Array(75);
        const limbs = { rightHand: hand, leftHand: hand, rightFoot: foot, leftFoot: foot };
        placeBody(body, 0, ADULT, { ...standing(), ...limbs, shift, pitch, twist }, [0, 0, 3], facing);
        assert.ok(body.every(Number.isFinite));
        for (const [from, to, length] of BONES) {
          const found = Math.hypot(...[0, 1, 2].map((c) => body[joint(from) * 3 + c] - body[joint(to) * 3 + c]));
          assert.ok(Math.abs(found - length) < 1e-9, `${from}-${to} is ${found}, not ${length}`);
        }
      }),
    );
  });

  test("standing: feet below, head above, facing the sensor, right hand on the right", () => {
    const body = new Float64Array(75);
    placeBody(body, 0, ADULT, standing(), [0, 0, 3], 0);
    const at = (name: string) => [...body.subarray(joint(name) * 3, joint(name) * 3 + 3)];
    assert.ok(at("Head")[1] > at("SpineShoulder")[1] && at("SpineBase")[1] > at("KneeLeft")[1]);
    assert.ok(at("HandRight")[0] > 0.1 && at("HandLeft")[0] < -0.1);
    assert.ok(at("FootLeft")[2] < at("AnkleLeft")[2], "toes point to the sensor");
    assert.ok(Math.abs(at("Head")[1] - at("AnkleLeft")[1] - 1.55) < 0.1);
    const turned = new Float64Array(75);
    placeBody(turned, 0, ADULT, standing(), [0, 0, 3], Math.PI / 2);
    assert.ok(turned[joint("FootLeft") * 3] < turned[joint("AnkleLeft") * 3], "turned to the left: towards -x");
  });

  test("a mirrored pose is the mirror image", () => {
    const pose = { ...standing(), twist: 0.4, roll: 0.2, rightHand: [0.4, 0.6, 0.3] as [number, number, number] };
    const body = new Float64Array(75);
    const image = new Float64Array(75);
    placeBody(body, 0, ADULT, pose, [0, 0, 3], 0);
    placeBody(image, 0, ADULT, mirrored(pose), [0, 0, 3], 0);
    for (const [v, name] of NTU25.joints.entries()) {
      const w = joint(name.includes("Left") ? name.replace("Left", "Right") : name.replace("Right", "Left"));
      for (let c = 0; c < 3; c++) {
        assert.ok(Math.abs(body[v * 3 + c] - (c === 0 ? -1 : 1) * image[w * 3 + c]) < 1e-12, name);
      }
    }
  });
});

describe("generator", () => {
  test("a clip depends on its seed and place alone", () => {
    const options: GeneratorOptions = { seed: 5, subjects: 2, repetitions: 2, actions: ["push", "wave"] };
    const all = [...generateClips(options)];
    assert.equal(all.length, 8);
    const places = all.map(({ facts }) => [facts.label, facts.subject]);
    assert.deepEqual(places.slice(0, 5), [
      [0, 1],
      [0, 1],
      [1, 1],
      [1, 1],
      [0, 2],
    ]);
    const [push, wave] = generatedActions(options);
    assert.deepEqual(generateClip(push, 0, 2, 1, options), all[4]);
    assert.deepEqual(generateClip(wave, 1, 1, 2, options), all[3]);
    const other = generateClip(push, 0, 2, 1, { ...options, seed: 6 });
    assert.notDeepEqual(other.clip.data.subarray(0, 75), all[4].clip.data.subarray(0, 75));
    assert.equal(new Set(all.map(({ facts }) => facts.name)).size, 8);
    for (const { facts, clip } of all) checkClip(clip, facts.name);
    for (const { clip } of all.filter(({ facts }) => facts.label === 0)) assert.ok(isPresent(clip, 0, 1));
    assert.throws(() => generatedActions({ actions: ["swim"] }), /no synthetic action "swim"; there are wave, drink/);
  });

  test("without noise bodies are rigid; with it they are not", () => {
    const [action] = generatedActions({ actions: ["throw"] });
    const spread = (noise: number): number => {
      const { clip } = generateClip(action, 0, 1, 1, { noise });
      const lengths = Array.from({ length: clip.frames }, (_, t) => {
        const at = (name: string, c: number) => clip.data[t * 150 + joint(name) * 3 + c];
        return Math.hypot(...[0, 1, 2].map((c) => at("ShoulderLeft", c) - at("ElbowLeft", c)));
      });
      return Math.max(...lengths) - Math.min(...lengths);
    };
    assert.ok(spread(0) < 1e-5);
    assert.ok(spread(1) > 0.01);
  });

  /** Accuracy (%) of the nearest neighbour on pre-normalised coordinates resampled to 64 frames. */
  function nearestNeighbour(clips: readonly GeneratedClip[]): number {
    const samples = clips.map(({ facts, clip }) => ({
      label: facts.label,
      split: SYNTHETIC_PROTOCOL.split(facts),
      x: evaluationCrop(normalizeClip(clip, NTU25.axes)).data,
    }));
    const train = samples.filter(({ split }) => split === "train");
    const queries = samples.filter(({ split }) => split === "test");
    const right = queries.filter((query) => {
      let best = Infinity;
      let label = -1;
      for (const candidate of train) {
        let distance = 0;
        for (let i = 0; i < query.x.length && distance < best; i++) distance += (query.x[i] - candidate.x[i]) ** 2;
        if (distance < best) [best, label] = [distance, candidate.label];
      }
      return label === query.label;
    });
    return (100 * right.length) / queries.length;
  }

  test("raw coordinates do not solve it, and without variety and noise they do", () => {
    const options = { subjects: 8, repetitions: 3 };
    const hard = nearestNeighbour([...generateClips(options)]);
    assert.ok(hard < 75 && hard > 30, `1-NN ${hard} %`);
    const easy = nearestNeighbour([...generateClips({ ...options, variety: 0, noise: 0 })]);
    assert.ok(easy > 85, `1-NN ${easy} % without variety`);
  });

  test("any number of threads makes the same clips in the same order; a loop that is left ends them", async () => {
    const options = { subjects: 3, repetitions: 2, rate: 10 };
    const clips = [...generateClips(options)];
    assert.equal(clips.length, generatedCount(options));
    for (const threads of [1, 2]) {
      const made: GeneratedClip[] = [];
      for await (const clip of generateOnThreads(options, threads)) made.push(clip);
      assert.deepEqual(made, clips);
    }
    for await (const clip of generateOnThreads(options, 2)) {
      assert.deepEqual(clip, clips[0]);
      break;
    }
  });

  test("a source on threads makes the store that one without makes", async () => {
    const folder = mkdtempSync(join(tmpdir(), "hico-generator-"));
    const options = { subjects: 8, repetitions: 2, rate: 5 };
    const [one, other] = ["one.clips", "other.clips"].map((name) => join(folder, name));
    const done: number[] = [];
    await prepareStore(generatedSource(options), one);
    await prepareStore(generatedOnThreads(options, 2), other, { onProgress: (p) => done.push(p.done) });
    assert.ok(readFileSync(one).equals(readFileSync(other)));
    assert.deepEqual(
      done,
      Array.from({ length: generatedCount(options) }, (_, i) => i + 1),
    );
    rmSync(folder, { recursive: true });
  });

  test("the set goes into a store, with its protocol", () => {
    const folder = mkdtempSync(join(tmpdir(), "hico-generator-"));
    const path = join(folder, "demo.clips");
    const options = { subjects: 4, repetitions: 1, rate: 10 };
    const classes = generatedActions(options).map(({ name }) => name);
    const kind = { layout: NTU25, classes, normalized: true, protocols: [SYNTHETIC_PROTOCOL] };
    const writer = new ClipStoreWriter(path, kind);
    for (const { facts, clip } of generateClips(options)) writer.add(facts, normalizeClip(clip, NTU25.axes));
    writer.commit();
    const store = ClipStore.open(path);
    assert.equal(store.indices("synthetic-xsub", "train").length, 2 * classes.length);
    assert.equal(store.indices("synthetic-xsub", "test").length, 2 * classes.length);
    assert.deepEqual(store.verify(), []);
    store.close();
    rmSync(folder, { recursive: true });
  });
});
