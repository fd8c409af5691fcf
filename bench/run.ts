/**
 * The training-step benchmark: our engine and its peers on the same numbers, in one process, interleaved.
 *
 *     node --import tsx bench/run.ts [--workloads mlp,encoder,gru] [--engines NAME,…] [--rounds 5] [--sample-ms 250]
 *                                    [--adapter swiftshader|lavapipe|system] [--json FILE] [--svg FILE] [--list]
 *     npx deno run -A --unstable-webgpu bench/run.ts …
 *
 * Deno reads the TypeScript as it is and finds the packages in `node_modules`; it needs no other flag. The adapter is
 * SwiftShader in Node and lavapipe in Deno unless `--adapter` says otherwise; `--engines all` adds the slow ones.
 * Under Deno give it Mesa 22's lavapipe where there is a choice (`HICO_LAVAPIPE=/usr/share/vulkan/icd.d/lvp_icd….json`):
 * Mesa 25's compiles the same kernels about twenty times as long, and runs them no faster.
 *
 * Every engine must first show that it computes the workload: the first loss is held to a float64 reference, and the
 * losses and their fall over the following steps to the other engines. Then come rounds; in each, every engine runs
 * one sample, in an order that rotates, so that a busy moment of the machine falls on all. A sample is as many steps
 * as fill `--sample-ms`, then one read of the loss, which waits for the device. Reported are the best and the median
 * sample in milliseconds a step, the ratio to the first engine of the table (by default ours), and the WebGPU calls of
 * one steady step; `--svg` draws the medians. Exit code 1 if losses disagree or an engine fails.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { softwareDrivers } from "../src/device/software-vulkan.ts";
import { disagreements } from "./agreement.ts";
import { writeBarChart } from "./charts.ts";
import { countWebGpuCalls, type WebGpuCalls } from "./count-webgpu-calls.ts";
import { engines as allEngines } from "./engines/all.ts";
import type { Engine, TrainingRun } from "./engines/engine.ts";
import { referenceLoss } from "./reference-loss.ts";
import { type AdapterChoice, installWebGpu } from "./webgpu-environment.ts";
import { median } from "../src/bench/measure.ts";
import { type Workload, workload as makeWorkload, workloadNames } from "./workloads.ts";

/** Steps of the agreement check; also the warm-up. */
const CHECKED_STEPS = 4;
interface Result {
  engine: string;
  adapter: string;
  /** Preparation and first step, compilation included, in ms. */
  firstStepMs: number;
  /** The losses of the checked steps. */
  losses: number[];
  /** Milliseconds a step, one entry a round. */
  samples: number[];
  bestMs: number;
  medianMs: number;
  /** Time of this engine over that of the first of the table: above 1, the first is faster. */
  ratioBest: number;
  ratioMedian: number;
  calls?: WebGpuCalls;
  stats?: Record<string, number>;
}

interface Report {
  workload: string;
  flops: number;
  referenceLoss: number;
  results: Result[];
  failures: string[];
}

interface Contestant {
  engine: Engine;
  run: TrainingRun;
  stepsPerSample: number;
  result: Result;
}

const options = readOptions();
const failures: string[] = [];
const reports: Report[] = [];
const adapter = options.engines.some((engine) => engine.adapter === "webgpu") ? await describeAdapter() : "none";
console.log(`${runtime()}, adapter: ${adapter}`);
const engines = await availableOf(options.engines);
for (const name of options.workloads) {
  const report = await measure(makeWorkload(name), engines);
  printReport(report);
  reports.push(report);
  failures.push(...report.failures);
}
if (options.json) {
  writeFileSync(options.json, JSON.stringify({ runtime: runtime(), adapter, reports }, null, 1));
}
if (options.svg) {
  const names = [...new Set(reports.flatMap(({ results }) => results.map(({ engine }) => engine)))];
  writeBarChart(
    options.svg,
    `Training steps, ${runtime()}`,
    "median ms a step",
    reports.map(({ workload }) => workload),
    names.map((engine) => ({
      engine,
      values: reports.map(({ results }) => results.find((result) => result.engine === engine)?.medianMs ?? NaN),
    })),
  );
}
for (const failure of failures) console.error(`FAILED: ${failure}`);
process.exit(failures.length > 0 || reports.every((report) => report.results.length === 0) ? 1 : 0);

function readOptions() {
  const { values } = parseArgs({
    options: {
      workloads: { type: "string", default: workloadNames.join(",") },
      engines: { type: "string" },
      rounds: { type: "string", default: "5" },
      "sample-ms": { type: "string", default: "250" },
      adapter: { type: "string" },
      json: { type: "string" },
      svg: { type: "string" },
      list: { type: "boolean", default: false },
    },
  });
  if (values.list) {
    for (const { name, byDefault } of allEngines) console.log(name + (byDefault ? "" : " (only when named)"));
    process.exit(0);
  }
  const wanted = values.engines?.split(",");
  const known = allEngines.map(({ name }) => name);
  const unknown = wanted?.find((name) => name !== "all" && !known.includes(name));
  if (unknown !== undefined) fail(`--engines: there is no engine "${unknown}"; choose from ${known.join(", ")}, all`);
  const chosen = allEngines.filter(({ name, byDefault }) =>
    wanted ? wanted.includes(name) || wanted.includes("all") : byDefault,
  );
  const workloads = values.workloads.split(",");
  const misnamed = workloads.find((name) => !(workloadNames as readonly string[]).includes(name));
  if (misnamed !== undefined) fail(`--workloads: there is no "${misnamed}"; choose from ${workloadNames.join(", ")}`);
  const choices = [...softwareDrivers, "system"];
  if (values.adapter !== undefined && !choices.includes(values.adapter)) {
    fail(`--adapter: there is no "${values.adapter}"; choose from ${choices.join(", ")}`);
  }
  return {
    workloads,
    engines: chosen.map(({ make }) => make()),
    rounds: positive("--rounds", values.rounds),
    sampleMs: positive("--sample-ms", values["sample-ms"]),
    adapter: values.adapter as AdapterChoice | undefined,
    json: values.json,
    svg: values.svg,
  };
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value >= 1)) fail(`${option}: "${text}" is not a number of at least 1`);
  return value;
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

function runtime(): string {
  const { deno, node } = process.versions as { deno?: string; node: string };
  return deno ? `Deno ${deno}` : `Node ${node}`;
}

/** Requests the adapter that every engine will use and names it. */
async function describeAdapter(): Promise<string> {
  try {
    const info = await installWebGpu(options.adapter);
    return [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(" ");
  } catch (error) {
    return `none (${(error as Error).message})`;
  }
}

async function availableOf(wanted: readonly Engine[]): Promise<Engine[]> {
  const found: Engine[] = [];
  for (const engine of wanted) {
    const available = await engine.available();
    if (available === true) found.push(engine);
    else console.log(`skipped ${engine.name}: ${available}`);
  }
  return found;
}

async function measure(workload: Workload, wanted: readonly Engine[]): Promise<Report> {
  const report: Report = {
    workload: workload.name,
    flops: workload.flops,
    referenceLoss: referenceLoss(workload),
    results: [],
    failures: [],
  };
  const contestants: Contestant[] = [];
  for (const engine of wanted) {
    try {
      contestants.push(await enter(engine, workload));
    } catch (error) {
      report.failures.push(`${workload.name}, ${engine.name}: ${(error as Error).stack ?? error}`);
    }
  }
  report.failures.push(
    ...disagreements(
      report.referenceLoss,
      contestants.map(({ result }) => result),
    ).map((line) => `${workload.name}, ${line}`),
  );
  for (let round = 0; round < options.rounds; round++) {
    for (let i = 0; i < contestants.length; i++) {
      const { run, stepsPerSample, result } = contestants[(i + round) % contestants.length];
      result.samples.push(await sample(run, stepsPerSample));
    }
  }
  for (const { engine, run, result } of contestants) {
    if (engine.adapter === "webgpu") result.calls = await callsPerStep(run);
    result.stats = run.stats?.();
    result.bestMs = Math.min(...result.samples);
    result.medianMs = median(result.samples);
    const first = contestants[0].result;
    result.ratioBest = result.bestMs / first.bestMs;
    result.ratioMedian = result.medianMs / first.medianMs;
    report.results.push(result);
  }
  for (const { run } of contestants) await run.dispose();
  return report;
}

/** Prepares an engine and runs the steps that are checked. */
async function enter(engine: Engine, workload: Workload): Promise<Contestant> {
  const start = performance.now();
  const run = await engine.prepare(workload);
  const losses: number[] = [];
  let firstStepMs = 0;
  let stepMs = 0;
  for (let i = 0; i < CHECKED_STEPS; i++) {
    const stepStart = performance.now();
    await run.step();
    losses.push(await run.loss());
    stepMs = performance.now() - stepStart;
    if (i === 0) firstStepMs = performance.now() - start;
  }
  const stepsPerSample = Math.max(1, Math.round(options.sampleMs / stepMs));
  const result: Result = {
    engine: engine.name,
    adapter: engine.adapter,
    firstStepMs,
    losses,
    samples: [],
    bestMs: NaN,
    medianMs: NaN,
    ratioBest: NaN,
    ratioMedian: NaN,
  };
  return { engine, run, stepsPerSample, result };
}

/** Milliseconds a step over `steps` steps and one read of the loss. */
async function sample(run: TrainingRun, steps: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < steps; i++) await run.step();
  await run.loss();
  return (performance.now() - start) / steps;
}

/** WebGPU calls of one step: those of two steps and a read, less those of one step and a read. */
async function callsPerStep(run: TrainingRun): Promise<WebGpuCalls> {
  const counter = countWebGpuCalls();
  try {
    const counts: WebGpuCalls[] = [];
    for (const steps of [1, 2]) {
      counter.reset();
      await sample(run, steps);
      counts.push(counter.read());
    }
    const keys = Object.keys(counts[0]) as (keyof WebGpuCalls)[];
    return Object.fromEntries(keys.map((key) => [key, counts[1][key] - counts[0][key]])) as unknown as WebGpuCalls;
  } finally {
    counter.uninstall();
  }
}

function printReport(report: Report): void {
  const header = [
    "engine",
    "first ms",
    "best ms",
    "median ms",
    "× best",
    "× median",
    "GFLOP/s",
    "loss after",
    "dispatch",
    "submit",
    "buffer",
    "bind group",
    "pipeline",
    "write",
  ];
  const rows = report.results.map((r) => [
    r.engine,
    r.firstStepMs.toFixed(0),
    r.bestMs.toFixed(1),
    r.medianMs.toFixed(1),
    r.ratioBest.toFixed(2),
    r.ratioMedian.toFixed(2),
    (report.flops / r.bestMs / 1e6).toFixed(1),
    r.losses[CHECKED_STEPS - 1].toFixed(6),
    ...(r.calls
      ? [
          r.calls.dispatches,
          r.calls.submits,
          r.calls.buffers,
          r.calls.bindGroups,
          r.calls.pipelines,
          r.calls.writes,
        ].map(String)
      : []),
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  console.log(
    `\n${report.workload}: ${makeWorkload(report.workload).description}; ` +
      `loss ${report.referenceLoss.toFixed(6)} at the start`,
  );
  for (const row of [header, ...rows]) {
    console.log(
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join("  "),
    );
  }
}
