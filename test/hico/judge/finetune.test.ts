/** Training a whole network with labels: the same bits again, one plan, shares of labels, interruption. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { ClipStore } from "../../../src/data/store/store.ts";
import { device } from "../../../src/device/index.ts";
import { classMeans } from "../../../src/hico/judge/classifier.ts";
import { nearest } from "../../../src/hico/judge/knn.ts";
import {
  drawLabelled,
  encodeClips,
  evaluateFinetune,
  evaluateSemi,
  Finetuner,
  openRun,
  pretrain,
} from "../../../src/hico/index.ts";
import type { LabelDraw, Start } from "../../../src/hico/index.ts";
import { readNpz } from "../../../src/io/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { temporaryFolder, tinySettings, tinyStore } from "../run/run-helpers.ts";

const folder = temporaryFolder();
const run = join(folder, "run");
const cpu = await device("cpu", { threads: 1 });
setDefaultDevice(cpu);
const SETTINGS = { epochs: 2, leastSteps: 4, batch: 4, headLr: 0.1 };
before(async () => {
  const data = await tinyStore(folder);
  await pretrain({ settings: tinySettings(data, { epochs: 1, encoder: "transformer", dropout: 0.2 }), run });
});
after(() => {
  cpu.close();
  rmSync(folder, { recursive: true });
});

describe("fine-tuning", () => {
  test("repeats itself bit for bit after other trainings, with the plans of the first", async () => {
    const { store, model, settings, skeleton, inputs } = openRun({ run });
    const tuner = new Finetuner(model, { run: settings, skeleton, inputs, classes: 14, settings: SETTINGS });
    const clips = store.indices("synthetic-xsub", "train");
    const test = store.indices("synthetic-xsub", "test");
    const train = (from: Start, seed: number, count = 14) =>
      tuner.run({ store, train: clips.slice(0, count), test, from, seed, looks: 2 });
    const first = await train("pretrained", 3);
    const scratch = await train("scratch", 3);
    // The optimizer's slots, which exist from the first step on, are reset in plans of their own.
    for (const from of ["pretrained", "scratch"] as const) await train(from, 4);
    const plans = (cpu as unknown as { readonly plans: number }).plans;
    await train("pretrained", 5, 3);
    assert.deepEqual(await train("pretrained", 3), first);
    assert.deepEqual(await train("scratch", 3), scratch);
    assert.notDeepEqual(first.probabilities, scratch.probabilities);
    // Fewer clips, another seed, weights assigned anew: nothing is planned again.
    assert.equal((cpu as unknown as { readonly plans: number }).plans, plans);

    const { result, probabilities } = first;
    assert.deepEqual([result.steps, result.curve.map(({ epoch }) => epoch), result.last.epoch], [8, [1, 2], 2]);
    assert.ok(result.best.accuracy >= result.last.accuracy);
    assert.ok(result.curve[1].loss < result.curve[0].loss);
    for (let i = 0; i < 14; i++) {
      const sum = probabilities.subarray(i * 14, (i + 1) * 14).reduce((total, p) => total + p, 0);
      assert.ok(Math.abs(sum - 1) < 1e-5);
    }
    store.close();
  });

  test("stopped while it looks at the test clips is no result, and nothing is kept of it", async () => {
    const stop = new AbortController();
    // The signal is asked before a look; it comes just after.
    stop.signal.throwIfAborted = () => {
      AbortSignal.prototype.throwIfAborted.call(stop.signal);
      stop.abort(new Error("interrupted"));
    };
    await assert.rejects(
      evaluateFinetune({ run, settings: SETTINGS, signal: stop.signal, name: "stopped" }),
      /interrupted/,
    );
    assert.ok(!existsSync(join(run, "eval")));
  });

  test("of rate 0 classifies by the features of the run", async () => {
    const { store, model, settings, skeleton, inputs } = openRun({ run });
    const still = { ...SETTINGS, lr: 0, headLr: 0, epochs: 1, leastSteps: 1 };
    const tuner = new Finetuner(model, { run: settings, skeleton, inputs, classes: 14, settings: still });
    const [train, test] = (["train", "test"] as const).map((split) => store.indices("synthetic-xsub", split));
    const { probabilities } = await tuner.run({ store, train, test, from: "pretrained", looks: 1 });
    // The linear layer of that seed on the features that linear evaluation has.
    const { data, width } = await encodeClips(model, store, test, { inputs, workers: 0 });
    const head = await tuner.head.weight.read();
    for (let i = 0; i < 14; i++) {
      const logits = Array.from({ length: 14 }, (_, c) =>
        data.subarray(i * width, (i + 1) * width).reduce((sum, x, j) => sum + x * head[c * width + j], 0),
      );
      const total = logits.reduce((sum, x) => sum + Math.exp(x), 0);
      logits.forEach((x, c) => assert.ok(Math.abs(Math.exp(x) / total - probabilities[i * 14 + c]) < 1e-5));
    }
    store.close();
  });

  test("of rate 0 with a cosine classifier answers as the nearest class mean does", async () => {
    const { store, model, settings, skeleton, inputs } = openRun({ run });
    const still = { ...SETTINGS, classifier: "cosine", lr: 0, headLr: 0, epochs: 1, leastSteps: 1 } as const;
    const tuner = new Finetuner(model, { run: settings, skeleton, inputs, classes: 14, settings: still });
    const [train, test] = (["train", "test"] as const).map((split) => store.indices("synthetic-xsub", split));
    const { probabilities } = await tuner.run({ store, train, test, from: "pretrained", looks: 1 });
    const [labelled, queries] = await Promise.all(
      [train, test].map((clips) => encodeClips(model, store, clips, { inputs, workers: 0 })),
    );
    const { width } = labelled;
    const means = {
      data: classMeans(labelled, 14),
      rows: 14,
      width,
      labels: Int32Array.from({ length: 14 }, (_, c) => c),
      clips: [],
    };
    const { rows, similarities } = await nearest(means, queries, 14);
    for (let i = 0; i < queries.rows; i++) {
      const total = similarities.subarray(i * 14, (i + 1) * 14).reduce((sum, cosine) => sum + Math.exp(16 * cosine), 0);
      for (let j = 0; j < 14; j++) {
        const expected = Math.exp(16 * similarities[i * 14 + j]) / total;
        assert.ok(Math.abs(expected - probabilities[i * 14 + rows[i * 14 + j]]) < 1e-5);
      }
    }
    store.close();
  });

  test("a cosine classifier learns, from the run's weights and from random ones", async () => {
    const settings = { ...SETTINGS, classifier: "cosine" } as const;
    const found = await evaluateFinetune({ run, settings, fromScratch: true, name: "finetune-cosine" });
    for (const from of ["pretrained", "scratch"] as const) {
      const [first, last] = found.results[from]!.curve;
      assert.ok(last.loss < first.loss, `${from}: ${first.loss}, ${last.loss}`);
    }
  });

  test("class means are of normalised features; a class without a clip has zeros", () => {
    const labels = Int32Array.of(2, 0, 2);
    const means = classMeans({ data: Float32Array.of(3, 4, 0, 2, 0, 5), rows: 3, width: 2, labels, clips: [] }, 3);
    assert.deepEqual([...means], [0, 1, 0, 0, Math.fround(0.3), Math.fround(0.9)]);
    assert.deepEqual(
      [...classMeans({ data: new Float32Array(2), rows: 1, width: 2, labels: Int32Array.of(0), clips: [] }, 1)],
      [0, 0],
    );
  });

  test("as an evaluation: results, scores by name, and nothing trained twice", async () => {
    const calls: string[] = [];
    const options = { run, settings: SETTINGS, fromScratch: true, onProgress: (from: Start) => calls.push(from) };
    const found = await evaluateFinetune(options);
    assert.deepEqual(Object.keys(found.results), ["pretrained", "scratch"]);
    assert.deepEqual([found.trainClips, found.testClips, found.seenInPretraining], [14, 14, 0]);
    const { last } = found.results.pretrained!;
    assert.equal(
      last.confusion.flat().reduce((sum, n) => sum + n, 0),
      14,
    );
    assert.equal(last.perClass.length, 14);
    const scores = readNpz(join(run, "eval", "finetune-pretrained-scores.npz"));
    assert.deepEqual(scores.get("values")!.shape, [14, 14]);
    const store = ClipStore.open(join(folder, "tiny.clips"));
    const names = store.indices("synthetic-xsub", "test").map((i) => store.facts(i).name);
    assert.deepEqual(scores.get("names")!.data, names);
    store.close();

    calls.length = 0;
    assert.deepEqual((await evaluateFinetune(options)).results, found.results);
    assert.equal(calls.length, 0);
    await evaluateFinetune({ ...options, fromScratch: false, settings: { ...SETTINGS, seed: 1 } });
    assert.equal(calls.length, 8);
    await assert.rejects(
      evaluateFinetune({ ...options, settings: { ...SETTINGS, lr: 1e30 } }),
      /loss is (NaN|.*Infinity).*lower rate/,
    );
  });
});

describe("semi-supervised", () => {
  test("balanced draws give every class its share, at least one clip; smaller shares are part of larger ones", () => {
    const labels = fc.array(fc.nat(6), { minLength: 1, maxLength: 60 });
    const shares = fc.tuple(
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
    );
    fc.assert(
      fc.property(
        labels,
        shares,
        fc.nat(20),
        fc.constantFrom("balanced", "random"),
        (classes, [a, b], number, draw) => {
          const clips = classes.map((_, i) => 3 * i + 1);
          const labelOf = (clip: number): number => classes[(clip - 1) / 3];
          const drawn = (share: number) => drawLabelled(clips, labelOf, share, { draw, seed: 7, number });
          const [small, large] = [drawn(Math.min(a, b)), drawn(Math.max(a, b))];
          assert.ok(small.every((clip) => large.includes(clip) && clips.includes(clip)));
          assert.deepEqual(
            small,
            [...new Set(small)].sort((x, y) => x - y),
          );
          const share = Math.min(a, b);
          if (draw === "random") assert.equal(small.length, Math.max(1, Math.round(share * clips.length)));
          else
            for (const label of new Set(classes)) {
              const count = (of: readonly number[]): number => of.filter((clip) => labelOf(clip) === label).length;
              assert.equal(count(small), Math.max(1, Math.round(share * count(clips))));
            }
        },
      ),
      { numRuns: 60 },
    );
    assert.throws(() => drawLabelled([1], () => 0, 0, { draw: "random", seed: 0, number: 0 }), /above 0 and at most 1/);
    const draw = "any" as LabelDraw;
    assert.throws(
      () => drawLabelled([1], () => 0, 1, { draw, seed: 0, number: 0 }),
      /draw is "any"; it must be balanced or random/,
    );
  });

  test("goes on after the last training that was done", async () => {
    const options = { run, settings: SETTINGS, fractions: [0.5, 1], draws: 2 };
    const stop = new AbortController();
    let trainings = new Set<number>();
    const watch = ({ trained }: { readonly trained: number }): void => {
      trainings.add(trained);
      if (trained === 3) stop.abort(new Error("interrupted"));
    };
    await assert.rejects(evaluateSemi({ ...options, draws: 0 }), /evaluateSemi: draws must be an integer ≥ 1, not 0/);
    await assert.rejects(evaluateSemi({ ...options, signal: stop.signal, onProgress: watch }), /interrupted/);
    assert.equal(readdirSync(join(run, "eval", "semi")).length, 3);
    trainings = new Set();
    const found = await evaluateSemi({ ...options, onProgress: ({ trained }) => trainings.add(trained) });
    assert.deepEqual([...trainings], [3, 4, 5, 6, 7]);
    assert.deepEqual(
      found.fractions.map(({ clips }) => clips),
      [
        [14, 14],
        [14, 14],
      ],
    );
    // Every class has one clip here: half of it is the whole, but no two draws train alike.
    for (const { results } of found.fractions) {
      for (const { mean, accuracies } of Object.values(results)) {
        assert.ok(Math.abs(mean - (accuracies[0] + accuracies[1]) / 2) < 1e-12);
      }
    }
    assert.deepEqual(
      await evaluateSemi({ ...options, onProgress: () => assert.fail("trained again") }).then((f) => f.fractions),
      found.fractions,
    );
  });
});
