/** The cpu device in every runtime: the same bits as under Node, with threads where memory can be shared. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { startChromium } from "./chromium.ts";
import { trainOnCpu, type CpuTraining } from "./cpu-training.ts";
import { denoUnavailable, runInDeno } from "./deno.ts";

const module = new URL("./cpu-training.ts", import.meta.url);
let node: CpuTraining;

before(async () => {
  node = await trainOnCpu({ threads: 2 });
  assert.equal(node.workersAtWork, 1);
  assert.ok(node.losses.every(Number.isFinite) && new Set(node.losses).size > 3, `it trains: ${node.losses}`);
});

function assertSame(found: CpuTraining): void {
  // V8's fused multiply-add rounds once, on every machine that has it.
  assert.equal(found.relaxedSimd, node.relaxedSimd);
  assert.deepEqual(found.losses, node.losses);
  assert.deepEqual(found.bits, node.bits);
}

test("Deno: threads, and the bits of Node", async (context) => {
  const unavailable = denoUnavailable();
  if (unavailable !== undefined) return context.skip(unavailable);
  const deno = await runInDeno<CpuTraining>(module, "trainOnCpu", { threads: 2 });
  assertSame(deno);
  assert.equal(deno.threads, 2);
  assert.equal(deno.workersAtWork, 1);
});

test("Chromium: threads in an isolated page, one thread in another, and the bits of Node", async (context) => {
  const browser = await startChromium();
  if ("unavailable" in browser) return context.skip(browser.unavailable);
  try {
    const isolated = await browser.run<CpuTraining>(module, "trainOnCpu", { threads: 3 }, { isolated: true });
    assert.equal(isolated.isolated, true);
    assert.equal(isolated.threads, 3);
    assert.equal(isolated.workersAtWork, 2);
    assertSame(isolated);

    const plain = await browser.run<CpuTraining>(module, "trainOnCpu", { threads: 3 });
    assert.equal(plain.isolated, false);
    assert.equal(plain.threads, 1);
    assertSame(plain);

    // Where the page's policy forbids workers out of blobs, there is one thread, and the device says one.
    const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";
    const strict = await browser.run<CpuTraining>(module, "trainOnCpu", { threads: 3 }, { isolated: true, policy });
    assert.equal(strict.isolated, true);
    assert.equal(strict.threads, 1);
    assert.equal(strict.name, "cpu (1 thread)");
    assertSame(strict);
  } finally {
    await browser.close();
  }
});
