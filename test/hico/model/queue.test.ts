/** Queue writes against plain loops, for every place of the pointer, and which columns each variant reaches. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { CpuPlanner } from "../../../src/device/cpu/planner.ts";
import { ReferenceDevice } from "../../../src/device/reference/reference.ts";
import { HiCo } from "../../../src/hico/index.ts";
import { replaceColumns } from "../../../src/hico/model/queue.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { realize } from "../../../src/tensor/program/realize.ts";
import { tensor } from "../../../src/tensor/create.ts";
import { batchOf, small } from "../helpers.ts";

setDefaultDevice(new ReferenceDevice());

test("keys replace a run of columns that wraps at the end", async () => {
  const sizes = fc
    .record({ channels: fc.integer({ min: 1, max: 4 }), width: fc.integer({ min: 1, max: 9 }) })
    .chain((s) =>
      fc.record({
        ...{ channels: fc.constant(s.channels), width: fc.constant(s.width) },
        count: fc.integer({ min: 1, max: s.width }),
        pointer: fc.integer({ min: 0, max: s.width - 1 }),
      }),
    );
  await fc.assert(
    fc.asyncProperty(sizes, async ({ channels, width, count, pointer }) => {
      const queue = Float32Array.from({ length: channels * width }, (_, i) => i);
      const keys = Float32Array.from({ length: count * channels }, (_, i) => 1000 + i);
      const written = replaceColumns(
        tensor(queue, { shape: [channels, width] }),
        tensor(keys, { shape: [count, channels] }),
        tensor(Int32Array.of(pointer)),
      );
      const expected = Float64Array.from(queue);
      for (let n = 0; n < count; n++) {
        for (let c = 0; c < channels; c++) expected[c * width + ((pointer + n) % width)] = keys[n * channels + c];
      }
      assert.deepEqual([...(await written.read())], [...expected]);
    }),
    { numRuns: 60 },
  );
});

test("a queue's first columns are drawn once, not once for their lengths and once for themselves", () => {
  const planner = new CpuPlanner({ relaxedSimd: false, threads: false });
  const { c_queue } = new HiCo(small({}));
  const { steps } = planner.plan(planner.graph([c_queue.state.initial!], []));
  const drawing = steps
    .flatMap(({ kernels }) => kernels)
    .map((kernel) => [kernel.kind, kernel.kind !== "fused" && kernel.exprs.all.some((e) => e.kind === "bits")]);
  assert.deepEqual(drawing, [
    ["loop", true],
    ["reduce", false],
  ]);
});

test("keys of the wrong width, or more than there are columns, are refused", () => {
  const queue = tensor(new Float32Array(12), { shape: [3, 4] });
  const pointer = tensor(Int32Array.of(0));
  assert.throws(
    () => replaceColumns(queue, tensor(new Float32Array(4), { shape: [2, 2] }), pointer),
    /keys \[2, 2\] must be \[n, 3\]/,
  );
  assert.throws(() => replaceColumns(queue, tensor(new Float32Array(15), { shape: [5, 3] }), pointer), /at most 4/);
});

/** Columns of the clip queue that differ from the first ones, and the pointers, after each of some steps. */
async function clipQueue(
  model: HiCo,
  clips: number,
  steps: number,
): Promise<{ changed: number[]; pointers: number[] }> {
  const first = await model.c_queue.read();
  const [channels, width] = model.c_queue.shape;
  const before = Float64Array.from(first);
  const pointers: number[] = [];
  for (let n = 0; n < steps; n++) {
    model.contrast(batchOf(clips, n));
    await realize([]);
    pointers.push((await model.c_queue_ptr.read())[0]);
  }
  const last = await model.c_queue.read();
  const changed = Array.from({ length: width }, (_, k) => k).filter((k) =>
    Array.from({ length: channels }, (_, c) => c).some((c) => last[c * width + k] !== before[c * width + k]),
  );
  return { changed, pointers };
}

test("corrected: the clip queue wraps at G·K, whatever the batch", async () => {
  // G·K = 24 columns; 9 keys a step.
  const { changed, pointers } = await clipQueue(new HiCo(small({ variant: "corrected" })), 3, 3);
  assert.deepEqual(pointers, [9, 18, 3]);
  assert.deepEqual(
    changed,
    Array.from({ length: 24 }, (_, k) => k),
  );
});

test("released: its pointer is taken modulo K, so the last columns keep their first values", async () => {
  // K = 8: steps of 12 keys begin at 0, 4, 0, …
  const { changed, pointers } = await clipQueue(new HiCo(small({ variant: "released" })), 4, 4);
  assert.deepEqual(pointers, [4, 0, 4, 0]);
  assert.deepEqual(
    changed,
    Array.from({ length: 16 }, (_, k) => k),
  );
});

test("batches: released needs a divisor of K, and neither takes more clips than K", () => {
  const step = (variant: "released" | "corrected", clips: number) => () =>
    new HiCo(small({ variant })).contrast(batchOf(clips));
  assert.throws(step("released", 3), /needs a batch that divides the queue, and 3 does not divide 8; use another/);
  assert.throws(step("corrected", 9), /a batch of 9 clips does not fit in a queue of 8/);
});
