/** Operations and bytes of kernels, against counts by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { planOf } from "../../src/device/webgpu/planner.ts";
import { workOf } from "../../src/device/work.ts";
import { Generator, type Tensor } from "../../src/index.ts";
import { GRU } from "../../src/nn/index.ts";
import type { AdapterProfile } from "../../src/shaders/kernel.ts";

const profile: AdapterProfile = {
  kind: "gpu",
  maxStorageBuffers: 8,
  maxInvocations: 256,
  maxWorkgroupBytes: 16384,
  maxBindingBytes: 1 << 27,
  subgroups: false,
  f16: false,
};
const draw = new Generator(0);

/** Work of all kernels of a function's plan. */
function total<I extends readonly Tensor[]>(f: (...inputs: I) => Tensor, inputs: I): { flops: number; bytes: number } {
  const { plan } = planOf(f, inputs, profile);
  const works = plan.steps.flatMap(({ kernels }) => kernels.map(workOf));
  return works.reduce((p, q) => ({ flops: p.flops + q.flops, bytes: p.bytes + q.bytes }));
}

test("a product and its epilogue: two operations a multiply-add, every operand once", () => {
  const [a, b, c] = [draw.normal([40, 30]), draw.normal([30, 20]), draw.normal([40, 20])];
  const work = total((x, y, z) => x.matmul(y).add(z), [a, b, c]);
  assert.equal(work.flops, 2 * 40 * 30 * 20 + 40 * 20);
  assert.equal(work.bytes, 4 * (40 * 30 + 30 * 20 + 2 * 40 * 20));
});

test("a loop reads a tensor that it uses twice once", () => {
  const work = total((x) => x.mul(x).add(x), [draw.normal([500, 2])]);
  assert.deepEqual(work, { flops: 2000, bytes: 8000 });
});

test("a sum along rows is an operation an element, and writes a value a row", () => {
  const work = total((x) => x.sum(1), [draw.normal([128, 100])]);
  assert.deepEqual(work, { flops: 128 * 100, bytes: 4 * (128 * 100 + 128) });
});

test("a GRU's scan does the products of its steps with the recurrent weight", () => {
  const [time, batch, width] = [6, 4, 8];
  const layer = new GRU(width, width, { generator: draw });
  const work = total((x) => layer.forward(x).y, [draw.normal([time, batch, width])]);
  const products = 2 * 2 * time * batch * 3 * width * width;
  assert.ok(work.flops > products && work.flops < 1.3 * products, `${work.flops} for ${products}`);
});
