/** Kernels of one's own on WebGPU: against their meaning, and what is refused when they first run. */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { setDefaultDevice, tensor } from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import { defineFusedOp } from "../../src/kernels/index.ts";
import type { WgslKernel } from "../../src/kernels/index.ts";
import { checkKernel } from "../../src/testing/index.ts";
import { openTestDevice } from "../support/helpers.ts";
import { asked, meaning, movingAverage } from "./moving-average.ts";

const gpu = await openTestDevice();
setDefaultDevice(gpu);
after(() => gpu.close());

test("the kernel runs, and has its meaning's values and gradients", async () => {
  const attrs = { decay: 0.75 };
  await checkKernel(
    (x) => movingAverage([x], attrs),
    (x) => meaning([x], attrs),
    [["rows", "length"]],
    { device: gpu, runs: 10 },
  );
  assert.ok(asked.wgsl > 0);
});

test("too many workgroups, bindings of nothing, text that is none", async () => {
  const decompose = ([x]: readonly Tensor[]): Tensor => x.mul(1);
  const run = (kernel: Partial<WgslKernel>): Promise<unknown> =>
    defineFusedOp({ name: "bad", decompose, wgsl: () => ({ code: "@compute", workgroups: 1, ...kernel }) })([
      tensor([1, 2]),
    ]).toArray();
  await assert.rejects(run({ workgroups: 70_000 }), /bad: workgroups are 70000 × 1 × 1; each must be .* to 65535/);
  await assert.rejects(run({ bindings: [{ role: "in", index: 2, access: "read" }] }), /there is no in 2 to bind/);
  await assert.rejects(run({ bindings: [{ role: "in", index: 0, access: "read" }] }), /no kernel binds output 0/);
  await assert.rejects(run({ code: "fn main() {}" }), /bad: code must be WGSL with an entry point/);
  await assert.rejects(run({ code: "@compute @workgroup_size(1) fn main() { nonsense }" }), /bad[\s\S]*expected/i);
});
