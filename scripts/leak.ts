/**
 * Does training keep its memory flat? Runs thousands of mlp steps and compares resident memory early and late.
 *
 *     node --import tsx scripts/leak.ts [--steps 10000] [--engine NAME] [--workload mlp] [--limit 2] [--json FILE]
 *
 * Resident memory is that of the whole process, so buffers of a software adapter count as well. It is read at step
 * 1,000 (a tenth of the steps if there are fewer than 10,000), when pools and caches have their size, and at the end,
 * each time after a garbage collection: what is left is held, not merely uncollected. The loss is read every 100 steps,
 * as a training loop would. Exit code 1 if the growth exceeds `--limit` per cent.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { engines } from "../bench/engines/all.ts";
import { workload } from "../bench/workloads.ts";

const { values } = parseArgs({
  options: {
    steps: { type: "string", default: "10000" },
    engine: { type: "string", default: engines[0].name },
    workload: { type: "string", default: "mlp" },
    limit: { type: "string", default: "2" },
    json: { type: "string" },
  },
});
const steps = Number(values.steps);
if (!Number.isInteger(steps) || steps < 100) stop(`--steps: "${values.steps}" is not a whole number of at least 100`);
const limit = Number(values.limit);
if (!(limit > 0)) stop(`--limit: "${values.limit}" is not a positive number of per cent`);
const entry = engines.find(({ name }) => name === values.engine);
if (!entry) stop(`--engine: there is no "${values.engine}"; choose from ${engines.map(({ name }) => name).join(", ")}`);
const engine = entry.make();
const available = await engine.available();
if (available !== true) stop(`${engine.name} cannot run here: ${available}`);

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const settled = Math.min(1000, steps / 10);
const run = await engine.prepare(workload(values.workload));
const samples: { step: number; megabytes: number }[] = [];
const start = performance.now();
for (let step = 1; step <= steps; step++) {
  await run.step();
  if (step % 100 === 0) {
    const loss = await run.loss();
    if (!Number.isFinite(loss)) stop(`the loss is ${loss} at step ${step}`);
  }
  if (step === settled || step % 1000 === 0 || step === steps) {
    const megabytes = await resident();
    samples.push({ step, megabytes });
    console.log(`step ${step}: ${megabytes.toFixed(1)} MB`);
  }
}
const seconds = (performance.now() - start) / 1000;
await run.dispose();

const early = samples.find(({ step }) => step === settled)!;
const late = samples[samples.length - 1];
const growth = 100 * (late.megabytes / early.megabytes - 1);
console.log(
  `${engine.name}, ${values.workload}: ${steps} steps in ${seconds.toFixed(0)} s; resident memory ` +
    `${early.megabytes.toFixed(1)} MB at step ${early.step}, ${late.megabytes.toFixed(1)} MB at step ${late.step}: ` +
    `${growth >= 0 ? "+" : ""}${growth.toFixed(2)} % (limit ${limit} %)`,
);
if (values.json) {
  writeFileSync(values.json, JSON.stringify({ engine: engine.name, steps, seconds, samples, growth, limit }, null, 1));
}
process.exit(growth <= limit ? 0 : 1);

/** Resident memory in MB once everything running has finished and garbage is gone. */
async function resident(): Promise<number> {
  await run.loss();
  // Finalizers of what a first collection frees run in a later turn and free more.
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return process.memoryUsage.rss() / 1e6;
}

function stop(message: string): never {
  console.error(message);
  process.exit(1);
}
