/** The tuner measures real kernels and its choice is remembered; the product stays right whichever tile it took. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { tensor } from "../../src/index.ts";
import { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-tune-"));
// Choices of this test must not end up among the user's.
process.env.HICO_CACHE = folder;
after(() => rmSync(folder, { recursive: true }));

test("a tuned product is right, and the choice is written down", async () => {
  const device = await WebGpuDevice.open({ software: "swiftshader", autotune: true });
  try {
    const a = tensor(
      Float32Array.from({ length: 24 * 40 }, (_, i) => Math.sin(i)),
      { shape: [24, 40] },
    );
    const b = tensor(
      Float32Array.from({ length: 40 * 20 }, (_, i) => Math.cos(i)),
      { shape: [40, 20] },
    );
    const product = a.matmul(b).relu();
    const [storage] = await device.realize([product.node], []);
    const values = await device.read(storage);
    const expected = (i: number, j: number) => {
      let sum = 0;
      for (let k = 0; k < 40; k++) sum += Math.sin(i * 40 + k) * Math.cos(k * 20 + j);
      return Math.max(sum, 0);
    };
    for (let i = 0; i < 24; i++) {
      for (let j = 0; j < 20; j++)
        assert.ok(Math.abs(values[i * 20 + j] - expected(i, j)) < 1e-4, `element ${i}, ${j}`);
    }
  } finally {
    device.close();
  }
  const files = readdirSync(folder).filter((f) => f.endsWith(".json"));
  assert.equal(files.length, 1);
  assert.match(readFileSync(join(folder, files[0]), "utf8"), /SwiftShader/);
});
