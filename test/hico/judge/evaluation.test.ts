/** Evaluation: neighbours and classifiers against plain computations, scores, and whose clips are whose. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { ClipStore } from "../../../src/data/store/store.ts";
import { ReferenceDevice } from "../../../src/device/reference/reference.ts";
import type { SplitSettings } from "../../../src/hico/run/clips.ts";
import type { FeatureTable } from "../../../src/hico/index.ts";
import {
  clipsOf,
  embed,
  encodeClips,
  evaluateKnn,
  evaluateLinear,
  inputSettings,
  knnAccuracy,
  labelledClips,
  linearProbe,
  modelFor,
  nearest,
  openRun,
  pretrain,
  rawFeatures,
  scoresOf,
  vote,
} from "../../../src/hico/index.ts";
import { probeBatch } from "../../../src/hico/judge/linear-probe.ts";
import { readNpy } from "../../../src/io/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { seededRandom } from "../../support/draw.ts";
import { temporaryFolder, tinySettings, tinyStore } from "../run/run-helpers.ts";

setDefaultDevice(new ReferenceDevice());
const folder = temporaryFolder();
let data: string;
before(async () => {
  data = await tinyStore(folder);
});
after(() => rmSync(folder, { recursive: true }));

function tableOf(rows: readonly (readonly number[])[], labels: readonly number[]): FeatureTable {
  return {
    data: Float32Array.from(rows.flat()),
    rows: rows.length,
    width: rows[0].length,
    labels: Int32Array.from(labels),
    clips: rows.map((_, i) => i),
  };
}

/** Rows around a direction of their class. */
function clusters(count: number, classes: number, width: number, seed: number, spread = 0.3): FeatureTable {
  const random = seededRandom(seed);
  const centres = Array.from({ length: classes }, (_, c) =>
    Array.from({ length: width }, (_, i) => (i % classes === c ? 1 : 0)),
  );
  const labels = Array.from({ length: count }, (_, i) => i % classes);
  return tableOf(
    labels.map((label) => centres[label].map((x) => x + spread * (2 * random() - 1))),
    labels,
  );
}

describe("k-NN", () => {
  test("finds what comparing all pairs finds", async () => {
    const random = seededRandom(5);
    const draw = (rows: number): FeatureTable =>
      tableOf(
        Array.from({ length: rows }, () => Array.from({ length: 7 }, () => 2 * random() - 1)),
        new Array<number>(rows).fill(0),
      );
    const [gallery, queries] = [draw(60), draw(17)];
    const { rows, similarities } = await nearest(gallery, queries, 4);
    const row = (table: FeatureTable, i: number): Float32Array => table.data.subarray(i * 7, (i + 1) * 7);
    const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i], 0);
    const cosine = (a: Float32Array, b: Float32Array): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
    for (let q = 0; q < 17; q++) {
      const sorted = Array.from({ length: 60 }, (_, g) => ({ g, s: cosine(row(queries, q), row(gallery, g)) })).sort(
        (a, b) => b.s - a.s,
      );
      assert.deepEqual(
        [...rows.subarray(q * 4, q * 4 + 4)],
        sorted.slice(0, 4).map(({ g }) => g),
      );
      sorted.slice(0, 4).forEach(({ s }, j) => assert.ok(Math.abs(s - similarities[q * 4 + j]) < 1e-5));
    }
  });

  test("merges the blocks of a gallery that is larger than one", async () => {
    const gallery = clusters(4096 + 700, 3, 3, 1);
    // The very last row is the only one of its direction.
    gallery.data.set([-1, 0.5, -1], (gallery.rows - 1) * 3);
    const { rows } = await nearest(gallery, tableOf([[-2, 1, -2], [...gallery.data.subarray(3, 6)]], [0, 0]), 2);
    assert.deepEqual([rows[0], rows[2]], [gallery.rows - 1, 1]);
  });

  test("the majority decides, and of equal votes the nearest", () => {
    const gallery = tableOf([[1], [1], [1], [1]], [2, 1, 1, 0]);
    assert.deepEqual(
      [...vote({ k: 3, rows: Int32Array.of(0, 1, 2, 0, 1, 3), similarities: new Float32Array(6) }, gallery, 3)],
      [1, 2],
    );
  });

  test("does not care for length", async () => {
    const [train, test] = [clusters(30, 3, 6, 2), clusters(12, 3, 6, 3)];
    const scaled = { ...test, data: test.data.map((x, i) => x * (1 + Math.floor(i / 6))) };
    const result = await knnAccuracy(train, scaled, ["a", "b", "c"], 3);
    assert.deepEqual([result.k, result.accuracy, result.clips], [3, 1, 12]);
    await assert.rejects(
      knnAccuracy(train, test, ["a", "b", "c"], 31),
      /k is 31; it must be from 1 to the gallery's 30/,
    );
  });
});

describe("the linear classifier", () => {
  test("separates what is linearly separable; what it says of itself holds", async () => {
    const [train, test] = [clusters(96, 6, 12, 4), clusters(60, 6, 12, 5)];
    const names = ["a", "b", "c", "d", "e", "f"];
    const result = await linearProbe(train, test, names, { settings: { epochs: 10, drops: [6, 8] } });
    assert.equal(result.last.accuracy, 1);
    assert.equal(result.last.top5, 1);
    assert.equal(result.last.epoch, 10);
    assert.equal(result.curve.length, 10);
    assert.ok(result.curve[9].loss < 0.1 * result.curve[0].loss);
    assert.equal(result.best.accuracy, Math.max(...result.curve.map(({ accuracy }) => accuracy)));
    assert.equal(result.curve[result.best.epoch - 1].accuracy, result.best.accuracy);
  });

  test("top-5 counts ranks: labels drawn at random among 10 classes are found about half of the time", async () => {
    const random = seededRandom(6);
    const noise = (rows: number): FeatureTable =>
      tableOf(
        Array.from({ length: rows }, () => [2 * random() - 1, 2 * random() - 1]),
        Array.from({ length: rows }, () => Math.floor(10 * random())),
      );
    const { last } = await linearProbe(noise(100), noise(400), Array.from({ length: 10 }, String), {
      settings: { epochs: 2, lr: 0.01 },
    });
    assert.ok(last.top5 > 0.35 && last.top5 < 0.65, `${last.top5}`);
    assert.ok(last.accuracy < 0.25);
  });

  test("is the same for the same seed, and stops at a loss that is not finite", async () => {
    const [train, test] = [clusters(40, 2, 4, 7, 2), clusters(20, 2, 4, 8, 2)];
    const run = (seed: number) => linearProbe(train, test, ["a", "b"], { settings: { epochs: 3, seed } });
    assert.deepEqual(await run(1), await run(1));
    assert.notDeepEqual((await run(1)).curve, (await run(2)).curve);
    await assert.rejects(
      linearProbe(train, test, ["a", "b"], { settings: { lr: 1e38 } }),
      /linear evaluation: the loss is Infinity in epoch 1; use a lower rate than 1e\+38/,
    );
    // The loss of the only step is from before it.
    await assert.rejects(
      linearProbe(train, { ...test, data: test.data.map((x) => 1e4 * x) }, ["a", "b"], {
        settings: { lr: 1e38, epochs: 1, batch: 40 },
      }),
      /the classifier's number for clip \d+ and class [ab] is -?(NaN|Infinity); use a lower rate/,
    );
    for (const name of ["epochs", "batch"])
      await assert.rejects(
        linearProbe(train, test, ["a", "b"], { settings: { [name]: 0 } }),
        new RegExp(`linear evaluation: ${name} must be an integer ≥ 1, not 0`),
      );
  });

  test("has 1024 clips in a batch, or as few as give an epoch 16 steps", () => {
    assert.deepEqual([40_000, 16_384, 1020, 431, 20, 3].map(probeBatch), [1024, 1024, 64, 16, 1, 1]);
    fc.assert(
      fc.property(fc.integer({ min: 30, max: 100_000 }), (clips) => {
        assert.ok(Math.ceil(clips / probeBatch(clips)) >= 15);
      }),
    );
  });
});

test("features that are not finite, and labels of no class, are named and not judged", async () => {
  const [classes, fine] = [["a", "b"], clusters(20, 2, 4, 7)];
  const judges = { kNN: knnAccuracy, "linear evaluation": linearProbe };
  for (const [name, judge] of Object.entries(judges))
    for (const [i, of] of ["train", "test"].entries()) {
      const both = (odd: FeatureTable) => (i === 0 ? judge(odd, fine, classes) : judge(fine, odd, classes));
      for (const value of [NaN, Infinity]) {
        const odd = { ...fine, data: fine.data.map((x, at) => (at === 13 ? value : x)) };
        const message = `${name}: a feature of clip 3 is ${value}; features must be finite`;
        await assert.rejects(both(odd), (error: Error) => error.message.startsWith(message), of);
      }
      for (const label of [-1, 2]) {
        const odd = { ...fine, labels: fine.labels.map((x, row) => (row === 5 ? label : x)) };
        const message = `${name}: the label of clip 5 is ${label}; it must be from 0 to 1`;
        await assert.rejects(both(odd), (error: Error) => error.message.startsWith(message), of);
      }
    }
  assert.throws(() => scoresOf([0], [0, 1], classes), /1 answers to 2 labels/);
  assert.throws(() => scoresOf([0, -1], [0, 1], classes), /answer 1 is -1; it must be from 0 to 1/);
  assert.throws(() => scoresOf([0, 1], [0, 2], classes), /label 1 is 2; it must be from 0 to 1/);
});

test("scores count right answers by class", () => {
  const scores = scoresOf([0, 1, 1, 0], [0, 1, 0, 0], ["a", "b", "c"]);
  assert.equal(scores.accuracy, 0.75);
  assert.deepEqual(scores.confusion, [
    [2, 1, 0],
    [0, 1, 0],
    [0, 0, 0],
  ]);
  assert.deepEqual(scores.perClass, [
    { name: "a", clips: 3, accuracy: 2 / 3 },
    { name: "b", clips: 1, accuracy: 1 },
    { name: "c", clips: 0, accuracy: null },
  ]);
});

describe("clips", () => {
  test("are those of the protocol's split; held-out subjects and cameras test and the test clips rest", async () => {
    const many = join(folder, "many.clips");
    const { generatedSource, prepareStore } = await import("../../../src/data/index.ts");
    await prepareStore(generatedSource({ subjects: 6, repetitions: 1, actions: ["wave", "kick"] }), many);
    const store = ClipStore.open(many);
    const own: SplitSettings = { protocol: "", holdOut: [], holdOutCameras: [] };
    const of = (fact: "subject" | "camera", split: "train" | "test", given: Partial<SplitSettings>): number[] =>
      [...new Set(clipsOf(store, split, { ...own, ...given }).map((i) => store.facts(i)[fact]!))].sort((a, b) => a - b);
    const subjects = (split: "train" | "test", holdOut: number[]): number[] => of("subject", split, { holdOut });
    const cameras = (split: "train" | "test", ...holdOutCameras: number[]): number[] =>
      of("camera", split, { holdOutCameras });
    assert.deepEqual(
      [subjects("train", []), subjects("test", [])],
      [
        [1, 3, 5],
        [2, 4, 6],
      ],
    );
    assert.deepEqual([subjects("train", [3]), subjects("test", [3])], [[1, 5], [3]]);
    const [first, ...others] = cameras("train");
    assert.ok(others.length > 0, "clips of several cameras");
    assert.deepEqual([cameras("train", first), cameras("test", first)], [others, [first]]);
    assert.throws(
      () => clipsOf(store, "train", { ...own, holdOut: [2] }),
      /no training clip of subject 2; there are 1, 3, 5/,
    );
    assert.throws(
      () => clipsOf(store, "train", { ...own, protocol: "ntu60-xsub" }),
      /no protocol "ntu60-xsub"; this store has synthetic-xsub/,
    );
    store.close();
  });
});

describe("features", () => {
  test("do not depend on batch size, leave dropout out, and are the network's own", async () => {
    const settings = tinySettings(data, { encoder: "transformer", dropout: 0.5 });
    const store = ClipStore.open(data);
    const clips = labelledClips(store, "test", settings);
    const model = modelFor(settings, store.header.layout);
    const inputs = inputSettings(settings);
    const network = model.encoder_q;
    const features = network.features.bind(network);
    let traces = 0;
    network.features = (...views) => {
      traces++;
      return features(...views);
    };
    const a = await encodeClips(model, store, clips, { inputs, batch: 5, workers: 0 });
    await encodeClips(model, store, clips, { inputs, batch: 5, workers: 0 });
    assert.equal(traces, 1, "planned once for all batches");
    const b = await encodeClips(model, store, clips, { inputs, batch: 14 });
    assert.deepEqual([a.rows, a.width], [14, 2 * 2 * 8]);
    a.data.forEach((x, i) => assert.ok(Math.abs(x - b.data[i]) < 1e-6));
    assert.ok(network.training);
    const raw = await rawFeatures(store, clips, { inputs });
    assert.deepEqual([raw.rows, raw.width], [14, 16 * 150]);
    store.close();
  });

  test("of a run: judged beside the baselines, embedded, and refused where a checkpoint does not fit", async () => {
    const run = join(folder, "run");
    const settings = tinySettings(data, { epochs: 1 });
    await pretrain({ settings, run });
    const knn = await evaluateKnn({ run });
    const linear = await evaluateLinear({ run, probe: { epochs: 3 }, baselines: false });
    assert.deepEqual(
      [Object.keys(knn.results), Object.keys(linear.results)],
      [["pretrained", "random", "raw"], ["pretrained"]],
    );
    assert.deepEqual([knn.trainClips, knn.testClips, knn.protocol], [14, 14, "synthetic-xsub"]);

    // The random encoder is the run before its first step.
    const store = ClipStore.open(data);
    const [train, test] = (["train", "test"] as const).map((split) => labelledClips(store, split, settings));
    const model = modelFor(settings, store.header.layout);
    const inputs = inputSettings(settings);
    const fresh = await knnAccuracy(
      await encodeClips(model, store, train, { inputs }),
      await encodeClips(model, store, test, { inputs }),
      store.header.classes,
    );
    assert.deepEqual(knn.results.random, fresh);
    store.close();

    const { clips, width } = await embed({ run, out: join(folder, "all.npy") });
    assert.deepEqual([clips, width, readNpy(join(folder, "all.npy")).shape], [28, 32, [28, 32]]);
    await assert.rejects(
      evaluateKnn({ run, checkpoint: join(folder, "none.safetensors") }),
      /there is no checkpoint .*none/,
    );
    const other = join(folder, "other");
    await pretrain({ settings: tinySettings(data, { epochs: 1, encoder: "lstm" }), run: other });
    const { checkpoint, store: opened } = openRun({ run: other });
    opened.close();
    await assert.rejects(evaluateKnn({ run, checkpoint }), /does not fit the model of .*of another shape/s);
  });
});
