import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { GpuError } from "../../src/device/webgpu/gpu/errors.ts";
import type { Gpu } from "../../src/device/webgpu/gpu/gpu.ts";
import { KernelTimer } from "../../src/device/webgpu/gpu/timing.ts";
import { openTestGpu } from "../environments/test-gpu.ts";
import { affine, busy, counting, dispatch } from "./kernels.ts";

describe("kernel times", () => {
  let gpu: Gpu;
  before(async () => {
    gpu = await openTestGpu();
  });
  after(() => gpu.close());

  test("each kernel's dispatches are counted, and more work takes longer", async () => {
    const count = 4096;
    const [from, to] = [gpu.acquire(count * 4), gpu.acquire(count * 4)];
    gpu.write(from, 0, counting(count));
    const small = { ...(await dispatch(gpu, busy(100), [to], count)), name: "small" };
    const large = { ...(await dispatch(gpu, busy(100_000), [to], count)), name: "large" };
    const plain = await dispatch(gpu, affine(2), [from, to], count);
    gpu.submit([plain]);
    gpu.timing = true;
    gpu.submit([small, large, small]);
    const [bytes] = await gpu.readAfter([plain], [{ buffer: to, offset: 0, bytes: count * 4 }]);
    gpu.timing = false;
    gpu.submit([plain]);
    assert.deepEqual(
      new Uint32Array(bytes!),
      counting(count).map((value) => 2 * value + 1),
      "the same result",
    );
    const times = await gpu.kernelTimes();
    const counts = Object.fromEntries(times.map(({ name, count }) => [name, count]));
    assert.deepEqual(counts, { large: 1, small: 2, affine2: 1 });
    assert.equal(times[0]!.name, "large", "the longest comes first");
    assert.ok(times.every(({ ms }) => ms >= 0));
    assert.deepEqual(await gpu.kernelTimes(), times, "totals stay until they are reset");
    gpu.resetKernelTimes();
    assert.deepEqual(await gpu.kernelTimes(), []);
    gpu.release(from);
    gpu.release(to);
  });

  test("more dispatches than a query set holds are all counted", async () => {
    const buffer = gpu.acquire(256);
    const command = await dispatch(gpu, busy(1), [buffer], 64);
    gpu.timing = true;
    gpu.submit(Array<typeof command>(2100).fill(command));
    gpu.timing = false;
    assert.deepEqual(
      (await gpu.kernelTimes()).map(({ name, count }) => [name, count]),
      [["busy", 2100]],
    );
    gpu.release(buffer);
  });

  test("an adapter without timestamps says so", () => {
    const without = { features: new Set<string>() } as unknown as GPUDevice;
    assert.throws(
      () => new KernelTimer(without),
      (error) => error instanceof GpuError && /need the feature timestamp-query/.test(error.message),
    );
  });
});
