/**
 * Expressions built from a variable before it is assigned read the value from before, whenever they are computed; and
 * what a step costs where nobody does: no copy of anything.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { grad } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { difference } from "../../src/device/webgpu/gpu/counters.ts";
import { Adam, Linear, SGD, copyParameters, emaUpdate } from "../../src/nn/index.ts";
import { topK } from "../../src/ops/index.ts";
import { compile, realize, setDefaultDevice, tensor, variable } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { numbers, openTestDevice } from "../support/helpers.ts";

let cpu: CpuDevice;
before(async () => {
  cpu = await CpuDevice.open({ threads: 1 });
});
after(() => cpu.close());

function onEach(name: string, body: () => Promise<void>): void {
  for (const kind of ["reference", "cpu"]) {
    test(`${name}, on ${kind}`, async () => {
      setDefaultDevice(kind === "cpu" ? cpu : new ReferenceDevice());
      try {
        await body();
      } finally {
        setDefaultDevice(undefined);
      }
    });
  }
}

describe("old values", () => {
  onEach("several versions of one variable, read in another order than they were built", async () => {
    const v = variable(tensor([1]));
    const built: Tensor[] = [];
    for (let i = 0; i < 4; i++) {
      built.push(v.mul(10), v.reshape([1]).neg());
      v.assign(v.add(1));
      await v.read();
    }
    const found: number[] = [];
    for (const t of built.reverse()) found.push(...(await numbers(t)));
    assert.deepEqual(found, [-4, 40, -3, 30, -2, 20, -1, 10]);
  });

  onEach("results of an op with several: those that a tensor stands for", async () => {
    const v = variable(tensor([3, 1, 2]));
    const { values, indices } = topK(v.mul(2), 2);
    v.assign(v.neg());
    await v.read();
    assert.deepEqual(
      [await numbers(indices), await numbers(values)],
      [
        [0, 2],
        [6, 4],
      ],
    );
  });

  onEach(
    "an accuracy built before the step and read after it, whose layers the step has computed on its way",
    async () => {
      const layer = new Linear(2, 2);
      layer.loadStateDict({ weight: { shape: [2, 2], data: [1, 0, 0, 1] }, bias: { shape: [2], data: [0, 0] } });
      await realize(layer.parameters());
      const optimizer = new Adam(layer.parameters(), { lr: 10 });
      for (let step = 0; step < 2; step++) {
        optimizer.zeroGrad();
        const scores = layer.forward(tensor([[3, -5]]));
        const loss = scores.square().sum();
        const best = scores.max();
        loss.backward();
        optimizer.step();
        await loss.item();
        if (step === 0) assert.equal(await best.item(), 3);
      }
    },
  );

  onEach("a compiled step assigns what an expression outside reads", async () => {
    const v = variable(tensor([2, 3]));
    const step = compile((x: Tensor) => {
      v.assign(v.add(x));
      return v.sum();
    });
    const before_ = v.square();
    await step(tensor([1, 1]));
    const between = v.square();
    await step(tensor([1, 1]));
    await step(tensor([1, 1]));
    assert.deepEqual(
      [await numbers(between), await numbers(before_), await numbers(v)],
      [
        [9, 16],
        [4, 9],
        [5, 6],
      ],
    );
  });

  onEach("the backward pass of an expression that was read before the assignment is of the old value", async () => {
    const v = variable(tensor([3]));
    const loss = v.square().sum();
    await loss.item();
    v.assign(tensor([100]));
    await v.read();
    loss.backward();
    assert.deepEqual(await numbers(v.grad!), [6]);
    const slope = grad((x: Tensor) => x.mul(v).sum())(tensor([1]));
    v.assign(tensor([7]));
    await v.read();
    assert.deepEqual(await numbers(slope), [100]);
  });

  onEach("a gradient that no update has used", async () => {
    const [v, w] = [variable(tensor([3])), variable(tensor([5]))];
    v.mul(w).sum().backward();
    v.assign(v.add(1));
    w.assign(w.add(1));
    await realize([]);
    assert.deepEqual([await numbers(v.grad!), await numbers(w.grad!)], [[5], [3]]);
  });

  onEach("an expression of a value that was assigned, and assigned over before anything ran", async () => {
    const v = variable(tensor([2]));
    await v.read();
    const optimizer = new SGD([v], { lr: 0.5 });
    v.square().sum().backward();
    optimizer.step();
    const once = v.add(10);
    optimizer.step();
    await v.read();
    assert.deepEqual([await numbers(once), await numbers(v)], [[10], [-2]]);
  });

  onEach("first values of variables are those of when they were made, whoever has not waited for a read", async () => {
    for (const known of [false, true]) {
      const [v, w] = [variable(tensor([1])), variable(tensor([10]))];
      if (known) await realize([v, w]);
      const before = v.mul(5);
      for (const each of [v, w]) each.assign(each.mul(2));
      const read = numbers(v);
      const made = [variable(v.add(1)), variable(before.add(w))];
      for (const each of [v, w]) each.assign(each.mul(2));
      const found: number[] = [];
      for (const t of [...made, v, w]) found.push(...(await numbers(t)));
      assert.deepEqual([await read, found], [[2], [3, 25, 4, 40]]);
    }
  });

  onEach("averages and copies of parameters leave what reads their targets", async () => {
    const [target, source] = [variable(tensor([4])), variable(tensor([8]))];
    const first = target.mul(1.5);
    emaUpdate([target], [source], 0.5);
    await realize([]);
    const second = target.mul(1.5);
    copyParameters([target], [source]);
    await realize([]);
    assert.deepEqual([await numbers(second), await numbers(first), await numbers(target)], [[9], [6], [8]]);
  });

  onEach(
    "what a run computed on its way has no value once its variable was assigned, which the error says",
    async () => {
      const v = variable(tensor([2]), { name: "weight" });
      const hidden = v.mul(3);
      const loss = hidden.sum();
      v.assign(v.add(1));
      assert.equal(await loss.item(), 6);
      await assert.rejects(
        hidden.read(),
        /built from variable "weight" before it was assigned, and its old value is gone/,
      );
      const both = [v.mul(5), v.mul(5).sum()];
      v.assign(v.add(1));
      await realize(both);
      assert.deepEqual(await numbers(both[0]), [15]);
    },
  );

  onEach("so has what a compiled function built of variables alone and did not return", async () => {
    const v = variable(tensor([2]));
    let kept: Tensor | undefined;
    const step = compile((x: Tensor) => {
      kept ??= v.mul(3);
      v.assign(v.add(x));
      return kept.add(x);
    });
    await step(tensor([1]));
    await assert.rejects(kept!.read(), /its old value is gone/);
  });
});

test("a step whose expressions nobody else reads copies nothing: one submit, no buffer", async () => {
  const gpu = await openTestDevice();
  setDefaultDevice(gpu);
  try {
    const layer = new Linear(16, 16);
    const optimizer = new Adam(layer.parameters(), { lr: 0.1 });
    const work = (x: Tensor) => {
      optimizer.zeroGrad();
      const loss = layer.forward(x).tanh().square().mean();
      loss.backward();
      optimizer.step();
      return loss;
    };
    const x = tensor(new Float32Array(64).fill(0.5), { shape: [4, 16] });
    const compiled = compile(work);
    for (const step of [async () => work(x).realize(), () => compiled(x)]) {
      for (let i = 0; i < 4; i++) await step();
      const earlier = gpu.gpu.snapshot();
      for (let i = 0; i < 5; i++) await step();
      const { submits, buffersCreated } = difference(gpu.gpu.snapshot(), earlier);
      assert.deepEqual([submits, buffersCreated], [5, 0]);
    }
  } finally {
    setDefaultDevice(undefined);
    gpu.close();
  }
});
