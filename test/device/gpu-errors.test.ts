import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  DeviceLostError,
  GpuError,
  inFlight,
  KernelError,
  OutOfMemoryError,
} from "../../src/device/webgpu/gpu/errors.ts";
import type { Gpu } from "../../src/device/webgpu/gpu/gpu.ts";
import { openTestGpu, testAdapter } from "../environments/test-gpu.ts";
import { affine, busy, counting, dispatch } from "./kernels.ts";

const COUNT = 128;
const BYTES = COUNT * 4;

/** Fails unless kernels still give the right numbers on this device. */
async function assertWorks(gpu: Gpu): Promise<void> {
  const [from, to] = [gpu.acquire(BYTES), gpu.acquire(BYTES)];
  gpu.write(from, 0, counting(COUNT));
  const command = await dispatch(gpu, affine(3), [from, to], COUNT);
  const [bytes] = await gpu.readAfter([command], [{ buffer: to, offset: 0, bytes: BYTES }]);
  assert.deepEqual(
    new Uint32Array(bytes!),
    counting(COUNT).map((value) => 3 * value + 1),
  );
  gpu.release(from);
  gpu.release(to);
}

/** Runs `body` on a device of its own. */
async function withGpu(body: (gpu: Gpu) => Promise<void>): Promise<void> {
  const gpu = await openTestGpu();
  try {
    await body(gpu);
  } finally {
    gpu.close();
  }
}

describe("kernels that cannot run", () => {
  test("a WGSL error names the kernel, the message and the line; the device goes on", () =>
    withGpu(async (gpu) => {
      const wgsl = affine(2).wgsl.replace("2u *", "2.5f *");
      const line = wgsl
        .split("\n")
        .find((text) => text.includes("2.5f"))!
        .trim();
      await assert.rejects(
        gpu.pipeline({ ...affine(2), name: "mixed", wgsl }),
        (error) =>
          error instanceof KernelError &&
          error.kernels[0] === "mixed" &&
          error.message.includes('kernel "mixed" does not compile') &&
          /line 5:/.test(error.message) &&
          error.message.includes(line),
      );
      await assertWorks(gpu);
      await assert.rejects(gpu.pipeline({ ...affine(2), name: "mixed", wgsl }), KernelError, "a second time too");
      await assertWorks(gpu);
    }));

  test("so do text that is no WGSL, a missing entry point, a workgroup over the limit", () =>
    withGpu(async (gpu) => {
      const text = affine(2).wgsl;
      const limit = gpu.profile.maxInvocations;
      for (const wgsl of [
        "not a shader",
        text.replace("fn main", "fn other"),
        text.replace("workgroup_size(64)", `workgroup_size(${2 * limit})`),
      ]) {
        await assert.rejects(
          gpu.pipeline({ ...affine(2), name: "wrong", wgsl }),
          (error) => error instanceof KernelError && error.message.startsWith('kernel "wrong" does not compile: '),
        );
      }
      await assertWorks(gpu);
    }));

  test("more bindings than the adapter has", () =>
    withGpu(async (gpu) => {
      const bindings = Array.from({ length: gpu.profile.maxStorageBuffers + 1 }, () => ({ access: "read" as const }));
      await assert.rejects(
        gpu.pipeline({ name: "wide", wgsl: "", bindings }),
        /kernel "wide" binds \d+ storage buffers; this adapter's maxStorageBuffersPerShaderStage is \d+/,
      );
      await assertWorks(gpu);
    }));

  test("a refused submit is raised later, once, with its kernels' names", () =>
    withGpu(async (gpu) => {
      const buffers = [gpu.acquire(BYTES), gpu.acquire(BYTES)];
      const command = await dispatch(gpu, affine(2), buffers, COUNT);
      const named = (error: unknown): boolean =>
        error instanceof KernelError &&
        error.kernels.includes("affine2") &&
        /WebGPU refused a submit: .*in flight: affine2/s.test(error.message);
      const tooMany = { ...command, workgroups: [gpu.limits.maxComputeWorkgroupsPerDimension + 1, 1, 1] as const };
      gpu.submit([tooMany]);
      await assert.rejects(gpu.idle(), named);
      await assertWorks(gpu);
      await assert.rejects(gpu.readAfter([tooMany], [{ buffer: buffers[1]!, offset: 0, bytes: 4 }]), named);
      await assertWorks(gpu);
    }));
});

test("memory that is used up is an OutOfMemoryError, and the device goes on", async (context) => {
  if (testAdapter !== "swiftshader") return context.skip("only SwiftShader refuses a buffer of its own limit");
  await withGpu(async (gpu) => {
    const bytes = gpu.profile.maxBindingBytes;
    const buffer = gpu.acquire(bytes);
    await assert.rejects(
      gpu.idle(),
      (error) =>
        error instanceof OutOfMemoryError &&
        error.bytes === bytes &&
        error.message.includes(`no memory for a buffer of ${bytes} bytes`),
    );
    gpu.release(buffer);
    assert.equal(gpu.counters.bytesPooled, 0, "a buffer without memory is not kept");
    await assertWorks(gpu);
  });
});

describe("device loss", () => {
  test("what waits, and what comes after, gets the error with the kernels in flight; another Gpu works", async () => {
    const gpu = await openTestGpu();
    const buffer = gpu.acquire(BYTES);
    const command = await dispatch(gpu, busy(200_000), [buffer], COUNT);
    gpu.submit([command]);
    const waiting = assert.rejects(gpu.read(buffer, 0, BYTES), DeviceLostError);
    // Some drivers finish a compilation that was under way.
    const compiling = gpu.pipeline(affine(11)).catch((error: unknown) => assert.ok(error instanceof GpuError));
    gpu.device.destroy();
    await waiting;
    await compiling;
    const lost = (error: unknown): boolean =>
      error instanceof DeviceLostError &&
      error.reason === "destroyed" &&
      error.kernels.includes("busy") &&
      /resume from the last checkpoint/.test(error.message);
    assert.ok(gpu.isLost);
    assert.throws(() => gpu.submit([command]), lost);
    assert.throws(() => gpu.acquire(4), lost);
    assert.throws(() => gpu.write(buffer, 0, new Uint32Array(1)), lost);
    await assert.rejects(gpu.read(buffer, 0, 4), lost);
    await assert.rejects(gpu.throttle(), lost);
    await assert.rejects(gpu.idle(), lost);
    await assert.rejects(gpu.pipeline(affine(2)), lost);
    gpu.release(buffer);
    gpu.close();
    await withGpu(assertWorks);
  });

  test("a closed Gpu says so, and closing twice is harmless", async () => {
    const gpu = await openTestGpu();
    const buffer = gpu.acquire(4);
    gpu.close();
    gpu.close();
    assert.throws(() => gpu.acquire(4), /the webgpu device was closed/);
    await assert.rejects(gpu.read(buffer, 0, 4), /the webgpu device was closed/);
    gpu.release(buffer);
  });

  test("two devices live side by side", () =>
    withGpu(async (first) => {
      await withGpu(async (second) => {
        await Promise.all([assertWorks(first), assertWorks(second)]);
        first.device.destroy();
        await assertWorks(second);
      });
    }));
});

test("an adapter that is not there is named, with those that are", async () => {
  await assert.rejects(
    openTestGpu({ adapter: "voodoo 3dfx" }),
    (error) => error instanceof GpuError && error.message.startsWith('no WebGPU adapter fits "voodoo 3dfx": there is '),
  );
});

test("messages list a few kernels and count the rest", () => {
  assert.equal(inFlight([]), "no kernel was in flight");
  assert.equal(inFlight(["a", "b", "a"]), "in flight: a, b");
  const many = Array.from({ length: 11 }, (_, i) => `k${i}`);
  assert.equal(inFlight(many), "in flight: k0, k1, k2, k3, k4, k5, k6, k7 (and 3 more)");
});
