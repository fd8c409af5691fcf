import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import type { GpuBuffer } from "../../src/device/webgpu/gpu/buffers.ts";
import { sizeClass } from "../../src/device/webgpu/gpu/buffers.ts";
import { difference } from "../../src/device/webgpu/gpu/counters.ts";
import { OutOfMemoryError } from "../../src/device/webgpu/gpu/errors.ts";
import type { Gpu } from "../../src/device/webgpu/gpu/gpu.ts";
import { openTestGpu } from "../environments/test-gpu.ts";

test("size classes waste at most 25 %, or 255 bytes, and grow with the size", () => {
  assert.equal(sizeClass(0), 256);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 34 }), (bytes) => {
      const size = sizeClass(bytes);
      assert.equal(size % 256, 0);
      assert.ok(size >= bytes && size - bytes <= Math.max(255, bytes / 4), `${bytes} bytes got ${size}`);
      assert.equal(sizeClass(size), size, "a class is its own class");
      assert.ok(sizeClass(bytes + 1) >= size);
    }),
    { numRuns: 2000 },
  );
});

describe("buffers", () => {
  let gpu: Gpu;
  before(async () => {
    gpu = await openTestGpu();
  });
  after(() => gpu.close());

  test("a released buffer is handed out again for its class, and only then", () => {
    const first = gpu.acquire(5000);
    const before = gpu.snapshot();
    gpu.release(first);
    const second = gpu.acquire(4900);
    assert.equal(second, first);
    const third = gpu.acquire(5000);
    assert.notEqual(third.id, first.id);
    assert.equal(difference(gpu.snapshot(), before).buffersCreated, 1);
    gpu.release(second);
    gpu.release(third);
  });

  test("any order of acquire, release and trim: no buffer is out twice, and the counters add up", () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant("acquire" as const), bytes: fc.nat({ max: 9000 }) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("release" as const), pick: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("trim" as const) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        gpu.trim();
        const start = gpu.snapshot();
        assert.equal(start.bytesPooled, 0);
        const live: GpuBuffer[] = [];
        let pooled = 0;
        for (const one of steps) {
          const before = gpu.snapshot();
          if (one.kind === "acquire") {
            const buffer = gpu.acquire(one.bytes);
            assert.ok(!live.includes(buffer), "handed out while in use");
            assert.ok(buffer.size >= one.bytes);
            if (gpu.counters.buffersCreated === before.buffersCreated) pooled -= buffer.size;
            live.push(buffer);
          } else if (one.kind === "release" && live.length > 0) {
            const [buffer] = live.splice(one.pick % live.length, 1);
            gpu.release(buffer!);
            pooled += buffer!.size;
          } else if (one.kind === "trim") {
            gpu.trim();
            pooled = 0;
          }
          const { bytesLive, bytesPooled, bytesPeak } = gpu.counters;
          assert.equal(
            bytesLive - start.bytesLive,
            live.reduce((sum, { size }) => sum + size, 0),
          );
          assert.equal(bytesPooled, pooled);
          assert.ok(bytesPeak >= bytesLive + bytesPooled);
        }
        for (const buffer of live) gpu.release(buffer);
      }),
      { numRuns: 60 },
    );
    gpu.trim();
  });

  test("what is written is read, at any offset and length, also from shared memory", async () => {
    const buffer = gpu.acquire(4096);
    const expected = new Uint8Array(buffer.size);
    gpu.write(buffer, 0, expected);
    const write = fc.record({
      word: fc.integer({ min: 0, max: 900 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 400 }),
      shared: fc.boolean(),
      skip: fc.integer({ min: 0, max: 7 }),
    });
    const property = fc.asyncProperty(fc.array(write, { maxLength: 4 }), async (writes) => {
      for (const { word, bytes, shared, skip } of writes) {
        const memory = shared ? new SharedArrayBuffer(bytes.length + skip) : new ArrayBuffer(bytes.length + skip);
        const view = new Uint8Array(memory, skip);
        view.set(bytes);
        gpu.write(buffer, word * 4, view);
        view.fill(0xee);
        expected.set(bytes, word * 4);
        // The rest of the last word is padding.
        expected.fill(0, word * 4 + bytes.length, word * 4 + Math.ceil(bytes.length / 4) * 4);
      }
      const from = (writes[0]?.word ?? 0) * 4;
      const length = 401 + ((writes[0]?.bytes.length ?? 0) % 7);
      const read = await gpu.read(buffer, from, Math.min(length, buffer.size - from));
      assert.deepEqual(new Uint8Array(read), expected.slice(from, Math.min(from + length, buffer.size)));
    });
    await fc.assert(property, { numRuns: 40 });
    gpu.release(buffer);
  });

  test("reads reuse their staging buffers", async () => {
    const buffer = gpu.acquire(1000);
    await gpu.read(buffer, 0, 1000);
    const created: number[] = [];
    const { device } = gpu;
    const createBuffer = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      created.push(descriptor.size);
      return createBuffer(descriptor);
    };
    for (let i = 0; i < 5; i++) await gpu.read(buffer, 0, 1000 - i);
    device.createBuffer = createBuffer;
    assert.deepEqual(created, []);
    gpu.release(buffer);
  });

  test("ranges outside the buffer or off the word grid are refused", async () => {
    const buffer = gpu.acquire(256);
    assert.throws(() => gpu.write(buffer, 2, new Uint8Array(4)), /write: 4 bytes at offset 2 .*multiple of 4/);
    assert.throws(() => gpu.write(buffer, 252, new Uint8Array(5)), /write: 5 bytes at offset 252 .*\(256 bytes\)/);
    await assert.rejects(gpu.read(buffer, 1, 4), /read: bytes 1 to 5/);
    await assert.rejects(gpu.read(buffer, 200, 100), /read: bytes 200 to 300 .*\(256 bytes\)/);
    assert.throws(() => gpu.acquire(-1), /-1 is not a size/);
    assert.throws(() => gpu.acquire(1.5), /1.5 is not a size/);
    gpu.release(buffer);
    assert.throws(() => gpu.release(buffer), /is not in use here; release a buffer once/);
  });

  test("a buffer over the adapter's limit is refused at once, with both numbers", () => {
    const limit = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize);
    const named = new RegExp(`a buffer of ${limit + 4} bytes is over this adapter's max\\w+ of \\d+ bytes`);
    assert.throws(
      () => gpu.acquire(limit + 4),
      (error) => error instanceof OutOfMemoryError && error.bytes === limit + 4 && named.test(error.message),
    );
  });

  test("the profile is the device's", () => {
    assert.equal(gpu.profile.kind, gpu.info.isSoftware ? "cpu" : "gpu");
    assert.equal(gpu.profile.maxStorageBuffers, gpu.info.limits.maxStorageBuffersPerShaderStage);
    assert.equal(gpu.profile.maxWorkgroupBytes, gpu.limits.maxComputeWorkgroupStorageSize);
    assert.equal(gpu.profile.subgroups, gpu.device.features.has("subgroups"));
  });
});
