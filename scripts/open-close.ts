/**
 * Opens and closes WebGPU devices, one after the other, and tells threads and resident memory on the way:
 *
 *     node --import tsx scripts/open-close.ts [--devices 200] [--limit 20]
 *
 * Every device computes once before it is closed. The first twenty openings bring what the runtime keeps for good (code,
 * pools), so growth is counted from there. Exit code 1 where threads do not come back to what they were then, or memory
 * grows by more than `--limit` MB.
 */
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { setDefaultDevice, tensor, WebGpuDevice } from "../src/index.ts";

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "200" },
    limit: { type: "string", default: "20" },
    adapter: { type: "string", default: process.env.HICO_ADAPTER ?? "swiftshader" },
  },
});
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Threads of this process, and MB, when what is free has gone. */
async function standing(): Promise<{ threads: number; megabytes: number }> {
  for (let i = 0; i < 4; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    collect();
  }
  return { threads: readdirSync("/proc/self/task").length, megabytes: process.memoryUsage.rss() / 1e6 };
}

const count = Number(values.devices);
const settled = Math.min(20, Math.floor(count / 2));
let before: { threads: number; megabytes: number } | undefined;
let now = await standing();
console.log(`at the start: ${now.threads} threads, ${now.megabytes.toFixed(1)} MB`);
for (let i = 1; i <= count; i++) {
  const device = await WebGpuDevice.open({ adapter: values.adapter });
  setDefaultDevice(device);
  const sum = await tensor([1, 2, i]).sum().item();
  if (sum !== 3 + i) throw new Error(`device ${i} sums to ${sum}`);
  device.close();
  if (i % 20 === 0 || i === settled || i === count) {
    now = await standing();
    console.log(`${i} devices: ${now.threads} threads, ${now.megabytes.toFixed(1)} MB`);
    if (i === settled) before = now;
  }
}
const growth = now.megabytes - before!.megabytes;
console.log(`${now.threads - before!.threads} threads and ${growth.toFixed(1)} MB more than after ${settled} devices`);
process.exit(now.threads <= before!.threads && growth <= Number(values.limit) ? 0 : 1);
