/** Loops that assign and read nothing: run in plans of bounded size, of which a loop needs few. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { Adam, SGD } from "../../src/nn/index.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { setDefaultDevice, tensor, variable } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { topologicalOrder } from "../../src/tensor/node.ts";
import { LONG_PROGRAM } from "../../src/tensor/program/long-programs.ts";
import { openTestDevice } from "../support/helpers.ts";

const STEPS = 2000;

const devices: Record<string, () => Promise<Backend>> = {
  cpu: () => CpuDevice.open({ threads: 1 }),
  reference: () => Promise.resolve(new ReferenceDevice()),
  webgpu: () => openTestDevice(),
};

for (const [kind, open] of Object.entries(devices)) {
  describe(`a loop that never reads, on ${kind}`, () => {
    let device: Backend;
    /** Nodes that each call was asked to compute. */
    const sizes: number[] = [];
    before(async () => {
      device = await open();
      setDefaultDevice(device);
      const asked = device.realize.bind(device);
      device.realize = (outputs, assignments) => {
        sizes.push(topologicalOrder([...outputs, ...assignments.map((a) => a.value)]).length);
        return asked(outputs, assignments);
      };
    });
    after(() => device.close());

    for (const summed of [true, false]) {
      test(`${STEPS} steps of training, ${summed ? "with a sum of their losses" : "some losses kept"}`, async () => {
        const w = variable(tensor([1, -2]));
        const optimizer = new SGD([w], { lr: 0.001, momentum: 0.5 });
        let total: Tensor = tensor([0]).sum();
        const kept: Tensor[] = [];
        let [x, velocity, sum] = [[1, -2], [0, 0], 0];
        const losses: number[] = [];
        sizes.length = 0;
        const plans = () => (device as { plans?: number }).plans ?? 0;
        const known = plans();
        for (let i = 0; i < STEPS; i++) {
          optimizer.zeroGrad();
          const loss = w.square().sum();
          loss.backward();
          optimizer.step();
          if (summed) total = total.add(loss.detach());
          else if (i % 400 === 0) kept.push(loss);
          losses.push(x[0] ** 2 + x[1] ** 2);
          sum += losses[i];
          velocity = velocity.map((v, k) => 0.5 * v + 2 * x[k]);
          x = x.map((v, k) => v - 0.001 * velocity[k]);
        }
        const close = (actual: number, right: number) =>
          assert.ok(Math.abs(actual - right) <= 1e-4 * Math.abs(right), `${actual}, not ${right}`);
        if (summed) close(await total.item(), sum);
        const [first, second] = await w.read();
        close(first, x[0]);
        close(second, x[1]);
        const largest = Math.max(...sizes);
        assert.ok(largest < 2 * LONG_PROGRAM, `${largest} nodes at once`);
        assert.ok(sizes.length > 2 && sizes.length < STEPS / 10, `${sizes.length} runs`);
        assert.ok(plans() - known < 12, `${plans() - known} plans`);
        for (const [i, loss] of kept.entries()) close(await loss.item(), losses[400 * i]);
      });
    }

    test("what cannot be computed is said by the next read, and the rest is assigned", async () => {
      const w = variable(tensor([1, 2]));
      const bad = variable(tensor([1, 2]));
      for (let i = 0; i < LONG_PROGRAM; i++) {
        w.assign(w.mul(0.5).add(1));
        if (i === 1) bad.assign(bad.add(tensor([0, 0]).take(tensor(Int32Array.of(2, 0)).add(1))));
      }
      await assert.rejects(tensor([1]).add(1).read(), /index 3 is outside/);
      assert.deepEqual([...(await w.read())], [2, 2]);
    });
  });
}

test("an update of many variables is never cut in its midst: a loop of them comes to few plans", async () => {
  const device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  try {
    const ws = Array.from({ length: 150 }, (_, i) => variable(tensor([i / 100, 1 - i / 70])));
    const optimizer = new Adam(ws, { lr: 0.05 });
    for (let i = 0; i < 40; i++) {
      optimizer.zeroGrad();
      ws.map((w) => w.square().sum())
        .reduce((sum, term) => sum.add(term))
        .backward();
      optimizer.step();
    }
    await ws[0].read();
    assert.ok(device.counters.runs > 10, `${device.counters.runs} runs`);
    assert.ok(device.plans <= 4, `${device.plans} plans`);
  } finally {
    setDefaultDevice(undefined);
    device.close();
  }
});
