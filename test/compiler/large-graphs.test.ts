/** Graphs of any size: deep ones without recursion, in plans of bounded size that mean what one plan would. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import "../../src/autograd/grad.ts";
import { graphParts } from "../../src/compiler/graph-parts.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { topologicalOrder } from "../../src/tensor/node.ts";
import { Generator, compile, setDefaultDevice, tensor, variable } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";

/** x ← 0.99999·x + 0.00001, as often as asked. */
function chain(x: Tensor, ops: number): Tensor {
  let at = x;
  for (let i = 0; i < ops / 2; i++) at = at.mul(0.99999).add(0.00001);
  return at;
}

const near = (actual: number, expected: number, bound: number) =>
  assert.ok(Math.abs(actual - expected) <= bound, `${actual} should be ${expected}`);

for (const kind of ["cpu", "reference"] as const) {
  describe(`large graphs on ${kind}`, () => {
    let device: Backend;
    before(async () => {
      device = kind === "cpu" ? await CpuDevice.open({ threads: 2 }) : new ReferenceDevice();
      setDefaultDevice(device);
    });
    after(() => device.close());

    test("a chain of 100,000 ops and its gradient", async () => {
      const w = variable(tensor([2, 5]));
      const y = chain(w, 100_000).sum();
      y.backward();
      const factor = 0.99999 ** 50_000;
      near(await y.item(), 2 + factor * 5, 1e-2);
      for (const slope of await w.grad!.read()) near(slope, factor, 1e-3);
    });

    test("chains of every length up to where kernels are cut", async () => {
      for (const ops of [500, 1000, 1500, 3000]) {
        const w = variable(tensor([3]));
        const y = chain(w, ops).sum();
        y.backward();
        near(await y.item(), 1 + 2 * 0.99999 ** (ops / 2), 1e-4);
        near(await w.grad!.item(), 0.99999 ** (ops / 2), 1e-4);
      }
    });

    test("a sum of 30,000 tensors", async () => {
      let sum: Tensor = tensor([0]);
      for (let i = 1; i < 30_000; i++) sum = sum.add(tensor([i % 7]));
      let expected = 0;
      for (let i = 1; i < 30_000; i++) expected += i % 7;
      near(await sum.item(), expected, 0);
    });

    test("a compiled function of 40,000 ops assigns, draws once a run, and reads its inputs in every part", async () => {
      const w = variable(tensor([1, 1]));
      const generator = new Generator(7);
      const step = compile((x: Tensor) => {
        const noise = generator.uniform([2]);
        let y = x.add(noise);
        for (let i = 0; i < 20_000; i++) y = y.mul(0.999).add(x.mul(0.001));
        w.assign(w.add(x));
        // What was drawn stands in the first part and in the last.
        return [y, noise, x.add(noise).sub(noise)] as const;
      });
      const draws: number[] = [];
      for (const value of [2, 3]) {
        const [y, noise, again] = await step(tensor([value, value]));
        for (const v of await y.read()) near(v, value, 1e-3);
        for (const v of await again.read()) near(v, value, 1e-5);
        draws.push(...(await noise.read()));
      }
      assert.equal(new Set(draws).size, 4, "every run draws anew");
      assert.deepEqual([...(await w.read())], [6, 6]);
    });
  });
}

describe("parts of a graph", () => {
  test("hold a bounded number of nodes each, and views of leaves are not kept", () => {
    const w = tensor([[1, 2, 3]]);
    const spread = w.transpose().expand([3, 50]);
    let y: Tensor = tensor(new Float32Array(150), { shape: [3, 50] });
    for (let i = 0; i < 500; i++) y = y.mul(spread);
    const { parts, roots } = graphParts([y.node], 100, 100)!;
    assert.ok(parts.length >= 5);
    for (const { outputs, kept } of parts) {
      assert.ok(topologicalOrder(outputs).length <= 100 + 8, "a part, its leaves and repeated views");
      assert.equal(outputs.length, 1, "only the chain's value is kept");
      assert.deepEqual(kept[0].shape, [3, 50]);
    }
    assert.ok(topologicalOrder(roots).length <= 108);
  });

  test("one plan where the graph is small", () => assert.equal(graphParts([tensor([1]).add(1).node]), undefined));
});
