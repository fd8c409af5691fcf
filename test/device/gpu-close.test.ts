import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openTestGpu } from "../environments/test-gpu.ts";

test("closed devices are collected", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const devices: WeakRef<GPUDevice>[] = [];
  for (let i = 0; i < 6; i++) {
    const gpu = await openTestGpu();
    devices.push(new WeakRef(gpu.device));
    gpu.close();
  }
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    collect();
  }
  // The last one may still stand in a register of this function.
  assert.ok(devices.filter((device) => device.deref()).length <= 1);
});
