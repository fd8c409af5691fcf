/** The memory of the cpu device: blocks never overlap, are given back whole, and run out with a word. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { newCpuCounters } from "../../src/device/cpu/counters.ts";
import type { Block } from "../../src/device/cpu/memory.ts";
import { CpuMemory, CpuOutOfMemoryError } from "../../src/device/cpu/memory.ts";
import { property } from "../support/helpers.ts";

describe("memory of the cpu device", () => {
  test("blocks are aligned, hold what was asked for with padding, and never overlap", () =>
    property(20, (draw) => {
      const counters = newCpuCounters();
      const memory = new CpuMemory(false, counters);
      const live: { block: Block; bytes: number }[] = [];
      for (let i = 0; i < 300; i++) {
        if (live.length > 0 && draw.unit() < 0.45) {
          const [freed] = live.splice(draw.int(0, live.length - 1), 1);
          memory.free(freed.block);
        } else {
          const bytes = draw.unit() < 0.1 ? draw.int(1, 3_000_000) : draw.int(0, 3000);
          live.push({ block: memory.allocate(bytes), bytes });
        }
      }
      const sorted = live.sort((a, b) => a.block.address - b.block.address);
      sorted.forEach(({ block, bytes }, i) => {
        assert.equal(block.address % 64, 0);
        assert.ok(block.size >= bytes + 12 && block.address >= 65536);
        assert.ok(block.address + block.size <= memory.bytes.length);
        if (i > 0) assert.ok(sorted[i - 1].block.address + sorted[i - 1].block.size <= block.address, "blocks overlap");
      });
      assert.equal(
        counters.bytesLive,
        live.reduce((sum, { block }) => sum + block.size, 0),
      );
    }));

  test("freed neighbours join: what was taken in pieces is had in one", () =>
    property(10, (draw) => {
      const memory = new CpuMemory(false, newCpuCounters());
      const blocks = Array.from({ length: 100 }, () => memory.allocate(draw.int(1, 5000)));
      const last = memory.allocate(1);
      const total = blocks.reduce((sum, b) => sum + b.size, 0);
      for (const block of draw.shuffled(blocks)) memory.free(block);
      const whole = memory.allocate(total - 64);
      assert.equal(whole.address, blocks[0].address);
      assert.ok(whole.address + whole.size <= last.address);
    }));

  test("a request beyond 4 GiB names the bytes, and leaves everything as it was", () => {
    const counters = newCpuCounters();
    const memory = new CpuMemory(false, counters);
    memory.allocate(1 << 20);
    const { bytesLive } = counters;
    assert.throws(
      () => memory.allocate(5 * 2 ** 30),
      (error: Error) =>
        error instanceof CpuOutOfMemoryError &&
        /no room for 5120\.0 MiB \(5368709120 bytes\): 1\.0 MiB are in use/.test(error.message),
    );
    assert.equal(counters.bytesLive, bytesLive);
    assert.ok(memory.allocate(1000).address > 0);
  });
});
