/** What a repeated step costs: one submit, nothing made anew, memory flat. Counted, not timed. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import "../../src/autograd/grad.ts";
import { difference } from "../../src/device/webgpu/gpu/counters.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import {
  Generator,
  type Tensor,
  compile,
  liveScalar,
  realize,
  setDefaultDevice,
  tensor,
  variable,
} from "../../src/tensor/index.ts";
import { numbers, openTestDevice } from "../support/helpers.ts";

const [BATCH, IN, HIDDEN, OUT] = [16, 12, 20, 5];

/** Two layers, mean squared error, momentum. */
function network() {
  const g = new Generator(4);
  const parameters = [[IN, HIDDEN], [HIDDEN], [HIDDEN, OUT], [OUT]].map((shape) => variable(g.normal(shape, 0, 0.3)));
  const slots = parameters.map((p) => variable(p.mul(0), { trainable: false }));
  const [w1, b1, w2, b2] = parameters;
  let rate = 0.05;
  const live = liveScalar(() => rate);
  const step = (x: Tensor, y: Tensor): Tensor => {
    const loss = x.matmul(w1).add(b1).relu().matmul(w2).add(b2).sub(y).square().mean();
    loss.backward();
    parameters.forEach((p, i) => {
      slots[i].assign(slots[i].mul(0.9).add(p.grad!));
      p.assign(p.sub(slots[i].mul(live)));
      p.grad = undefined;
    });
    return loss;
  };
  const batch = (): [Tensor, Tensor] => {
    const draw = (n: number) => Float32Array.from({ length: n }, () => Math.fround(Math.sin(++count * 12.9898) * 2));
    return [tensor(draw(BATCH * IN), { shape: [BATCH, IN] }), tensor(draw(BATCH * OUT), { shape: [BATCH, OUT] })];
  };
  let count = 0;
  return {
    parameters,
    slots,
    step,
    batch,
    setRate: (r: number) => {
      rate = r;
    },
  };
}

describe("steady state", () => {
  let gpu: WebGpuDevice;
  before(async () => {
    gpu = await openTestDevice();
  });
  after(() => gpu.close());
  beforeEach(() => setDefaultDevice(gpu));
  afterEach(() => setDefaultDevice(undefined));

  test("a step traced again hits its plan: one submit, no new buffer, bind group or pipeline", async () => {
    const { step, batch, setRate } = network();
    for (let i = 0; i < 5; i++) await realize([step(...batch())]);
    const [plans, earlier] = [gpu.plans, gpu.gpu.snapshot()];
    const losses: Tensor[] = [];
    for (let i = 0; i < 10; i++) {
      setRate(0.05 / (i + 1));
      losses.push(step(...batch()));
      await realize([losses[i]]);
    }
    const done = difference(gpu.gpu.snapshot(), earlier);
    assert.equal(gpu.plans, plans);
    assert.equal(done.submits, 10);
    assert.deepEqual([done.buffersCreated, done.bindGroupsCreated, done.pipelinesCreated, done.reads], [0, 0, 0, 0]);
    assert.ok(done.dispatches <= 150, `${done.dispatches / 10} dispatches a step`);
    const values = await Promise.all(losses.map((l) => l.item()));
    assert.ok(values.every(Number.isFinite) && new Set(values).size === 10);
  });

  test("so does a compiled one, and with inputs that lie on the device", async () => {
    const { step, batch } = network();
    const compiled = compile(step);
    const onDevice = batch();
    await realize(onDevice.map((t) => t));
    for (let i = 0; i < 4; i++) await compiled(...(i % 2 ? onDevice : batch()));
    const earlier = gpu.gpu.snapshot();
    for (let i = 0; i < 10; i++) await compiled(...batch());
    const done = difference(gpu.gpu.snapshot(), earlier);
    assert.deepEqual([done.submits, done.buffersCreated, done.bindGroupsCreated, done.pipelinesCreated], [10, 0, 0, 0]);
    const before_ = gpu.gpu.snapshot();
    for (let i = 0; i < 5; i++) await compiled(...onDevice);
    const then = difference(gpu.gpu.snapshot(), before_);
    assert.deepEqual([then.submits, then.buffersCreated, then.pipelinesCreated], [5, 0, 0]);
    assert.ok(then.bytesWritten < 5 * 1024, "inputs on the device are not uploaded again");
  });

  test("traced, compiled and reference training give the same losses", async () => {
    const { ReferenceDevice } = await import("../../src/device/reference/reference.ts");
    const run = async (device: Parameters<typeof setDefaultDevice>[0], compiled: boolean) => {
      setDefaultDevice(device);
      const { step, batch, parameters } = network();
      const f = compiled ? compile(step) : undefined;
      const losses: number[] = [];
      for (let i = 0; i < 6; i++) losses.push(await (f ? await f(...batch()) : step(...batch())).item());
      return [...losses, ...(await numbers(parameters[0]))];
    };
    const expected = await run(new ReferenceDevice(), false);
    assert.deepEqual(await run(new ReferenceDevice(), true), expected);
    const [traced, compiled] = [await run(gpu, false), await run(gpu, true)];
    assert.deepEqual(compiled, traced);
    traced.forEach((v, i) =>
      assert.ok(Math.abs(v - expected[i]) < 2e-5 * Math.max(1, Math.abs(expected[i])), `${i}: ${v}, ${expected[i]}`),
    );
    setDefaultDevice(gpu);
  });

  test("another graph of the same structure hits the plan; other constants, shapes or results do not", async () => {
    const plan = (n: number, factor: number) =>
      tensor(Float32Array.from({ length: n }, (_, i) => i))
        .mul(factor)
        .exp()
        .sum();
    await realize([plan(40, 0.1)]);
    const plans = gpu.plans;
    await realize([plan(40, 0.1)]);
    assert.equal(gpu.plans, plans);
    await realize([plan(40, 0.2)]);
    await realize([plan(41, 0.1)]);
    const both = plan(40, 0.1);
    await realize([both, both.mul(2)]);
    assert.equal(gpu.plans, plans + 3);
  });

  test("a learning rate, a small batch and a draw's counter are parameters: no plan of their own", async () => {
    const g = new Generator(1);
    const f = (rate: number, values: number[]) =>
      tensor(values)
        .mul(tensor(rate))
        .add(g.uniform([3]));
    await realize([f(0.1, [1, 2, 3])]);
    const plans = gpu.plans;
    const a = await numbers(f(0.5, [1, 2, 4]));
    const b = await numbers(f(0.5, [1, 2, 4]));
    assert.equal(gpu.plans, plans);
    assert.notDeepEqual(a, b);
    const draws = [new Generator(1, 1), new Generator(1, 2)].map((h) => h.uniform([3]));
    assert.deepEqual(a, await numbers(draws[0].add(tensor([0.5, 1, 2]))));
    assert.deepEqual(b, await numbers(draws[1].add(tensor([0.5, 1, 2]))));
  });

  test("memory is flat over 300 steps whose losses are kept", async () => {
    const { step, batch } = network();
    const held = () => {
      const { bytesLive, bytesPooled } = gpu.counters;
      return bytesLive + bytesPooled;
    };
    const losses: Tensor[] = [];
    for (let i = 0; i < 20; i++) {
      losses.push(step(...batch()));
      await realize([losses[i]]);
    }
    const [earlier, created] = [held(), gpu.counters.buffersCreated];
    for (let i = 0; i < 280; i++) {
      const loss = step(...batch());
      losses.push(loss);
      await realize([loss]);
    }
    assert.equal(held(), earlier);
    assert.equal(gpu.counters.buffersCreated, created);
    assert.ok((await losses[299].item()) < (await losses[0].item()));
  });

  test("large results go back to the pool when disposed of, and are reused", async () => {
    const make = () => tensor(Float32Array.from({ length: 5000 }, (_, i) => i)).add(1);
    for (let i = 0; i < 3; i++) {
      const t = make();
      await realize([t]);
      t.dispose();
    }
    const [live, created] = [gpu.counters.bytesLive, gpu.counters.buffersCreated];
    for (let i = 0; i < 20; i++) {
      const t = make();
      await realize([t]);
      t.dispose();
    }
    // Less where V8 collects meanwhile what earlier tests have left.
    assert.ok(gpu.counters.bytesLive <= live, `${gpu.counters.bytesLive} bytes, before ${live}`);
    assert.equal(gpu.counters.buffersCreated, created);
    const gone = make();
    await realize([gone]);
    gone.dispose();
    await assert.rejects(gone.add(1).read(), /disposed of: its memory is gone/);
  });

  test("intermediates share memory by lifetime: a long chain holds a few of its values at once", async () => {
    // The sum of a matmul's rows is needed by the next one, so nothing can be folded away.
    let x = tensor(
      Float32Array.from({ length: 64 * 64 }, (_, i) => Math.sin(i)),
      { shape: [64, 64] },
    );
    const w = tensor(
      Float32Array.from({ length: 64 * 64 }, (_, i) => Math.cos(i) / 64),
      { shape: [64, 64] },
    );
    const live = gpu.counters.bytesLive;
    for (let i = 0; i < 12; i++) x = x.matmul(w).tanh();
    const result = x.sum();
    await realize([result]);
    const grown = gpu.counters.bytesLive - live;
    assert.ok(grown < 6 * 64 * 64 * 4, `${grown} bytes for a chain of 12 matrices of 16 KiB`);
  });

  test("trim forgets plans and their memory; tensors and variables stay", async () => {
    const v = variable(tensor([1, 2, 3]));
    const t = v.mul(2);
    await realize([t]);
    gpu.trim();
    assert.equal(gpu.plans, 0);
    assert.equal(gpu.counters.bytesPooled, 0);
    assert.deepEqual(await numbers(t.add(v)), [3, 6, 9]);
  });

  test("the least recently used of many plans gives way", async () => {
    gpu.trim();
    for (let i = 1; i <= 260; i++) await realize([tensor([1, 2]).add(i)]);
    assert.equal(gpu.plans, 256);
    assert.deepEqual(await numbers(tensor([1, 2]).add(1)), [2, 3]);
    gpu.trim();
  });
});
