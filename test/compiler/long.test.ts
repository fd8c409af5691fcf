/**
 * Sums, means, variances and products over very many elements keep the accuracy of pairwise summation, whatever the
 * length and shape; short ones are left as they are.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { decompose } from "../../src/compiler/decompose.ts";
import { LONG } from "../../src/compiler/long.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { setDefaultDevice, tensor, zeros } from "../../src/tensor/index.ts";
import { openTestDevice } from "../support/helpers.ts";

/** Numbers above 0, so that what is lost adds up in one direction. */
function numbers(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 + 0.1;
  });
}

/** Σ value(i) for i = 0, step, 2·step, .. in float64. */
function sumOf(count: number, value: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += value(i);
  return sum;
}

const devices: Record<string, [number, () => Promise<Backend>]> = {
  cpu: [2 ** 22 + 3, () => CpuDevice.open({ threads: 2 })],
  webgpu: [2 ** 20 + 3, () => openTestDevice()],
};

for (const [kind, [n, open]] of Object.entries(devices)) {
  describe(`long sums and products on ${kind}`, () => {
    let device: Backend;
    before(async () => setDefaultDevice((device = await open())));
    after(() => device.close());

    const [x, y] = [numbers(n, 1), numbers(n, 2)];
    const rest = Math.floor(n / 8);
    const mean = sumOf(n, (i) => x[i]) / n;
    const cut = (t: Tensor) => t.slice([0, 8 * rest]);
    const cases: Record<string, [(x: Tensor, y: Tensor) => Tensor, () => number]> = {
      sum: [(t) => t.sum(), () => mean * n],
      mean: [(t) => t.mean(), () => mean],
      variance: [(t) => t.variance(), () => sumOf(n, (i) => (x[i] - mean) ** 2) / n],
      "dot product": [(t, u) => t.mul(u).sum(), () => sumOf(n, (i) => x[i] * y[i])],
      "[1, n] x [n, 1]": [
        (t, u) =>
          t
            .reshape([1, n])
            .matmul(u.reshape([n, 1]))
            .reshape([]),
        () => sumOf(n, (i) => x[i] * y[i]),
      ],
      "a row's sum": [(t) => cut(t).reshape([8, rest]).sum(1).slice(5), () => sumOf(rest, (i) => x[5 * rest + i])],
      "a column's sum": [(t) => cut(t).reshape([rest, 8]).sum(0).slice(5), () => sumOf(rest, (i) => x[8 * i + 5])],
      "sum over the outer axes": [
        (t) => cut(t).reshape([2, 4, rest]).permute([1, 2, 0]).sum([1, 2]).slice(3),
        () => sumOf(rest, (i) => x[3 * rest + i] + x[7 * rest + i]),
      ],
      "a product's element": [
        (t, u) =>
          cut(t)
            .reshape([rest, 8])
            .transpose()
            .matmul(cut(u).reshape([rest, 8]))
            .slice(2, 3),
        () => sumOf(rest, (i) => x[8 * i + 2] * y[8 * i + 3]),
      ],
      "a batched product's element": [
        (t, u) =>
          cut(t)
            .reshape([2, 4, rest])
            .matmul(cut(u).reshape([2, 4, rest]).transpose())
            .slice(1, 2, 3),
        () => sumOf(rest, (i) => x[6 * rest + i] * y[7 * rest + i]),
      ],
    };
    for (const [name, [of, expected]] of Object.entries(cases)) {
      test(name, async () => {
        const value = await of(tensor(x), tensor(y)).item();
        const error = Math.abs(value - expected()) / expected();
        assert.ok(error <= 2e-6, `${name} of ${n}: relative error ${error}`);
      });
    }
    test("one number repeated, whose rounding errors all go one way, in shapes that are not long", async () => {
      // So many rows that a device need not cut them for its cores.
      const [few, many] = [160, 64 * 191];
      const same = tensor(new Float32Array(few * many).fill(0.1));
      const [rows, columns] = [same.reshape([few, many]), same.reshape([many, few])];
      const halves = same.reshape([many / 64, few, 64]);
      const sums: Record<string, Tensor> = {
        rows: rows.sum(1),
        columns: columns.sum(0),
        "outer and inner axis": halves.sum([0, 2]),
        "costly rows": rows.mul(10).exp().log().mul(0.1).sum(1),
      };
      // WebGPU's kernels of matrix products sum all of k in one chain.
      if (kind === "cpu") sums.product = rows.matmul(zeros([many, 8]).add(1));
      const exact = Math.fround(0.1) * many;
      for (const [name, tensor] of Object.entries(sums)) {
        const error = Math.max(...Array.from(await tensor.read(), (v) => Math.abs(v / exact - 1)));
        assert.ok(error <= 4e-6, `${name}: relative error ${error}`);
      }
    });
  });
}

test("sums and products that are not long stay one node", () => {
  const x = zeros([LONG - 1, 2]).add(tensor([1, 2]));
  for (const result of [x.sum(0), x.transpose().matmul(x)]) {
    const [node] = decompose(
      [result.node],
      () => true,
      () => {},
    );
    assert.equal(node.op.kind, result.node.op.kind);
  }
  const long = zeros([LONG, 2]).add(tensor([1, 2]));
  const [node] = decompose(
    [long.sum(0).node],
    () => true,
    () => {},
  );
  assert.ok(node.op.kind === "reduce" && node.inputs[0].op.kind === "reduce");
});
