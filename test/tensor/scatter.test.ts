/** scatterAdd and the gradients of gather and take: sums of any shape, dtype and index layout, alike on every device. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { SCATTER_ADD } from "../../src/tensor/scatter.ts";
import { setDefaultDevice, tensor, variable, zeros } from "../../src/tensor/index.ts";
import { openTestDevice } from "../support/helpers.ts";

const number = (i: number) => ((i * 7919) % 101) - 50;

const devices: Record<string, () => Promise<Backend>> = {
  cpu: () => CpuDevice.open({ threads: 3 }),
  reference: () => Promise.resolve(new ReferenceDevice()),
  webgpu: () => openTestDevice(),
};

for (const [name, open] of Object.entries(devices)) {
  describe(`scatterAdd on ${name}`, () => {
    let device: Backend;
    before(async () => setDefaultDevice((device = await open())));
    after(() => device.close());

    for (const dtype of ["f32", "i32", "u32"] as const) {
      test(`sums of ${dtype}, an index an element`, async () => {
        // Sums of whole numbers have the same bits in every order.
        for (const [outer, size, inner, length] of [
          [1, 900, 37, 70],
          [3, 400, 1, 200],
          [2, 300, 19, 45],
          [1, 5, 4, 9],
        ]) {
          const count = outer * length * inner;
          const index = Int32Array.from({ length: count }, (_, i) => (i * 31 + ((i * i) % 17)) % size);
          const source = Array.from({ length: count }, (_, i) => (dtype === "u32" ? number(i) + 50 : number(i)));
          const expected = new Float64Array(outer * size * inner);
          for (let i = 0; i < count; i++) {
            const row = Math.floor(i / (length * inner));
            expected[(row * size + index[i]) * inner + (i % inner)] += source[i];
          }
          const given = tensor(source, { shape: [outer, length, inner], dtype });
          const at = tensor(index, { shape: [outer, length, inner] });
          const sums = zeros([outer, size, inner], dtype).scatterAdd(1, at, given);
          assert.deepEqual([...(await sums.read())], [...expected]);
        }
      });
    }

    test("bools add up to either", async () => {
      for (const [size, repeats] of [
        [4, 1],
        [900, 40],
      ]) {
        const held = Array.from({ length: size }, (_, i) => i % 4 === 0);
        const at = Int32Array.from({ length: 2 * repeats }, (_, i) => (i < repeats ? 0 : size - 2));
        const source = Array.from(at, () => true);
        const sums = tensor(held).scatterAdd(0, tensor(at), tensor(source));
        assert.equal(sums.dtype, "bool");
        assert.deepEqual(
          [...(await sums.read())],
          held.map((value, i) => Number(value || i === size - 2)),
        );
        assert.equal(await sums.cast("i32").sum().item(), held.filter(Boolean).length + 1);
      }
    });

    test("rows taken with repeats: the gradient adds them up, also where the table is a view", async () => {
      const w = variable(
        tensor(
          Array.from({ length: 700 * 6 }, (_, i) => i / 8),
          { shape: [6, 700] },
        ),
      );
      const rows = Int32Array.from({ length: 300 }, (_, i) => (i * i) % 700);
      const weights = Float32Array.from({ length: 300 }, (_, i) => (i % 9) - 4);
      const taken = w.transpose().take(tensor(rows));
      taken.mul(tensor(weights).unsqueeze(1)).sum().backward();
      const expected = new Float64Array(6 * 700);
      rows.forEach((row, i) => {
        for (let c = 0; c < 6; c++) expected[c * 700 + row] += weights[i];
      });
      assert.deepEqual([...(await w.grad!.read())], [...expected]);
    });

    test("a gradient of a gradient goes to the rows that were named", async () => {
      const x = tensor(Array.from({ length: 64 }, (_, i) => i / 4)).requireGrad();
      const s = zeros([200]).scatterAdd(0, tensor(Int32Array.from({ length: 64 }, (_, i) => (i * 13) % 199)), x);
      s.square().sum().backward();
      assert.deepEqual(
        [...(await x.grad!.read())],
        Array.from({ length: 64 }, (_, i) => i / 2),
      );
    });
  });
}

test("the host form is the decomposition", async () => {
  setDefaultDevice(new ReferenceDevice());
  for (const shape of [
    [2, 7, 3],
    [1, 7, 1],
    [2, 7, 1],
    [1, 7, 3],
  ]) {
    const index = Int32Array.from({ length: shape[0] * 7 * shape[2] }, (_, i) => ((i * 5) % 11) - 1);
    const source = Float64Array.from({ length: 42 }, (_, i) => number(i));
    const given = [tensor(index, { shape }), tensor(source, { shape: [2, 7, 3], dtype: "f64" })];
    const [sums] = SCATTER_ADD.decompose(given, { size: 9 });
    const [host] = SCATTER_ADD.host!([index, source], given, { size: 9 });
    assert.deepEqual([...(await sums.read())], [...host]);
  }
});
