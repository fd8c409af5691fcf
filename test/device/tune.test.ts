/** Tiles are measured while steps are taken; the product stays right whichever tile runs, and choices are kept. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import { tensor } from "../../src/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-tune-"));
// Choices of this test must not end up among the user's.
process.env.HICO_CACHE = folder;
delete process.env.HICO_AUTOTUNE;
after(() => rmSync(folder, { recursive: true }));

const filled = (shape: readonly number[], f: (x: number) => number) =>
  tensor(
    Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => f(i)),
    { shape },
  );

/** Computes relu(A·B) once and holds it to float64. */
async function step(device: WebGpuDevice): Promise<void> {
  const product = filled([24, 40], Math.sin)
    .matmul(filled([40, 20], Math.cos))
    .relu();
  const [storage] = await device.realize([product.node], []);
  const values = await device.read(storage);
  for (let i = 0; i < 24; i++) {
    for (let j = 0; j < 20; j++) {
      let sum = 0;
      for (let k = 0; k < 40; k++) sum += Math.sin(i * 40 + k) * Math.cos(k * 20 + j);
      assert.ok(Math.abs(values[i * 20 + j] - Math.max(sum, 0)) < 1e-4, `element ${i}, ${j}`);
    }
  }
}

const files = (): string[] => readdirSync(folder).filter((f) => f.endsWith(".json"));

test("products are measured behind the steps, right all the while, and the next process knows", async () => {
  const device = await WebGpuDevice.open({ software: "swiftshader", autotune: true });
  try {
    await step(device);
    assert.equal(device.counters.pipelinesCreated, 1, "nothing is measured before the first step");
    assert.deepEqual(files(), []);
    for (let i = 0; i < 400 && files().length === 0; i++) await step(device);
    assert.equal(files().length, 1);
    assert.ok(device.counters.pipelinesCreated > 2, `${device.counters.pipelinesCreated} kernels were compiled`);
    for (let i = 0; i < 3; i++) await step(device);
    assert.equal(device.plans, 1);
  } finally {
    device.close();
  }
  const { choices } = JSON.parse(readFileSync(join(folder, files()[0]), "utf8"));
  const [adapter] = Object.keys(choices);
  assert.match(adapter, /SwiftShader.*, SwiftShader driver .*vulkan/, "kept by adapter and driver");
  assert.deepEqual(Object.keys(choices[adapter]), ["1x24x20x40 A:k B:outer"]);

  const next = await WebGpuDevice.open({ software: "swiftshader", autotune: true });
  try {
    for (let i = 0; i < 8; i++) await step(next);
    assert.equal(next.counters.pipelinesCreated, 1, "what is remembered is not measured again");
  } finally {
    next.close();
  }
});

test("a software adapter is not tuned by itself", async () => {
  const device = await WebGpuDevice.open({ software: "swiftshader" });
  try {
    for (let i = 0; i < 8; i++) await step(device);
    assert.equal(device.counters.pipelinesCreated, 1);
  } finally {
    device.close();
  }
});
