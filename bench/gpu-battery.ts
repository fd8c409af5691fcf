/**
 * What a GPU does, in one command: `npm run gpu-battery`. It writes one JSON file and one HTML page.
 *
 * Each part is kept when it is done, so that a battery that was killed goes on where it was when it is run again.
 */
import { parseArgs } from "node:util";
import { ProgressLine } from "../src/cli/progress.ts";
import { packageVersion } from "../src/cli/command.ts";
import { WebGpuDevice } from "../src/device/webgpu/webgpu-device.ts";
import { runBattery } from "./battery/battery.ts";
import type { BatteryReport } from "./battery/results.ts";
import { GENERATION, jsonFile, pageFile } from "./battery/results.ts";
import { partsOf } from "./battery/parts.ts";

const HELP = `What a GPU does, measured: adapter and limits, launch latency, bandwidth, peak, products with every tile, every
kernel of a HiCo step, and the step against PyTorch's where there is one.
Writes gpu-battery.json and gpu-battery.html. Run again after a kill, it goes on where it was.

  npm run gpu-battery -- [options]

  --adapter NAME   part of the adapter's name (hico info lists them); default the first real GPU
  --small          small sizes: some seconds a part on a software adapter
  --out FOLDER     where the two files go; default gpu-battery
  --parts A,B      these parts only, by parts of their names: products,step
  --again          measure parts anew that are done
  --minutes N      time for all parts, default 8; what does not fit is left out by name
  --python FILE    the Python that has PyTorch; default python3
  --list           the parts, and how long each takes
  --help           this text

Examples
  npm run gpu-battery                                     everything, on the first real GPU
  npm run gpu-battery -- --adapter nvidia --out h100      that adapter, into the folder h100
  npm run gpu-battery -- --parts products --again         the products once more
  npm run gpu-battery -- --small --adapter swiftshader    a try without a GPU
`;

/** What --parts names: a part whose name is the word, or begins with it and a hyphen. */
const isNamed = (name: string, word: string): boolean => name === word || name.startsWith(`${word}-`);

const { values: options } = parseArgs({
  options: {
    adapter: { type: "string" },
    small: { type: "boolean", default: false },
    out: { type: "string", default: "gpu-battery" },
    parts: { type: "string" },
    again: { type: "boolean", default: false },
    minutes: { type: "string", default: "8" },
    python: { type: "string", default: "python3" },
    list: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

async function main(): Promise<void> {
  if (options.help) return console.log(HELP);
  const size = options.small ? "small" : "full";
  const all = partsOf(options.small);
  if (options.list) {
    for (const { name, title, seconds } of all) console.log(`${name.padEnd(22)} ${title}, about ${seconds[size]} s`);
    return;
  }
  const minutes = Number(options.minutes);
  if (!(minutes > 0)) throw new Error(`--minutes ${options.minutes}: it must be a number above 0`);
  const wanted = options.parts?.split(",").map((name) => name.trim());
  const unknown = wanted?.find((word) => !all.some(({ name }) => isNamed(name, word)));
  if (unknown !== undefined) {
    throw new Error(`--parts ${unknown}: no part is called so; there are ${all.map(({ name }) => name).join(", ")}`);
  }
  // Nobody means a software adapter by saying nothing, but for a try.
  const adapter = options.adapter ?? process.env.HICO_ADAPTER ?? (options.small ? "swiftshader" : undefined);
  const open = (): Promise<WebGpuDevice> => WebGpuDevice.open({ adapter, autotune: false });
  const first = await open();
  const { info } = first.gpu;
  first.close();
  if (info.isSoftware && !options.small) {
    throw new Error(
      `${info.device} computes on the CPU, where full sizes take hours; give --small, or name a GPU with --adapter`,
    );
  }
  const report: BatteryReport = {
    format: "hico-gpu-battery",
    generation: GENERATION,
    version: packageVersion,
    runtime: `Node ${process.versions.node}, ${process.platform}-${process.arch}`,
    small: options.small,
    adapter: info,
    begun: new Date().toISOString(),
    parts: [],
  };
  const line = new ProgressLine({ every: 5000 });
  const { parts } = await runBattery(report, {
    folder: options.out,
    parts: all.filter(({ name }) => wanted?.some((word) => isNamed(name, word)) ?? true),
    again: options.again,
    seconds: 60 * minutes,
    python: options.python,
    open,
    progress: (text, stays) => (stays ? line.print(text) : line.update(() => text)),
  });
  line.clear();
  console.log(`${jsonFile(options.out)}\n${pageFile(options.out)}`);
  if (parts.some(({ state }) => state === "failed")) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(`gpu-battery: ${(error as Error).message}`);
  process.exitCode = 1;
}
