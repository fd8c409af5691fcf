/** Loaders: batches follow from plan and number alone, on any number of threads; errors name the clip. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BatchPlan, EvaluationBatch, PretrainBatch } from "../../../src/data/index.ts";
import {
  augmentationRandom,
  augmentClip,
  batchesOf,
  BatchMaker,
  ClipStore,
  drawAugmentation,
  epochOrder,
  evaluationClip,
  generatedSource,
  inputShape,
  Loader,
  prepareStore,
  spaceMajored,
  STREAMS,
} from "../../../src/data/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-loader-"));
const path = join(folder, "data.clips");
let store: ClipStore;
before(async () => {
  await prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), path);
  store = ClipStore.open(path);
});
after(() => {
  store.close();
  rmSync(folder, { recursive: true });
});

const clips = Array.from({ length: 23 }, (_, i) => i + 2);
const planOf = (more: Partial<BatchPlan> = {}): BatchPlan =>
  ({
    kind: "pretrain",
    clips,
    batch: 5,
    seed: 9,
    inputs: { stream: "joint", augmentation: { size: 16, minFrames: 8 } },
    ...more,
  }) as BatchPlan;

async function all<B extends PretrainBatch | EvaluationBatch>(
  plan: BatchPlan,
  options: { from: number; until: number; workers?: number; prefetch?: number },
): Promise<B[]> {
  const loader = new Loader<B>({ store: path, plan }, options);
  const batches: B[] = [];
  for (let batch = await loader.next(); batch; batch = await loader.next()) batches.push(batch);
  assert.equal(await loader.next(), undefined);
  await loader.close();
  return batches;
}

describe("batches", () => {
  for (const stream of STREAMS) {
    test(`of the ${stream} stream are the augmented clips of the epoch's order, in both views`, () => {
      const plan = planOf({ inputs: { stream, augmentation: { size: 16, minFrames: 8 } } });
      const { layout } = store.header;
      const batch = new BatchMaker(store, plan).make(6) as PretrainBatch;
      const order = epochOrder(9, 1, clips);
      const size = 16 * 2 * 75;
      [10, 11, 12, 13, 14]
        .map((place) => order[place])
        .forEach((index, at) => {
          const clip = store.read(index);
          [
            [batch.queryTemporal, batch.querySpatial],
            [batch.keyTemporal, batch.keySpatial],
          ].forEach(([temporal, spatial], view) => {
            const draw = drawAugmentation(
              augmentationRandom(9, 1, index, view),
              clip.frames,
              25,
              plan.inputs.augmentation,
            );
            const expected = augmentClip(clip, draw, stream, layout.parents, plan.inputs.augmentation);
            assert.deepEqual(temporal.slice(at * size, (at + 1) * size), expected.data);
            assert.deepEqual(spatial.slice(at * size, (at + 1) * size), spaceMajored(expected));
          });
        });
    });
  }

  test("an epoch is every clip once, in an order of its own; another seed has another", () => {
    const orders = [epochOrder(9, 0, clips), epochOrder(9, 1, clips), epochOrder(8, 0, clips)];
    for (const order of orders)
      assert.deepEqual(
        [...order].sort((a, b) => a - b),
        clips,
      );
    assert.equal(new Set(orders.map(String)).size, 3);
    assert.deepEqual([batchesOf(planOf()), batchesOf(planOf({ kind: "evaluation" }))], [4, 5]);
  });

  test("of evaluation are the clips in order, the last one filled up with zeros", async () => {
    const plan = planOf({ kind: "evaluation" });
    const batches = await all<EvaluationBatch>(plan, { from: 0, until: 5 });
    assert.deepEqual(
      batches.map(({ count }) => count),
      [5, 5, 5, 5, 3],
    );
    const { temporal, spatial } = batches[4];
    const size = 16 * 150;
    const expected = evaluationClip(store.read(clips[21]), "joint", store.header.layout.parents, 16);
    assert.deepEqual(temporal.slice(size, 2 * size), expected.data);
    assert.deepEqual(spatial.slice(size, 2 * size), spaceMajored(expected));
    assert.ok(temporal.subarray(3 * size).every((x) => x === 0));
    assert.deepEqual(inputShape(store.header.layout, plan.inputs), { temporal: [16, 150], spatial: [50, 48] });
  });
});

describe("threads", () => {
  test("any number of them, any prefetch, from any batch on: the same bits", async () => {
    const expected = await all(planOf(), { from: 0, until: 10, workers: 0 });
    for (const options of [
      { workers: 1, prefetch: 1 },
      { workers: 3, prefetch: 5 },
      { workers: 2, prefetch: 20 },
    ]) {
      assert.deepEqual(await all(planOf(), { from: 3, until: 10, ...options }), expected.slice(3));
    }
  });

  test("batches that are given back are made anew in their memory, with the same bits", async () => {
    const until = 3 * batchesOf(planOf());
    const expected = await all<PretrainBatch>(planOf(), { from: 0, until, workers: 0 });
    const loader = new Loader<PretrainBatch>({ store: path, plan: planOf() }, { from: 0, until, prefetch: 2 });
    const given: PretrainBatch[] = [];
    for (const wanted of expected) {
      const batch = (await loader.next())!;
      assert.deepEqual(batch, wanted);
      loader.release(batch);
      given.push(batch);
    }
    // Their memory has gone to the thread with what was asked for next.
    assert.equal(given[0].queryTemporal.length, 0);
    await loader.close();

    const spare = expected.slice(0, 2).flatMap((b) => [b.queryTemporal.buffer, b.keySpatial.buffer] as ArrayBuffer[]);
    const memory = new Set(spare);
    const maker = new BatchMaker(store, planOf());
    const made = maker.make(7, spare) as PretrainBatch;
    assert.deepEqual(made, expected[7]);
    assert.deepEqual(spare, []);
    assert.deepEqual(
      new Set([made.queryTemporal, made.querySpatial, made.keyTemporal, made.keySpatial].map((a) => a.buffer)),
      memory,
    );
    const other = new ArrayBuffer(8);
    maker.make(8, [other]);
    assert.equal(other.byteLength, 8);
  });

  test("a clip is read and checked once, however many epochs there are", (context) => {
    const read = context.mock.method(store, "read");
    const maker = new BatchMaker(store, planOf());
    const epoch = batchesOf(planOf());
    for (let number = 0; number < 6 * epoch; number++) maker.make(number);
    assert.ok(read.mock.callCount() <= clips.length, `${read.mock.callCount()} of ${clips.length} clips`);
  });

  test("a damaged clip is an error that names it, where its batch is asked for", async () => {
    const damaged = join(folder, "damaged.clips");
    const bytes = readFileSync(path);
    bytes[100] ^= 4;
    writeFileSync(damaged, bytes);
    const plan = planOf({ kind: "evaluation", clips: [1, 2, 3, 4, 0, 5], batch: 2 });
    for (const workers of [0, 2]) {
      const loader = new Loader<EvaluationBatch>({ store: damaged, plan }, { from: 0, until: 3, workers });
      assert.equal((await loader.next())!.count, 2);
      assert.equal((await loader.next())!.count, 2);
      await assert.rejects(loader.next(), { name: "DataError", reason: "format", message: /clip 0 \(.*\) is damaged/ });
      await loader.close();
    }
  });

  test("a store that is not there ends in an error, not in waiting", async () => {
    const loader = new Loader(
      { store: join(folder, "absent.clips"), plan: planOf() },
      { from: 0, until: 3, workers: 1 },
    );
    await assert.rejects(loader.next(), /absent\.clips: unreadable/);
    await loader.close();
  });
});
