/**
 * Opens and closes WebGPU devices, one after the other, and tells threads and resident memory on the way:
 *
 *     node --import tsx scripts/open-close.ts [--devices 200] [--limit 20] [--as-is]
 *
 * Every device computes once before it is closed. What is asked is what devices keep, not what allocators do: the process
 * is started with one arena of glibc's and a young space of 1 MB, since with their defaults both grow for a while and
 * then stay, whatever is allocated. `--as-is` leaves them at their defaults. The first twenty openings bring what the runtime keeps for good (code,
 * pools), so growth is counted from there. Exit code 1 where threads do not come back to what they were then, or memory
 * grows by more than `--limit` MB.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { setDefaultDevice, tensor, WebGpuDevice } from "../src/index.ts";

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "200" },
    limit: { type: "string", default: "20" },
    "as-is": { type: "boolean", default: false },
    adapter: { type: "string", default: process.env.HICO_ADAPTER ?? "swiftshader" },
  },
});
if (!values["as-is"] && process.env.MALLOC_ARENA_MAX !== "1") {
  const flags = ["--max-semi-space-size=1", ...process.execArgv];
  const { status } = spawnSync(process.execPath, [...flags, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    env: { ...process.env, MALLOC_ARENA_MAX: "1" },
    stdio: "inherit",
  });
  process.exit(status ?? 1);
}
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
