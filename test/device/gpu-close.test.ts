import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openTestGpu } from "../environments/test-gpu.ts";

/** Threads of this process, where the system tells them. */
const threads = (): number => (existsSync("/proc/self/task") ? readdirSync("/proc/self/task").length : 0);

test("closed devices are collected, and their threads have ended", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const devices: WeakRef<GPUDevice>[] = [];
  let first = 0;
  for (let i = 0; i < 6; i++) {
    const gpu = await openTestGpu();
    if (i === 0) first = threads();
    devices.push(new WeakRef(gpu.device));
    gpu.close();
  }
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    collect();
  }
  // The last one may still stand in a register of this function.
  assert.ok(devices.filter((device) => device.deref()).length <= 1);
  assert.ok(threads() <= first, `${threads()} threads where the first device open had ${first}`);
});
