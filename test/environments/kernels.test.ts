/** The engine's kernels in every runtime and on every software driver to be had; what is absent is skipped, saying why. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BatteryResult } from "./battery.ts";
import { battery } from "./battery.ts";
import { bundle, startChromium } from "./chromium.ts";
import { denoUnavailable, runInDeno } from "./deno.ts";
import { lavapipeUnavailable, lavapipeUnavailableInNode } from "./lavapipe.ts";

const module = new URL("./battery.ts", import.meta.url);

/** lavapipe compiles every kernel for seconds where its cache is cold: left to CI, and to those who ask. */
const slow =
  process.env.CI || process.env.HICO_DRIVERS === "all"
    ? undefined
    : "slow on a cold cache: set HICO_DRIVERS=all to run it";

function check(result: BatteryResult): void {
  assert.ok(result.cases.length > 40);
  const off = result.cases.filter((c) => !(c.error <= c.bound));
  assert.deepEqual(off, [], `${result.adapter}: kernels off their bound`);
  assert.deepEqual(result.step, { submits: 1, buffersCreated: 0, bindGroupsCreated: 0 });
  assert.ok(result.losses[1] < result.losses[0] * 0.9, `the loss falls: ${result.losses.join(" to ")}`);
}

test("Node with SwiftShader from npm", async () => {
  check(await battery({ software: "swiftshader" }));
});

test("Node with lavapipe", async (context) => {
  const unavailable = slow ?? (await lavapipeUnavailableInNode());
  if (unavailable !== undefined) return context.skip(unavailable);
  const result = await battery({ software: "lavapipe" });
  check(result);
  assert.ok(
    result.cases.some((c) => c.name === "f16 storage"),
    "lavapipe 25 stores half precision",
  );
});

test("Deno with lavapipe", async (context) => {
  const unavailable = slow ?? denoUnavailable() ?? (await lavapipeUnavailable());
  if (unavailable !== undefined) return context.skip(unavailable);
  check(await runInDeno<BatteryResult>(module, "battery", { software: "lavapipe" }));
});

test("Chromium with SwiftShader", async (context) => {
  const browser = await startChromium();
  if ("unavailable" in browser) return context.skip(browser.unavailable);
  try {
    check(await browser.run<BatteryResult>(module, "battery"));
  } finally {
    await browser.close();
  }
});

test("the engine bundles for browsers without a Node module", async () => {
  assert.doesNotMatch(await bundle(new URL("../../src/index.ts", import.meta.url)), /from\s*"node:/);
});
