/** Inputs of supervised training: every clip with its class, last batches filled up, other skeletons mapped. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BatchPlan, EvaluationBatch, SupervisedBatch } from "../../../src/data/index.ts";
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
  KINECT_V1_20,
  KINECT_V1_20_TO_NTU25,
  layoutNamed,
  Loader,
  mapClip,
  NTU25,
  prepareStore,
  spaceMajored,
  withPersons,
} from "../../../src/data/index.ts";
import { kinectStore } from "../synthetic.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-supervised-"));
let store: ClipStore;
let kinect: ClipStore;
before(async () => {
  await prepareStore(generatedSource({ subjects: 1, repetitions: 1 }), join(folder, "ntu.clips"));
  await kinectStore(join(folder, "kinect.clips"), 6);
  store = ClipStore.open(join(folder, "ntu.clips"));
  kinect = ClipStore.open(join(folder, "kinect.clips"));
});
after(() => {
  store.close();
  kinect.close();
  rmSync(folder, { recursive: true });
});

const augmentation = { size: 16, minFrames: 1, minScale: 0.5, amplitude: 0.3, corruption: 0 };
const planOf = (clips: readonly number[], batch: number): BatchPlan & { readonly kind: "supervised" } => ({
  kind: "supervised",
  clips,
  batch,
  seed: 4,
  inputs: { stream: "bone", augmentation },
});

describe("supervised batches", () => {
  test("hold every clip of an epoch with its class; the last is filled up with other views of the first clips", () => {
    const clips = [1, 3, 4, 6, 7, 9, 12];
    const plan = planOf(clips, 3);
    assert.equal(batchesOf(plan), 3);
    const maker = new BatchMaker(store, plan);
    const values = 16 * 150;
    for (const epoch of [0, 2]) {
      const order = epochOrder(4, epoch, clips);
      for (let place = 0; place < 9; place++) {
        const batch = maker.make(epoch * 3 + Math.floor(place / 3)) as SupervisedBatch;
        const [index, view, at] = [order[place % 7], place < 7 ? 0 : 1, (place % 3) * values];
        const clip = store.read(index);
        const draw = drawAugmentation(augmentationRandom(4, epoch, index, view), clip.frames, 25, augmentation);
        assert.equal(draw.spatial.kind, "shear");
        const expected = augmentClip(clip, draw, "bone", NTU25.parents, augmentation);
        assert.deepEqual(batch.temporal.subarray(at, at + values), expected.data);
        assert.deepEqual(batch.spatial.subarray(at, at + values), spaceMajored(expected));
        assert.equal(batch.labels[place % 3], store.label(index));
      }
    }
  });

  test("of fewer clips than a batch holds repeat them, each time augmented otherwise", () => {
    const { temporal, labels } = new BatchMaker(store, planOf([2, 5], 5)).make(0) as SupervisedBatch;
    const rows = Array.from({ length: 5 }, (_, i) => temporal.slice(i * 2400, (i + 1) * 2400).join());
    assert.equal(new Set(rows).size, 5);
    const counts = [2, 5].map((clip) => labels.filter((label) => label === store.label(clip)).length);
    assert.deepEqual(
      counts.sort((a, b) => a - b),
      [2, 3],
    );
  });

  test("come the same from a thread", async () => {
    const plan = planOf([0, 1, 2, 3, 4], 2);
    const loader = new Loader<SupervisedBatch>({ store: store.path, plan }, { from: 0, until: 4, workers: 1 });
    const maker = new BatchMaker(store, plan);
    for (let number = 0; number < 4; number++) assert.deepEqual(await loader.next(), maker.make(number));
    await loader.close();
  });
});

describe("inputs of another skeleton", () => {
  test("are the mapped clip, and an absent person is zeros", () => {
    const inputs = { stream: "joint", augmentation: { size: 16 }, skeleton: NTU25 } as const;
    assert.deepEqual(inputShape(KINECT_V1_20, inputs), { temporal: [16, 150], spatial: [50, 48] });
    const plan = { kind: "evaluation", clips: [4], batch: 1, inputs } as const;
    const { temporal } = new BatchMaker(kinect, plan).make(0) as EvaluationBatch;
    const mapped = withPersons(mapClip(kinect.read(4), KINECT_V1_20_TO_NTU25), 2);
    assert.deepEqual(temporal, evaluationClip(mapped, "joint", NTU25.parents, 16).data);
    for (let t = 0; t < 16; t++) assert.ok(temporal.subarray(t * 150 + 75, (t + 1) * 150).every((x) => x === 0));
    assert.ok(temporal.subarray(0, 75).some((x) => x !== 0));
  });

  test("persons that the skeleton has no room for are left out", () => {
    const inputs = { stream: "joint", augmentation: { size: 16 }, skeleton: { ...NTU25, persons: 1 } } as const;
    const { temporal } = new BatchMaker(store, { kind: "evaluation", clips: [0], batch: 1, inputs }).make(
      0,
    ) as EvaluationBatch;
    assert.deepEqual(temporal, evaluationClip(withPersons(store.read(0), 1), "joint", NTU25.parents, 16).data);
  });

  test("without a map between them are refused", () => {
    const inputs = { stream: "joint", skeleton: layoutNamed("sbu15") } as const;
    const plan = { kind: "evaluation", clips: [0], batch: 1, inputs } as const;
    assert.throws(() => new BatchMaker(kinect, plan), /no built-in map from layout "kinect-v1-20" to "sbu15"/);
  });
});
