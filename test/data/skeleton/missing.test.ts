/** Lost joints: what marks them, how they are filled in time and from the body, what normalisation does without them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { Clip, ClipSource, PrepareOptions, PrepareReport } from "../../../src/data/index.ts";
import {
  checkReach,
  ClipStore,
  ClipStoreWriter,
  closeEmptyFrames,
  fillFromBody,
  fillInTime,
  generateClip,
  losesAtZero,
  markMissing,
  NORMALIZATIONS,
  NTU25,
  originJoints,
  parseNtuSkeleton,
  ntuClip,
  prepareStore,
  SYNTHETIC_ACTIONS,
  zerosAreLost,
} from "../../../src/data/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-missing-"));
after(() => rmSync(folder, { recursive: true }));
let next = 0;

const clipOf = (persons = 1): Clip => {
  const { clip } = generateClip(SYNTHETIC_ACTIONS[2], 0, 1, 1, { noise: 0 });
  const frame = clip.persons * 75;
  const data = new Float32Array(clip.frames * persons * 75);
  for (let t = 0; t < clip.frames; t++)
    for (let m = 0; m < persons; m++) data.set(clip.data.subarray(t * frame, t * frame + 75), (t * persons + m) * 75);
  return { data, frames: clip.frames, persons, joints: 25 };
};

const lose = (clip: Clip, isLost: (t: number, v: number, m: number) => boolean): Clip => {
  const out = { ...clip, data: clip.data.slice() };
  for (let t = 0; t < clip.frames; t++)
    for (let m = 0; m < clip.persons; m++)
      for (let v = 0; v < 25; v++) if (isLost(t, v, m)) markMissing(out.data, ((t * clip.persons + m) * 25 + v) * 3);
  return out;
};

async function stored(clip: Clip, options: PrepareOptions = {}): Promise<{ report: PrepareReport; store: ClipStore }> {
  const source: ClipSource = {
    ...{ layout: { ...NTU25, persons: clip.persons }, classes: ["a"], protocols: [], inputs: 1 },
    *clips(_onBad, onInput) {
      yield { facts: { name: "one", label: 0 }, clip: { ...clip, data: clip.data.slice() } };
      onInput();
    },
  };
  const path = join(folder, `${next++}.clips`);
  return { report: await prepareStore(source, path, options), store: ClipStore.open(path) };
}

/** Largest distance in metres between joints of two clips. */
function farthest(a: Clip, b: Clip, counts: (t: number, v: number) => boolean = () => true): number {
  let most = 0;
  for (let i = 0; i < a.data.length; i += 3) {
    if (!counts(Math.floor(i / 75 / a.persons), (i / 3) % 25)) continue;
    most = Math.max(most, Math.hypot(...[0, 1, 2].map((c) => a.data[i + c] - b.data[i + c])));
  }
  return most;
}

describe("what stands for a lost joint", () => {
  test("zeros are lost where the sensor writes them so; an absent body stays absent, an origin stays a place", () => {
    const clip = clipOf(2);
    clip.data.fill(0, 75, 150);
    clip.data.fill(0, 3, 6);
    const at = (t: number, m: number, v: number): Float32Array =>
      clip.data.subarray(((t * 2 + m) * 25 + v) * 3, ((t * 2 + m) * 25 + v) * 3 + 3);
    for (let t = 0; t < clip.frames; t++) at(t, 0, 20).fill(0);
    zerosAreLost(clip, originJoints(NTU25));
    assert.ok(at(0, 0, 1).every(Number.isNaN));
    assert.ok(at(3, 0, 20).every((x) => x === 0));
    assert.ok(clip.data.subarray(75, 150).every((x) => x === 0));
    zerosAreLost(clip);
    assert.ok(at(3, 0, 20).every(Number.isNaN));
    assert.deepEqual([losesAtZero(NTU25), losesAtZero({ ...NTU25, name: "own" })], [true, false]);
  });

  test("NTU's tracking state 0", () => {
    const joint = (state: number): string => `0.1 0.2 3 0 0 0 0 0 0 0 0 ${state}`;
    const text = `1\n1\n72 0 0 0 0 0 0 0 0 0\n25\n${Array.from({ length: 25 }, (_, v) => joint(v === 7 ? 0 : 2)).join("\n")}\n`;
    const { data } = ntuClip(parseNtuSkeleton(text, "s"), "s");
    for (let v = 0; v < 25; v++) assert.equal(Number.isNaN(data[v * 3]), v === 7);
  });
});

describe("frames in which nobody is seen", () => {
  const emptied = (clip: Clip, gone: (t: number) => boolean): Clip => ({
    ...clip,
    data: clip.data.map((x, i) => (gone(Math.floor(i / 75 / clip.persons)) ? 0 : x)),
  });

  test("are cut at the ends and, between, are lost joints of whoever is seen before and after", () => {
    const whole = clipOf();
    const last = whole.frames - 1;
    const clip = emptied(whole, (t) => t < 2 || (t >= 8 && t < 11) || t === last);
    const closed = closeEmptyFrames(clip);
    assert.equal(closed.frames, whole.frames - 3);
    assert.equal(fillInTime(closed, NTU25.parents), 3 * 25);
    const there = { ...whole, data: whole.data.slice(2 * 75, last * 75), frames: whole.frames - 3 };
    assert.ok(farthest(closed, there) < 0.1, `${farthest(closed, there)} m off`);
    assert.equal(closeEmptyFrames(whole), whole);
  });

  test("in a store: filled, counted and named; the published preparation keeps them as zeros", async () => {
    const whole = clipOf();
    const clip = emptied(whole, (t) => t === 0 || t === 5);
    const { report, store } = await stored(clip, { normalize: "none" });
    assert.equal(report.missing.joints, 25);
    assert.deepEqual(
      report.remarks.map(({ what, names }) => [what, names]),
      [
        ["clips without the frames at their ends in which nobody is seen", ["one (1 frames)"]],
        ["clips with lost joints, which were filled", ["one (25 joints)"]],
      ],
    );
    const read = store.read(0);
    assert.equal(read.frames, whole.frames - 1);
    for (let t = 0; t < read.frames; t++) assert.ok(read.data.subarray(t * 75, t * 75 + 75).some((x) => x !== 0));
  });
});

test("a joint that cannot be one of its body is refused, whatever number stands for a lost one", () => {
  const clip = clipOf();
  checkReach(clip, "a");
  for (const value of [9999, -9999, 1e30]) {
    const data = clip.data.slice();
    data[(4 * 25 + 7) * 3 + 1] = value;
    assert.throws(
      () => checkReach({ ...clip, data }, "a"),
      /^DataError: a: range: joint 7 of person 0 lies .* in frame 4,/,
    );
  }
  // One body far from another, or from the sensor, is no fault; nor is a lost or an absent one.
  const two = clipOf(2);
  two.data.forEach((x, i) => (two.data[i] = Math.floor(i / 75) % 2 === 1 ? x + 1000 : x));
  two.data.fill(0, 0, 75);
  markMissing(two.data, 300);
  checkReach(two, "a");
});

describe("filling", () => {
  test("in time between the frames around, held on the body at the ends; nothing that was seen moves", () => {
    // A body that walks a metre a second, and whose hand is lost for a while, then for the last third.
    const whole = clipOf();
    whole.data.forEach((x, i) => (whole.data[i] = i % 3 === 0 ? x + Math.floor(i / 75) / 30 : x));
    const ends = Math.floor((2 * whole.frames) / 3);
    const isLost = (t: number, v: number): boolean => v === 7 && (t < 2 || (t >= 10 && t < 13) || t >= ends);
    const clip = lose(whole, isLost);
    assert.equal(fillInTime(clip, NTU25.parents), 5 + whole.frames - ends);
    assert.ok(farthest(clip, whole, (t, v) => v === 7 && t < 13) < 0.05);
    assert.ok(farthest(clip, whole) < 0.25, `the hand is ${farthest(clip, whole)} m off at the end`);
    assert.equal(
      farthest(clip, whole, (t, v) => !isLost(t, v)),
      0,
    );
    // Where all move evenly, so does what is filled.
    const even = { ...whole, data: whole.data.map((_, i) => Math.floor(i / 75) * (((i % 75) % 7) - 3) + (i % 75)) };
    const gap = lose(even, (t, v) => (v === 7 || v === 11) && t >= 3 && t < 9);
    fillInTime(gap, NTU25.parents);
    assert.ok(farthest(gap, even) < 1e-4);
    // And where nothing moves, the ends are as they were seen.
    const still = { ...whole, data: whole.data.map((_, i) => whole.data[i % 75]) };
    const start = lose(still, (t, v) => v % 3 === 0 && t < 9);
    fillInTime(start, NTU25.parents);
    assert.ok(farthest(start, still) < 1e-6);
  });

  test("from the body: along a chain of bones in parts, at its end as the last that is there", () => {
    const clip = lose(clipOf(), (_, v) => [5, 6, 15].includes(v));
    assert.equal(fillInTime(clip, NTU25.parents), 0);
    // Of the layout's bones, elbow and wrist lie between shoulder and hand.
    assert.equal(fillFromBody(clip, NTU25.parents), 3 * clip.frames);
    const at = (v: number, c: number): number => clip.data[v * 3 + c];
    for (let c = 0; c < 3; c++) {
      assert.ok(Math.abs(at(5, c) - (2 * at(4, c) + at(7, c)) / 3) < 1e-6);
      assert.ok(Math.abs(at(6, c) - (at(4, c) + 2 * at(7, c)) / 3) < 1e-6);
      assert.equal(at(15, c), at(14, c));
    }
  });

  test("of two persons, one who is seen later is absent before; one who is never seen is absent", () => {
    const clip = lose(clipOf(3), (t, _, m) => (m === 1 && t < 5) || m === 2);
    fillInTime(clip, NTU25.parents);
    const body = (t: number, m: number): Float32Array => clip.data.subarray((t * 3 + m) * 75, (t * 3 + m + 1) * 75);
    for (let t = 0; t < clip.frames; t++) {
      assert.equal(
        body(t, 1).every((x) => x === 0),
        t < 5,
      );
      assert.ok(body(t, 2).every((x) => x === 0));
    }
  });
});

describe("preparation", () => {
  // Centre, both ends of the spine's axis, a shoulder, a hand: each alone, for a time and throughout.
  for (const joint of [0, 1, 4, 11]) {
    test(`${NTU25.joints[joint]} lost in some frames or in all moves no other joint`, async () => {
      const whole = clipOf();
      for (const normalize of NORMALIZATIONS) {
        const expected = await stored(whole, { normalize });
        for (const until of [4, whole.frames]) {
          const { store, report } = await stored(
            lose(whole, (t, v) => v === joint && t < until),
            { normalize },
          );
          const throughout = until === whole.frames;
          // Another centre and axis are near the usual ones, and no joint is metres off.
          const bound = throughout && normalize !== "none" ? 0.35 : 0.06;
          const error = farthest(
            store.read(0),
            expected.store.read(0),
            (t, v) => v !== joint && t >= (throughout ? 0 : 4),
          );
          assert.ok(error < bound, `${normalize}, lost ${throughout ? "throughout" : "at first"}: ${error} m`);
          assert.deepEqual(report.missing, {
            ...{ joints: until, of: 25 * whole.frames, clips: 1 },
            inTime: throughout ? 0 : until,
          });
          const flags = store.lost(0)!;
          flags.forEach((flag, i) => assert.equal(flag, i % 25 === joint && Math.floor(i / 25) < until ? 1 : 0));
          assert.equal(store.lostCount(0), until);
          store.close();
        }
        expected.store.close();
      }
    });
  }

  test("a store's writer fills what is lost, and keeps which it was by person", () => {
    const path = join(folder, "written.clips");
    const layout = { ...NTU25, persons: 2 };
    const writer = new ClipStoreWriter(path, { layout, classes: ["a"], normalized: false });
    const clip = lose(clipOf(2), (t, v, m) => m === 1 && v === 3 && t === 1);
    writer.add({ name: "pair", label: 0 }, clip);
    writer.add(
      { name: "single", label: 0 },
      lose(clipOf(1), (t, v) => v === 24 && t === 2),
    );
    writer.add({ name: "whole", label: 0 }, clipOf(1));
    writer.commit();
    const store = ClipStore.open(path);
    const where = (i: number): number[] => [...store.lost(i)!].flatMap((flag, at) => (flag ? [at] : []));
    assert.deepEqual(where(0), [50 + 25 + 3]);
    assert.deepEqual(where(1), [2 * 50 + 24]);
    assert.equal(store.lost(2), undefined);
    for (let i = 0; i < 3; i++) assert.ok(store.read(i).data.every(Number.isFinite));
    assert.equal(store.verify().length, 0);
    store.close();
  });
});
