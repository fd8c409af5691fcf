/**
 * Programs of several statements mean what they would mean if each ran at once, in order: reading, assigning, errors,
 * calls that nobody waits for. On the reference and the cpu device, for the order is made before any device is asked.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { grad, gradients } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { SGD } from "../../src/nn/index.ts";
import { realize, setDefaultDevice, tensor, variable } from "../../src/tensor/index.ts";
import type { Backend, Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support/helpers.ts";

let cpu: CpuDevice;
before(async () => {
  cpu = await CpuDevice.open({ threads: 1 });
});
after(() => cpu.close());

function onEach(name: string, body: (device: Backend) => Promise<void>): void {
  for (const kind of ["reference", "cpu"]) {
    test(`${name}, on ${kind}`, async () => {
      const device = kind === "cpu" ? cpu : new ReferenceDevice();
      setDefaultDevice(device);
      try {
        await body(device);
      } finally {
        setDefaultDevice(undefined);
      }
    });
  }
}

describe("reading never changes a gradient", () => {
  onEach("one of two losses is logged before the sum is differentiated", async () => {
    const w = variable(tensor([2, -1]));
    const [a, b] = [w.square().sum(), w.mul(7).sum()];
    assert.equal(await a.item(), 5);
    a.add(b).backward();
    assert.deepEqual(await numbers(w.grad!), [11, 5]);
  });

  onEach("the loss itself, an intermediate value and a view of it", async () => {
    const w = variable(tensor([1, 2, 3]));
    const hidden = w.exp().log().mul(2);
    const part = hidden.slice([1, null]);
    await realize([hidden, part]);
    const loss = hidden.sum().add(part.square().sum());
    await loss.item();
    loss.backward();
    assert.deepEqual(
      (await numbers(w.grad!)).map((v) => Math.round(v * 1e3) / 1e3),
      [2, 18, 26],
    );
  });

  onEach("a tensor that asked, twice, and one that is given to gradients", async () => {
    const x = tensor([3]).requireGrad();
    const y = x.square();
    await y.read();
    y.sum().backward();
    await x.grad!.read();
    y.sum().backward();
    assert.deepEqual(await numbers(x.grad!), [12]);
    assert.deepEqual(await numbers(gradients([y], [tensor([1])], [x])[0]), [6]);
    const slope = grad((t: Tensor) => t.mul(y).sum());
    assert.deepEqual(await numbers(slope(tensor([5]))), [9]);
  });

  onEach("a value behind noGrad or detach still passes nothing", async () => {
    const w = variable(tensor([3]));
    const fixed = w.mul(2).detach();
    await fixed.read();
    w.mul(fixed).sum().backward();
    assert.deepEqual(await numbers(w.grad!), [6]);
  });

  onEach("a variable is a leaf before its assignment has run and after", async () => {
    for (const early of [false, true]) {
      const w = variable(tensor([2]));
      const average = variable(tensor([0]), { trainable: false });
      average.assign(average.add(w));
      if (early) await average.read();
      average.mul(w).sum().backward();
      assert.deepEqual(await numbers(w.grad!), [2]);
    }
  });

  onEach("gradients go to a variable that has been assigned since", async () => {
    const w = variable(tensor([3]));
    const y = w.square();
    w.assign(w.add(1));
    const z = w.mul(10);
    y.add(z).sum().backward();
    assert.deepEqual(await numbers(w.grad!), [16]);
  });

  onEach("values carried from step to step without a gradient hold no history", async () => {
    let x = tensor([0]);
    for (let i = 0; i < 5; i++) {
      x = x.add(1);
      await x.read();
    }
    assert.deepEqual([x.node.remembers, x.node.formula.inputs.length], [false, 0]);
    const w = variable(tensor([1]));
    for (let i = 0; i < 3; i++) {
      w.square().sum().backward();
      await w.grad!.read();
    }
    assert.deepEqual([await numbers(w.grad!), w.grad!.node.remembers], [[6], false]);
  });
});

describe("assignments happen in the order written", () => {
  onEach("a read that nobody waits for sees the value of its moment", async () => {
    const v = variable(tensor([1]));
    const first = v.item();
    v.assign(v.add(1));
    const second = v.item();
    v.assign(v.mul(10));
    assert.deepEqual([await first, await second, await v.item()], [1, 2, 20]);
  });

  onEach("what is built between two runs reads the version in between", async () => {
    const v = variable(tensor([1]));
    v.assign(v.add(1));
    const running = realize([]);
    const doubled = v.mul(2);
    await running;
    assert.deepEqual([await numbers(doubled), await numbers(v)], [[4], [2]]);
  });

  onEach("a first value that reads another variable is that of the moment it was made", async () => {
    const a = variable(tensor([1]));
    await a.read();
    const b = variable(a.mul(5));
    a.assign(tensor([100]));
    await a.read();
    assert.deepEqual(await numbers(b), [5]);
  });
});

describe("a read that fails loses nothing of anything else", () => {
  onEach("an update of another variable, and one on another device", async () => {
    const other = new ReferenceDevice();
    const far = variable(tensor([1]), { device: other });
    await realize([far]);
    const near = variable(tensor([5]));
    await realize([near]);
    const wrong = near.add(far);
    const w = variable(tensor([1]));
    w.square().sum().backward();
    new SGD([w], { lr: 0.25 }).step();
    far.assign(far.add(1));
    await assert.rejects(wrong.read(), /meet in one computation/);
    assert.deepEqual([await numbers(w), await numbers(far)], [[0.5], [2]]);
  });

  onEach("of assignments that wait together, only the one that cannot be computed is dropped", async () => {
    const far = variable(tensor([1]), { device: new ReferenceDevice() });
    await realize([far]);
    const [a, b, c] = [variable(tensor([1])), variable(tensor([2])), variable(tensor([3]))];
    await realize([a, b, c]);
    const [oldA, oldB] = [a.add(0), b.add(0)];
    a.assign(oldB);
    b.assign(oldA);
    c.assign(c.add(far));
    await assert.rejects(a.read(), /meet in one computation/);
    assert.deepEqual([await numbers(a), await numbers(b), await numbers(c)], [[2], [1], [3]]);
  });

  onEach("variables of two devices are assigned side by side", async () => {
    const near = variable(tensor([1]));
    const far = variable(tensor([1]), { device: new ReferenceDevice() });
    await realize([near]);
    await realize([far]);
    near.assign(near.add(1));
    far.assign(far.add(2));
    assert.deepEqual([await numbers(near), await numbers(far)], [[2], [3]]);
  });
});
