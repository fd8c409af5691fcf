/** Gradients where a rule has a corner, and what zeros do to NaN: PyTorch's values, on cpu and reference. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { useDevice } from "../../src/device/index.ts";
import { crossEntropy } from "../../src/ops/index.ts";
import { full, tensor, variable } from "../../src/tensor/index.ts";
import { assertClose, numbers } from "../support/helpers.ts";

for (const device of ["cpu", "reference"] as const) {
  describe(device, () => {
    test("clamp's gradient is whole within the bounds and at them, 0 outside and for NaN", async () => {
      await useDevice(device);
      const x = variable(tensor([-2, -1, 0, 1, 2, NaN]));
      const y = x.clamp(-1, 1);
      y.sum().backward();
      assert.deepEqual(await numbers(y), [-1, -1, 0, 1, 1, NaN]);
      assert.deepEqual(await numbers(x.grad!), [0, 1, 1, 1, 0, 0]);
      assert.deepEqual(await numbers(tensor([0, 5]).clamp(3, 1)), [1, 1]);
    });

    test("pow's gradients at base 0 and exponent 0", async () => {
      await useDevice(device);
      const base = variable(tensor([0, 0, 0, 2, 0]));
      const exponent = variable(tensor([0, 2, 1, 0, -1]));
      base.pow(exponent).sum().backward();
      assertClose((await numbers(base.grad!)).slice(0, 4), [0, 0, 1, 0], 1e-6);
      assertClose((await numbers(exponent.grad!)).slice(0, 4), [0, 0, 0, Math.log(2)], 1e-6);
      assert.equal((await numbers(base.grad!))[4], -Infinity);
      assert.equal((await numbers(exponent.grad!))[4], -Infinity);
    });

    test("zero times NaN or infinity is NaN, of constants and of matrices; constants may be NaN", async () => {
      await useDevice(device);
      assert.deepEqual(await numbers(tensor([NaN, Infinity, 1]).mul(0)), [NaN, NaN, 0]);
      assert.deepEqual(await numbers(full([1], 0).mul(tensor([NaN, -1]))), [NaN, -0]);
      assert.deepEqual(await numbers(full([1, 2], 0).matmul(tensor([[NaN], [1]]))), [NaN]);
      assert.deepEqual(await numbers(full([2], NaN)), [NaN, NaN]);
    });

    test("cross-entropy leaves out the labels of ignoreIndex, in value, mean and gradient", async () => {
      await useDevice(device);
      const logits = variable(
        tensor([
          [0, 0],
          [5, 0],
        ]),
      );
      const loss = crossEntropy(logits, tensor(Int32Array.of(-100, 0)));
      loss.backward();
      assertClose([await loss.item()], [Math.log1p(Math.exp(-5))], 1e-5);
      const off = 1 / (1 + Math.exp(5));
      assertClose(await numbers(logits.grad!), [0, 0, -off, off], 1e-5);
      const labels = tensor(Int32Array.of(1, 0));
      const other = crossEntropy(logits, labels, { ignoreIndex: 1, reduction: "none" });
      assertClose(await numbers(other), [0, Math.log1p(Math.exp(-5))], 1e-5);
      assert.equal(await crossEntropy(logits, tensor(Int32Array.of(-100, -100))).item(), NaN);
    });
  });
}
