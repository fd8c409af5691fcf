/** What a device keeps of a plan it remembers: a program and addresses, not the graph it was made from. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as v8 from "node:v8";
import { CpuDevice, setDefaultDevice, tensor, WebGpuDevice } from "../../src/index.ts";
import { Node } from "../../src/tensor/node.ts";
import { testAdapter } from "../environments/test-gpu.ts";

type Count = (of: unknown, options: { format: "count" }) => number;
const queryObjects = (v8 as unknown as { queryObjects?: Count }).queryObjects;

/** Plans of about a hundred nodes each: a chain that no two lengths share. */
const PLANS = 20;

async function nodesKept(device: CpuDevice | WebGpuDevice): Promise<number> {
  const run = async (length: number): Promise<void> => {
    let x = tensor(Float32Array.from({ length }, (_, i) => i / length));
    for (let i = 0; i < 30; i++) x = x.mul(0.5).add(x.sum()).tanh();
    await x.read();
  };
  setDefaultDevice(device);
  await run(7);
  const before = queryObjects!(Node, { format: "count" });
  const plans = device.plans;
  for (let i = 0; i < PLANS; i++) await run(100 + i);
  assert.equal(device.plans - plans, PLANS);
  return queryObjects!(Node, { format: "count" }) - before;
}

for (const [name, open] of [
  ["cpu", () => CpuDevice.open({ threads: 1 })],
  ["webgpu", () => WebGpuDevice.open({ adapter: testAdapter })],
] as const) {
  test(`${name}: a remembered plan keeps its leaves, not its graph`, {
    skip: queryObjects === undefined && "v8.queryObjects counts objects from Node 20.13 on",
  }, async () => {
    const device = await open();
    try {
      const kept = await nodesKept(device);
      assert.ok(kept <= 3 * PLANS, `${kept} nodes are kept with ${PLANS} plans`);
    } finally {
      setDefaultDevice(undefined);
      device.close();
    }
  });
}
