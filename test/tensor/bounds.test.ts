/** Indices and labels outside their range: errors that name op, value and range, wherever the values come from. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { Embedding } from "../../src/nn/index.ts";
import { crossEntropy } from "../../src/ops/index.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { compile, oneHot, realize, setDefaultDevice, tensor, variable, zeros } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { openTestDevice } from "../support/helpers.ts";

/** Every op that takes indices of a range of 5, as what an index of shape [2] gives. */
const OPS: readonly { op: string; what: string; size: number; of: (index: Tensor) => Tensor }[] = [
  { op: "gather", what: "index", size: 5, of: (index) => tensor([1, 2, 3, 4, 5]).gather(0, index) },
  {
    op: "take",
    what: "index",
    size: 5,
    of: (index) =>
      zeros([5, 3])
        .add(tensor([1, 2, 3]))
        .take(index),
  },
  { op: "scatterAdd", what: "index", size: 5, of: (index) => zeros([5]).scatterAdd(0, index, tensor([1, 2])) },
  { op: "oneHot", what: "index", size: 5, of: (index) => oneHot(index, 5) },
  { op: "Embedding", what: "index", size: 5, of: (index) => new Embedding(5, 3).forward(index) },
  {
    op: "crossEntropy",
    what: "label",
    size: 5,
    of: (index) =>
      crossEntropy(
        tensor([
          [1, 2, 3, 4, 5],
          [0, 0, 1, 0, 0],
        ]),
        index,
      ),
  },
];
const STRAY: readonly (readonly [string, Int32Array | Uint32Array, number])[] = [
  ["above", Int32Array.of(1, 5), 5],
  ["below", Int32Array.of(-1, 0), -1],
  ["u32 beyond i32", Uint32Array.of(0, 4294967295), 4294967295],
];

const devices: Record<string, () => Promise<Backend>> = {
  cpu: () => CpuDevice.open({ threads: 2 }),
  reference: () => Promise.resolve(new ReferenceDevice()),
  webgpu: () => openTestDevice(),
};

for (const [name, open] of Object.entries(devices)) {
  describe(`indices outside on ${name}`, () => {
    let device: Backend;
    before(async () => setDefaultDevice((device = await open())));
    after(() => device.close());

    for (const { op, what, size, of } of OPS) {
      const says = (value: number) => new RegExp(`^RangeError: ${op}: ${what} ${value} is outside 0\\.\\.${size - 1}`);

      for (const [where, values, value] of STRAY) {
        test(`${op}: host data, ${where}`, () => {
          assert.throws(() => of(tensor(values)), says(value));
          const matrix = tensor(values).reshape([1, 2]).reshape([2]);
          assert.throws(() => of(matrix), says(value), "behind a view");
        });
        test(`${op}: an input of a compiled function, ${where}`, async () => {
          const step = compile((index: Tensor) => of(index).sum());
          const good = tensor(
            Array.from(values, (_, i) => i),
            { dtype: values instanceof Int32Array ? "i32" : "u32" },
          );
          await (await step(good)).read();
          await assert.rejects(async () => (await step(tensor(values))).read(), says(value));
          await (await step(good)).read();
        });
        test(`${op}: computed, ${where}`, async () => {
          // Slices and sums are not looked through: the device has to look when it has the values.
          const zero = tensor(values.map(() => 0));
          const computed = tensor(values).add(zero);
          await assert.rejects(of(computed).read(), says(value));
          const cut = tensor([...values, 0], { dtype: computed.dtype }).slice([0, 2]);
          await assert.rejects(of(cut).read(), says(value));
          const realized = tensor(values).add(zero);
          await realize([realized]);
          await assert.rejects(async () => of(realized).read(), says(value));
        });
      }
      test(`${op}: indices inside give values, and what a slice leaves out does not count`, async () => {
        await of(tensor(Int32Array.of(4, 0, 99)).slice([0, 2])).read();
        await of(tensor(Int32Array.of(4, 0)).add(tensor(Int32Array.of(0, 0)))).read();
      });
    }

    test("labels that are ignored may be anything", async () => {
      const logits = tensor([
        [0, 0],
        [5, 0],
      ]);
      const loss = await crossEntropy(logits, tensor(Int32Array.of(-100, 0))).item();
      assert.ok(Math.abs(loss - 0.006715) < 1e-5, `${loss}`);
      const labels = tensor(Int32Array.of(-100, 0)).add(tensor(Int32Array.of(0, 0)));
      assert.ok(Math.abs((await crossEntropy(logits, labels).item()) - loss) < 1e-6);
      const own = await crossEntropy(logits, tensor(Int32Array.of(7, 0)), { ignoreIndex: 7 }).item();
      assert.equal(own, loss);
      assert.throws(() => crossEntropy(logits, tensor(Int32Array.of(-1, 0))), /label -1 .* ignored -100/);
    });

    if (name !== "webgpu") {
      test("a step that fails leaves variables as they were, and others are assigned", async () => {
        const w = variable(tensor([1, 2, 3]));
        const other = variable(tensor([1]));
        const index = tensor(Int32Array.of(1, 2)).add(tensor(Int32Array.of(1, 1)));
        w.assign(w.mul(2).add(w.take(index).sum()));
        other.assign(other.add(1));
        await assert.rejects(realize([]), /take: index 3 is outside 0\.\.2/);
        assert.deepEqual([...(await w.read())], [1, 2, 3]);
        assert.deepEqual([...(await other.read())], [2]);
      });
    }
  });
}

test("WebGPU looks at what only the device has with the next read: no submit of its own", async () => {
  const device = await openTestDevice();
  setDefaultDevice(device);
  try {
    const w = variable(tensor([1, 2, 3]));
    const step = compile((index: Tensor) => {
      w.assign(w.add(1));
      return w.take(index.add(1)).sum();
    });
    const good = await step(tensor(Int32Array.of(0, 1)));
    assert.equal(await good.item(), 7);
    const bad = tensor(Int32Array.of(0, 3));
    await step(bad);
    const { submits } = device.counters;
    // Whatever is read next says it, once, and takes nothing else along.
    await assert.rejects(good.read(), /^RangeError: take: index 4 is outside 0\.\.2/);
    assert.equal(device.counters.submits, submits + 1);
    assert.equal(await good.item(), 7);
    assert.deepEqual([...(await w.read())], [3, 4, 5]);

    await step(bad);
    await assert.rejects(device.synchronize(), /index 4/);
    await device.synchronize();

    // An input in memory that the host does not see.
    const direct = compile((index: Tensor) => w.take(index).sum());
    await direct(tensor(Int32Array.of(0, 1)));
    const stored = tensor(Int32Array.of(0, 6)).add(1);
    await realize([stored]);
    await assert.rejects(async () => (await direct(stored)).read(), /index 7 is outside/);
    const table = tensor([1, 2, 3]);
    await assert.rejects(table.take(stored).read(), /index 7 is outside/);
    assert.equal(await (await direct(tensor(Int32Array.of(0, 1)))).item(), 9);
  } finally {
    device.close();
  }
});

test("checkIndices: false looks at no index that only the device has", async () => {
  const device = await openTestDevice({ checkIndices: false });
  setDefaultDevice(device);
  try {
    const index = tensor(Int32Array.of(0, 3)).add(1);
    assert.deepEqual([...(await tensor([1, 2, 3]).take(index).read())], [2, 3]);
    const direct = compile((at: Tensor) => tensor([1, 2, 3]).take(at));
    assert.deepEqual([...(await (await direct(await index.realize())).read())], [2, 3]);
  } finally {
    device.close();
  }
});

test("indices that cannot be outside are not checked", async () => {
  const device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  const x = tensor([[1, 5, 3, 2]]);
  const inside = [
    tensor(Int32Array.of(7, -3))
      .add(tensor(Int32Array.of(0, 0)))
      .mod(4),
    tensor(Int32Array.of(7, -3))
      .add(tensor(Int32Array.of(0, 0)))
      .maximum(0)
      .minimum(3),
    x.argmax(-1),
  ];
  for (const index of inside) {
    const node = x.take(index, 1).node;
    const kinds: string[] = [];
    for (let at = [node]; at.length > 0; at = at.flatMap((n) => [...n.inputs])) kinds.push(...at.map((n) => n.op.kind));
    assert.ok(!kinds.includes("inBounds"), kinds.join());
  }
  device.close();
});
