/** The same `Gpu` in every runtime and on every software driver to be had; what is absent is skipped, saying why. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bundle, startChromium } from "./chromium.ts";
import { denoUnavailable, runInDeno } from "./deno.ts";
import { lavapipeUnavailable, lavapipeUnavailableInNode } from "./lavapipe.ts";
import type { SmokeResult } from "./smoke.ts";
import { smoke } from "./smoke.ts";

const module = new URL("./smoke.ts", import.meta.url);

function assertSmoke(result: SmokeResult, adapter: RegExp): void {
  assert.match(result.adapter, adapter);
  assert.ok(result.isSoftware);
  assert.equal(result.error, 0);
  assert.deepEqual(result.replay, { submits: 1, bindGroups: 0, buffers: 0 });
  assert.ok(result.compileErrorIsKernelError);
  assert.match(result.compileError, /^kernel "wrong" does not compile: line 5:[^]*2\.5f \* source\[id\.x\]/);
  assert.ok(result.timed === 2 || result.timed === -1, `${result.timed} dispatches timed`);
  assert.ok(result.lossIsDeviceLostError);
  assert.ok(result.reopened);
}

test("Node with SwiftShader from npm", async () => {
  assertSmoke(await smoke({ software: "swiftshader" }), /swiftshader/i);
});

test("Node with lavapipe", async (context) => {
  const unavailable = await lavapipeUnavailableInNode();
  if (unavailable !== undefined) return context.skip(unavailable);
  assertSmoke(await smoke({ software: "lavapipe" }), /llvmpipe/);
});

test("Deno with lavapipe", async (context) => {
  const unavailable = denoUnavailable() ?? (await lavapipeUnavailable());
  if (unavailable !== undefined) return context.skip(unavailable);
  assertSmoke(await runInDeno<SmokeResult>(module, "smoke", { software: "lavapipe" }), /llvmpipe/);
});

test("Chromium with SwiftShader", async (context) => {
  const browser = await startChromium();
  if ("unavailable" in browser) return context.skip(browser.unavailable);
  try {
    assertSmoke(await browser.run<SmokeResult>(module, "smoke"), /swiftshader/i);
  } finally {
    await browser.close();
  }
});

test("the host layer bundles for browsers without a Node module", async () => {
  assert.doesNotMatch(await bundle(new URL("../../src/device/webgpu/gpu/gpu.ts", import.meta.url)), /from\s*"node:/);
});
