import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { isDeno } from "../../src/device/environment.ts";
import { difference } from "../../src/device/webgpu/gpu/counters.ts";
import { KernelError } from "../../src/device/webgpu/gpu/errors.ts";
import type { Command, Gpu } from "../../src/device/webgpu/gpu/gpu.ts";
import { openTestGpu } from "../environments/test-gpu.ts";
import { affine, busy, counting, dispatch } from "./kernels.ts";

const COUNT = 300;
const BYTES = COUNT * 4;

describe("commands", () => {
  let gpu: Gpu;
  before(async () => {
    gpu = await openTestGpu({ bindGroupCapacity: 8 });
  });
  after(() => gpu.close());

  test("random programs of kernels and copies over four buffers do what the same program does on arrays", async () => {
    const buffers = Array.from({ length: 4 }, () => gpu.acquire(BYTES));
    const pair = fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 2, maxLength: 2 });
    const command = fc.oneof(
      fc.record({ kind: fc.constant("dispatch" as const), pair, factor: fc.integer({ min: 2, max: 4 }) }),
      fc.record({
        kind: fc.constant("copy" as const),
        pair,
        from: fc.integer({ min: 0, max: 200 }),
        to: fc.integer({ min: 0, max: 200 }),
        words: fc.integer({ min: 1, max: 100 }),
      }),
    );
    const property = fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 12 }), async (program) => {
      const arrays = buffers.map((buffer, i) => {
        const start = counting(COUNT).map((value) => value + 1000 * i);
        gpu.write(buffer, 0, start);
        return start;
      });
      const commands: Command[] = [];
      for (const one of program) {
        const [from, to] = one.pair as [number, number];
        if (one.kind === "dispatch") {
          commands.push(await dispatch(gpu, affine(one.factor), [buffers[from]!, buffers[to]!], COUNT));
          arrays[to] = arrays[from]!.map((value) => Math.imul(value, one.factor) + 1);
        } else {
          commands.push({
            kind: "copy",
            from: buffers[from]!,
            fromOffset: one.from * 4,
            to: buffers[to]!,
            toOffset: one.to * 4,
            bytes: one.words * 4,
          });
          arrays[to]!.set(arrays[from]!.subarray(one.from, one.from + one.words), one.to);
        }
      }
      const before = gpu.snapshot();
      const results = await gpu.readAfter(
        commands,
        buffers.map((buffer) => ({ buffer, offset: 0, bytes: BYTES })),
      );
      results.forEach((bytes, i) => assert.deepEqual(new Uint32Array(bytes), arrays[i]));
      const done = difference(gpu.snapshot(), before);
      const dispatches = program.filter(({ kind }) => kind === "dispatch").length;
      assert.deepEqual(
        [done.submits, done.dispatches, done.copies, done.reads],
        [1, dispatches, program.length - dispatches + 4, 4],
      );
    });
    await fc.assert(property, { numRuns: 40 });
    buffers.forEach((buffer) => gpu.release(buffer));
  });

  test("a pipeline is compiled once for a text, also when asked for twice at once", async () => {
    const before = gpu.snapshot();
    const [first, second] = await Promise.all([gpu.pipeline(affine(7)), gpu.pipeline(affine(7))]);
    assert.equal(first, second);
    assert.equal(await gpu.pipeline({ ...affine(7), name: "other name" }), first);
    assert.equal(difference(gpu.snapshot(), before).pipelinesCreated, 1);
  });

  test("an unused binding is still bound: layouts are explicit", async () => {
    const buffers = [gpu.acquire(BYTES), gpu.acquire(BYTES), gpu.acquire(BYTES)];
    const source = affine(5);
    gpu.write(buffers[0]!, 0, counting(COUNT));
    const wider = { ...source, bindings: [...source.bindings, { access: "read" as const }] };
    const command = await dispatch(gpu, wider, buffers, COUNT);
    const [bytes] = await gpu.readAfter([command], [{ buffer: buffers[1]!, offset: 0, bytes: BYTES }]);
    assert.deepEqual(
      new Uint32Array(bytes!),
      counting(COUNT).map((value) => 5 * value + 1),
    );
    buffers.forEach((buffer) => gpu.release(buffer));
  });

  test("bind groups are remembered by buffer and range, the least recently used go first", async () => {
    const pipeline = await gpu.pipeline(affine(2));
    const [from, to] = [gpu.acquire(8192), gpu.acquire(8192)];
    const group = (at: number): GPUBindGroup =>
      gpu.bindGroup(pipeline, [
        { buffer: from, offset: 256 * at, size: 256 },
        { buffer: to, size: 256 },
      ]);
    const first = group(0);
    for (let at = 1; at < 8; at++) group(at);
    let before = gpu.snapshot();
    assert.equal(group(0), first);
    assert.equal(difference(gpu.snapshot(), before).bindGroupsCreated, 0);
    group(8);
    assert.equal(gpu.bindGroupsCached, 8, "the capacity");
    before = gpu.snapshot();
    assert.equal(group(0), first, "used lately");
    group(1);
    assert.equal(difference(gpu.snapshot(), before).bindGroupsCreated, 1, "1 was the least recently used");
    gpu.release(from);
    assert.equal(gpu.bindGroupsCached, 8, "a pooled buffer keeps its bind groups");
    gpu.trim();
    assert.equal(gpu.bindGroupsCached, 0, "a destroyed one does not");
    gpu.release(to);
  });

  test("bind groups that do not fit are refused with the kernel's name and the rule", async () => {
    const pipeline = await gpu.pipeline(affine(2));
    const buffer = gpu.acquire(1024);
    const refuse = (offset: number, size: number, rule: RegExp): void => {
      assert.throws(
        () => gpu.bindGroup(pipeline, [{ buffer, offset, size }, { buffer }]),
        (error) => error instanceof KernelError && error.kernels[0] === "affine2" && rule.test(error.message),
      );
    };
    refuse(4, 256, /offset 4 is not a multiple of 256/);
    refuse(0, 6, /size 6 is not a positive multiple of 4/);
    refuse(768, 512, /bytes 768 to 1280 are outside buffer \d+ of 1024 bytes/);
    assert.throws(() => gpu.bindGroup(pipeline, [{ buffer }]), /"affine2": 1 buffers for 2 bindings/);
    gpu.release(buffer);
  });

  test("a dispatch of nothing is left out", async () => {
    const buffers = [gpu.acquire(BYTES), gpu.acquire(BYTES)];
    const command = await dispatch(gpu, affine(2), buffers, COUNT);
    const before = gpu.snapshot();
    gpu.submit([{ ...command, workgroups: [0, 1, 1] }]);
    await gpu.idle();
    assert.equal(difference(gpu.snapshot(), before).dispatches, 0);
    buffers.forEach((buffer) => gpu.release(buffer));
  });

  test("throttle lets only a few submits be under way", async () => {
    const buffer = gpu.acquire(64 * 4);
    const command = await dispatch(gpu, busy(20_000), [buffer], 64);
    const { queue } = gpu.device;
    const bound = isDeno ? 24 : 3;
    let submitted = 0;
    let finished = 0;
    for (let i = 0; i < 60; i++) {
      gpu.submit([command]);
      submitted++;
      void queue.onSubmittedWorkDone().then(() => {
        finished++;
      });
      await gpu.throttle();
      assert.ok(submitted - finished <= bound, `${submitted - finished} under way`);
    }
    await gpu.idle();
    gpu.release(buffer);
  });

  test("a replayed step makes nothing", async () => {
    const buffers = [gpu.acquire(BYTES), gpu.acquire(BYTES)];
    const step = async (): Promise<void> => {
      gpu.write(buffers[0]!, 0, counting(COUNT));
      gpu.submit([await dispatch(gpu, affine(3), buffers, COUNT), await dispatch(gpu, busy(3), [buffers[1]!], COUNT)]);
      await gpu.throttle();
    };
    await step();
    const before = gpu.snapshot();
    for (let i = 0; i < 10; i++) await step();
    await gpu.idle();
    const done = difference(gpu.snapshot(), before);
    assert.deepEqual(done, {
      dispatches: 20,
      submits: 10,
      copies: 0,
      buffersCreated: 0,
      bindGroupsCreated: 0,
      pipelinesCreated: 0,
      bytesLive: 0,
      bytesPeak: 0,
      bytesPooled: 0,
      bytesWritten: 10 * BYTES,
      reads: 0,
    });
    buffers.forEach((buffer) => gpu.release(buffer));
  });
});
