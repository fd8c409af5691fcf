/** `hico bench`: what this machine's devices do, against the bounds that hold and against other libraries. */
import { readFileSync } from "node:fs";
import { CASES } from "../bench/cases.ts";
import { benchDevice } from "../bench/measure.ts";
import { benchPeers } from "../bench/peers.ts";
import { benchChart, type BenchReport, benchTable, parseReport } from "../bench/report.ts";
import { gpuChoices } from "../device/asked.ts";
import { openDevice } from "./device.ts";
import { writeTextAtomic } from "../io/byte-sink.ts";
import { defineHicoCommand, packageVersion } from "./command.ts";
import { DEVICE_ARGS, deviceOptions, FORCE_ARG, requireNew } from "./options.ts";

export default defineHicoCommand({
  examples: [
    "hico bench                             every real GPU, and cpu",
    "hico bench --device cpu --threads 1    one device",
    "hico bench --quick                     small sizes, a few seconds",
    "hico bench --json before.json          kept, to be compared with:",
    "hico bench --against before.json       how many times as fast as then",
  ],
  args: {
    ...DEVICE_ARGS,
    only: { type: "string", description: "Cases by parts of their names, with commas: product,step" },
    quick: { type: "boolean", description: "Small sizes and short samples" },
    peers: {
      type: "boolean",
      default: true,
      negativeDescription: "Leave other libraries out",
      description: "Other libraries where they are installed",
    },
    json: { type: "string", description: "Write the results to this file" },
    svg: { type: "string", description: "Draw the shares of the bounds into this file" },
    against: { type: "string", description: "A file of --json to compare with" },
    ...FORCE_ARG,
  },
  run: async ({ args }) => {
    const quick = args.quick ?? false;
    for (const file of [args.json, args.svg]) requireNew(file, args.force);
    const against = args.against ? parseReport(readFileSync(args.against, "utf8"), args.against, quick) : undefined;
    const wanted = (args.only ?? "").split(",").filter((part) => part !== "");
    const cases = CASES.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
    if (cases.length === 0) {
      throw new Error(`--only ${args.only}: no case is called so; there are ${CASES.map((c) => c.name).join(", ")}`);
    }
    const sampling = quick ? { samples: 3, each: 20 } : { samples: 7, each: 250 };
    const one = args.device !== undefined || args.adapter !== undefined;
    const choices = one ? [args.adapter] : [...(await gpuChoices()), undefined];
    const results = [];
    for (const adapter of choices) {
      const kind = one ? args.device : adapter === undefined ? "cpu" : "webgpu";
      const opened = await openDevice(kind, { ...deviceOptions(args), adapter });
      const tell = (name: string): void => void (process.stderr.isTTY && console.error(`${opened.name}: ${name}`));
      results.push(await benchDevice(opened, cases, quick, sampling, tell));
      opened.close();
    }
    const [product] = cases.filter(({ name }) => name === "product");
    if (args.peers && product) {
      results.push(...(await benchPeers(product, quick, sampling, (text) => console.error(`hico: ${text}`))));
    }
    console.log(benchTable(results, against));
    const runtime = `Node ${process.versions.node}, ${process.platform}-${process.arch}`;
    const report: BenchReport = { format: "hico-bench", version: packageVersion, runtime, quick, results };
    if (args.json) writeTextAtomic(args.json, `${JSON.stringify(report, null, 2)}\n`);
    if (args.svg) writeTextAtomic(args.svg, benchChart(results));
  },
});
