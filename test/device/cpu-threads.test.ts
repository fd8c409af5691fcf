/** The cpu device by number of threads: the same bits, also where its memory has to grow under way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { valueAndGrad } from "../../src/autograd/grad.ts";
import { crossEntropy, softmax } from "../../src/ops/index.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { Generator, realize, tensor } from "../../src/tensor/index.ts";

/** Loss and gradients of a small network, then of one that needs a few hundred megabytes. */
async function train(device: Backend): Promise<Uint8Array[]> {
  setDefaultDevice(device);
  try {
    const found: Uint8Array[] = [];
    for (const width of [33, 1030]) {
      const random = new Generator(3);
      const [x, w1, w2] = [
        random.normal([400, width]),
        random.normal([width, 2 * width], 0, 0.05),
        random.normal([2 * width, 7], 0, 0.05),
      ];
      const labels = tensor(Int32Array.from({ length: 400 }, (_, i) => i % 7));
      const [value, gradients] = valueAndGrad(([a, b]: Tensor[]) =>
        crossEntropy(softmax(x.matmul(a), -1).mul(100).tanh().matmul(b), labels),
      )([w1, w2]);
      await realize([value, ...gradients]);
      for (const t of [value, ...gradients])
        found.push(new Uint8Array(((await t.read()) as Float32Array).slice().buffer));
    }
    return found;
  } finally {
    setDefaultDevice(undefined);
  }
}

test("one, two and three threads give the same bits; memory grows under each", async () => {
  const results: Uint8Array[][] = [];
  for (const threads of [1, 2, 3]) {
    const device = await CpuDevice.open({ threads });
    try {
      assert.equal(device.threads, threads);
      results.push(await train(device));
    } finally {
      device.close();
    }
  }
  for (const other of results.slice(1)) other.forEach((bytes, i) => assert.deepEqual(bytes, results[0][i]));
});
