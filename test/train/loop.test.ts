/** The training loop: what is read when, stops, cancellation, and that a training in two parts has the bits of one. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { SGD } from "../../src/nn/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { compile, tensor, variable } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { trainLoop } from "../../src/train/index.ts";
import type { TrainLoopOptions } from "../../src/train/index.ts";

const device = await CpuDevice.open({ threads: 1 });
setDefaultDevice(device);
after(() => device.close());

/** Batches from step `from` + 1 to `until`, and whether the loop closed them. */
function numbers(from: number, until: number): AsyncIterable<Tensor> & { closed: number } {
  return {
    closed: 0,
    async *[Symbol.asyncIterator]() {
      try {
        for (let i = from; i < until; i++) yield tensor([i / 8, 1 - i / 8]);
      } finally {
        this.closed++;
      }
    },
  };
}

/** w of a line that learns to double. */
function model() {
  const w = variable(tensor([0.5, -0.25]));
  const optimizer = new SGD([w], { lr: 0.1, momentum: 0.9, weightDecay: 0 });
  const step = compile((x: Tensor) => {
    const loss = x.mul(w).sub(x.mul(2)).square().sum();
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  });
  return { w, optimizer, step };
}

/** A loop whose callbacks are written down, in words. */
async function told(more: Partial<TrainLoopOptions<Tensor>>, until = 7): Promise<{ words: string[]; done: number }> {
  const { step } = model();
  const words: string[] = [];
  const done = await trainLoop<Tensor>({
    ...{ steps: 7, batches: numbers(more.from ?? 0, until), step: (x) => step(x) },
    onValues: (read, at) => void words.push(`${read.map((r) => r.step)} read at ${at}`),
    onStop: (at) => void words.push(`stop ${at}`),
    ...more,
  });
  return { words, done };
}

describe("trainLoop", () => {
  test("reads measures a few steps at a time, in order, and before every stop; the last step is one", async () => {
    const { words, done } = await told({ readEvery: 2, stopsAt: (at) => at % 3 === 0 });
    assert.equal(done, 7);
    assert.deepEqual(
      words,
      ["1,2 read at 2", "3 read at 3", "stop 3", "4,5 read at 5", "6 read at 6"].concat([
        "stop 6",
        "7 read at 7",
        "stop 7",
      ]),
    );
  });

  test("goes on from a step, and does nothing where all are done", async () => {
    const { words } = await told({ from: 4, readEvery: 2 });
    assert.deepEqual(words, ["5,6 read at 6", "7 read at 7", "stop 7"]);
    assert.deepEqual(await told({ from: 7 }), { words: [], done: 7 });
  });

  test("in two parts has the bits of one", async () => {
    const whole = model();
    await trainLoop<Tensor>({ steps: 6, batches: numbers(0, 6), step: (x) => whole.step(x) });
    const parts = model();
    await trainLoop<Tensor>({ steps: 2, batches: numbers(0, 2), step: (x) => parts.step(x) });
    await trainLoop<Tensor>({ from: 2, steps: 6, batches: numbers(2, 6), step: (x) => parts.step(x) });
    assert.deepEqual(await parts.w.read(), await whole.w.read());
    assert.notDeepEqual([...(await whole.w.read())], [0.5, -0.25]);
  });

  test("ends after the step under way when the signal aborts, and stops there once", async () => {
    const controller = new AbortController();
    const batches = numbers(0, 7);
    const onStep = (at: number): void => void (at === 3 && controller.abort());
    const { words, done } = await told({ batches, onStep, signal: controller.signal });
    assert.deepEqual([words, done, batches.closed], [["1,2,3 read at 3", "stop 3"], 3, 1]);
    const again = new AbortController();
    const stopping = { stopsAt: (at: number) => at === 3, onStep: (at: number) => void (at === 3 && again.abort()) };
    assert.deepEqual((await told({ ...stopping, signal: again.signal })).words, ["1,2,3 read at 3", "stop 3"]);
  });

  test("closes batches after an error, and says where they ended too early", async () => {
    const batches = numbers(0, 4);
    await assert.rejects(told({ batches }), /batches ended after step 4 of 7; give one for each step/);
    const broken = numbers(0, 7);
    const step = async (): Promise<Tensor> => {
      throw new Error("no step");
    };
    await assert.rejects(told({ batches: broken, step }), /no step/);
    assert.deepEqual([batches.closed, broken.closed], [1, 1]);
  });

  test("hears a signal that comes by the event loop, though its steps never wait for it", async () => {
    const controller = new AbortController();
    const step = async (): Promise<Tensor> => tensor([0]);
    const onStep = (at: number): void => void (at === 1 && setImmediate(() => controller.abort()));
    const { done } = await told({ step, onStep, readEvery: 9, signal: controller.signal });
    assert.equal(done, 2);
  });

  test("takes turns of the event loop where there is no setImmediate, as in browsers", async () => {
    const held = globalThis.setImmediate;
    (globalThis as { setImmediate: unknown }).setImmediate = undefined;
    try {
      const controller = new AbortController();
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        controller.abort();
      };
      const step = async (): Promise<Tensor> => tensor([0]);
      const onStep = (at: number): void => void (at === 1 && port2.postMessage(0));
      const { done } = await told({ step, onStep, readEvery: 9, signal: controller.signal });
      assert.ok(done < 7, `${done} steps`);
    } finally {
      globalThis.setImmediate = held;
    }
  });
});
