/**
 * Whether training computes the same bits everywhere: the weights of HiCo with each encoder after some steps, hashed, on
 * every Node given, Deno and Chromium, on 1, 2 and 3 threads, in vectors of 128 bits and in pairs of them.
 *
 *     node --import tsx scripts/same-bits.ts [--nodes NODE,NODE,…] [--steps 50] [--encoders gru,lstm,transformer]
 *
 * `--nodes` are executables besides this one; default the newest that scripts/node-versions.sh gets. Exit code 1 where a
 * hash differs. What cannot be had here is said to be left out.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs, promisify } from "node:util";
import { cached } from "../test/environments/cached.ts";
import { startChromium } from "../test/environments/chromium.ts";
import type { CpuTraining, CpuTrainingOptions } from "../test/environments/cpu-training.ts";
import { denoUnavailable, runInDeno } from "../test/environments/deno.ts";

const newest = cached("node/node_modules/node/bin/node");
const { values } = parseArgs({
  options: {
    nodes: { type: "string", default: existsSync(newest) ? newest : "" },
    steps: { type: "string", default: "50" },
    encoders: { type: "string", default: "gru,lstm,transformer" },
  },
});
const module = new URL("../test/environments/cpu-training.ts", import.meta.url);
const nodes = [process.execPath, ...values.nodes.split(",").filter(Boolean)];
const deno = denoUnavailable();
if (deno !== undefined) console.log(`left out: ${deno}`);
const browser = await startChromium();
if ("unavailable" in browser) console.log(`left out: ${browser.unavailable}`);

async function inNode(node: string, options: CpuTrainingOptions, wide: string): Promise<CpuTraining> {
  const code = `const { trainOnCpu } = await import(${JSON.stringify(module.href)});
    console.log(JSON.stringify(await trainOnCpu(${JSON.stringify(options)})));`;
  const args = ["--import", "tsx", "--input-type=module", "-e", code];
  const { stdout } = await promisify(execFile)(node, args, { env: { ...process.env, HICO_WASM_WIDE: wide } });
  return JSON.parse(stdout) as CpuTraining;
}

let differ = 0;
for (const encoder of values.encoders.split(",")) {
  let wanted: string | undefined;
  const compare = ({ bits, losses, wide }: CpuTraining, where: string): void => {
    const found = JSON.stringify([bits, losses]);
    wanted ??= found;
    if (found !== wanted) differ++;
    const hash = bits.reduce((h, b) => Math.imul(h ^ b, 0x01000193) >>> 0, 0x811c9dc5).toString(16);
    console.log(
      `${encoder.padEnd(12)} ${hash.padStart(8, "0")} ${found === wanted ? "same" : "OTHER"}  ${where}${wide ? ", wide" : ""}`,
    );
  };
  const options = (threads: number) =>
    ({ threads, encoder, steps: Number(values.steps), patience: 0 }) as CpuTrainingOptions;
  for (const node of nodes) {
    const { stdout: version } = await promisify(execFile)(node, ["--version"]);
    for (const threads of [1, 2, 3]) {
      for (const wide of ["0", "1"])
        compare(await inNode(node, options(threads), wide), `Node ${version.trim()}, ${threads} threads`);
    }
  }
  for (const threads of [1, 2, 3]) {
    if (deno === undefined)
      compare(await runInDeno<CpuTraining>(module, "trainOnCpu", options(threads)), `Deno, ${threads} threads`);
    if (!("unavailable" in browser))
      compare(
        await browser.run<CpuTraining>(module, "trainOnCpu", options(threads), { isolated: true }),
        `Chromium, ${threads} threads`,
      );
  }
}
if (!("unavailable" in browser)) await browser.close();
console.log(differ === 0 ? "all the same" : `${differ} differ`);
process.exit(differ === 0 ? 0 : 1);
