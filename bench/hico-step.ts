/**
 * HiCo pretraining steps against PyTorch on the same cores or the same GPU: batch 64, K 2048, widths 128 and 512, each
 * encoder; the model of `src/hico` and of `bench/torch/hico_step.py`, from the same weights on the same batch.
 *
 *     node --import tsx bench/hico-step.ts [--device cpu|webgpu] [--encoders gru,lstm,transformer] [--widths 128,512]
 *                                          [--rounds 5] [--threads 2] [--python /usr/bin/python3] [--json FILE]
 *                                          [--svg FILE]
 *
 * `--device cpu` is held to PyTorch on the CPU, `--device webgpu` to PyTorch with CUDA, both in float32 (TF32 off). Both
 * first compute the loss without dropout, and must agree to 1e-3. Then come rounds: some samples of ours, some of
 * PyTorch's, by turns, so that a busy moment of the machine falls on both; the median of all samples counts. A sample
 * is one step on a CPU and twenty on a GPU, where reading a loss waits for everything before it. PyTorch runs in a
 * process of its own that waits for its turn. On a CPU it needs Debian's python3-torch and libopenblas0-pthread; where
 * PyTorch is missing this says so and ends. Exit code 1 if the losses disagree.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { device as openDevice } from "../src/device/index.ts";
import type { EncoderName } from "../src/hico/index.ts";
import { setDefaultDevice } from "../src/tensor/index.ts";
import { writeBarChart } from "./charts.ts";
import { trainAlone } from "./hico-alone.ts";
import { hicoProblem } from "./hico-problem.ts";
import { BATCH, QUEUE } from "./hico-shapes.ts";
import { greetTorch, openTorch } from "./torch-peer.ts";
import { median } from "../src/bench/measure.ts";

/** Samples of a turn, and steps of a sample. */
const SAMPLES = 3;
const STEPS = { cpu: 1, webgpu: 20 } as const;
/** Pause before a turn, in which the other side's threads go to sleep. */
const PAUSE = 300;
const LOSS_TOLERANCE = 1e-3;

interface Row {
  encoder: string;
  width: number;
  oursMs: number;
  torchMs: number;
  ratio: number;
  /** Time of the cores a step, the least of all rounds: what counts where others use the machine too. */
  oursCpuMs: number;
  torchCpuMs: number;
  oursLoss: number;
  torchLoss: number;
  oursFirstMs: number;
  torchPeakMb: number;
  /** On the CPU: of a process that only trains. */
  oursPeakMb?: number;
}

const { values: options } = parseArgs({
  options: {
    device: { type: "string", default: "cpu" },
    encoders: { type: "string", default: "gru,lstm,transformer" },
    widths: { type: "string", default: "128,512" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    python: { type: "string", default: "/usr/bin/python3" },
    json: { type: "string" },
    svg: { type: "string" },
  },
});
const threads = Number(options.threads);
const rounds = Number(options.rounds);
if (options.device !== "cpu" && options.device !== "webgpu") {
  throw new Error(`--device is "${options.device}"; it must be cpu or webgpu`);
}
const where = options.device;
const peer = where === "cpu" ? "cpu" : "cuda";

const greeting = await greetTorch(options.python!, threads);
if (greeting === undefined || (peer === "cuda" && !greeting.cuda)) {
  console.log(
    greeting !== undefined
      ? `skipped: PyTorch of ${options.python} sees no GPU`
      : `skipped: ${options.python} has no torch; apt-get install python3-torch libopenblas0-pthread`,
  );
  process.exit(0);
}
console.log(
  `PyTorch ${greeting.torch} (${peer}) and ours (${where}), batch ${BATCH}, K ${QUEUE}` +
    (where === "cpu" ? `, ${threads} threads each` : ""),
);

const folder = mkdtempSync(join(tmpdir(), "hico-step-"));
const rows: Row[] = [];
let failed = false;
try {
  for (const width of options.widths.split(",").map(Number)) {
    for (const encoder of options.encoders.split(",") as EncoderName[]) {
      const row = await measure(encoder, width);
      rows.push(row);
      const agree = Math.abs(row.oursLoss - row.torchLoss) <= LOSS_TOLERANCE * Math.abs(row.torchLoss);
      failed ||= !agree;
      const figures = [
        `ours ${row.oursMs.toFixed(1)} ms`,
        `PyTorch ${row.torchMs.toFixed(1)} ms`,
        `ratio ${row.ratio.toFixed(2)}`,
        `core time ${row.oursCpuMs.toFixed(0)} and ${row.torchCpuMs.toFixed(0)} ms`,
        `first step ${row.oursFirstMs.toFixed(0)} ms`,
        ...(row.oursPeakMb === undefined
          ? []
          : [`peak ${row.oursPeakMb.toFixed(0)} and ${row.torchPeakMb.toFixed(0)} MB`]),
      ];
      console.log(
        `${encoder.padEnd(12)} d ${String(width).padEnd(4)} ${figures.join("  ")}  ` +
          `loss ${row.oursLoss.toFixed(5)} and ${row.torchLoss.toFixed(5)}${agree ? "" : "  DISAGREE"}`,
      );
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
const mean = Math.exp(rows.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / rows.length);
console.log(`geometric mean of the ratios: ${mean.toFixed(2)}`);
if (options.json) {
  writeFileSync(options.json, JSON.stringify({ torch: greeting.torch, device: where, threads, mean, rows }, null, 1));
}
if (options.svg) {
  writeBarChart(
    options.svg,
    `HiCo pretraining steps, batch ${BATCH}, K ${QUEUE}`,
    "median ms a step",
    rows.map(({ encoder, width }) => `${encoder}, d ${width}`),
    [
      { engine: `${where} device`, values: rows.map(({ oursMs }) => oursMs) },
      { engine: `PyTorch ${greeting.torch} (${peer})`, values: rows.map(({ torchMs }) => torchMs) },
    ],
  );
}
process.exit(failed ? 1 : 0);

async function measure(encoder: EncoderName, hidden: number): Promise<Row> {
  const torch = openTorch(options.python!, threads);
  // On a CPU its start would take from ours; beside a GPU it need not be waited for.
  if (where === "cpu") await torch.ask({ do: "hello" });
  const device = await openDevice(where, { threads });
  setDefaultDevice(device);
  const problem = await hicoProblem({ encoder, hidden, batch: BATCH, queue: QUEUE });
  const { inputs } = problem;
  const files = problem.writeFiles(folder);
  const oursLoss = await (await problem.trainer(0).step(inputs)).loss.item();
  const trainer = problem.trainer();
  const start = performance.now();
  await (await trainer.step(inputs)).loss.item();
  const oursFirstMs = performance.now() - start;

  try {
    await torch.ask({
      do: "open",
      encoder,
      hidden,
      queue: QUEUE,
      ...files,
      threads,
      device: peer,
    });
    const torchLoss = Number((await torch.ask({ do: "loss" })).loss);
    await torch.ask({ do: "steps", count: 1, each: 1 });
    const ours: number[] = [];
    const theirs: number[] = [];
    let torchPeakMb = 0;
    let [oursCpuMs, torchCpuMs] = [Infinity, Infinity];
    for (let round = 0; round <= rounds; round++) {
      await pause();
      const mine: number[] = [];
      const before = process.cpuUsage();
      for (let i = 0; i < SAMPLES; i++) {
        const from = performance.now();
        for (let step = 1; step < STEPS[where]; step++) (await trainer.step(inputs)).loss.dispose();
        await (await trainer.step(inputs)).loss.item();
        mine.push((performance.now() - from) / STEPS[where]);
      }
      const used = process.cpuUsage(before);
      await pause();
      const answer = await torch.ask({ do: "steps", count: SAMPLES, each: STEPS[where] });
      torchPeakMb = Number(answer.peak) / 2 ** 20;
      // The first round warms both up.
      if (round === 0) continue;
      ours.push(...mine);
      theirs.push(...(answer.ms as number[]));
      oursCpuMs = Math.min(oursCpuMs, (used.user + used.system) / 1e3 / SAMPLES / STEPS[where]);
      torchCpuMs = Math.min(torchCpuMs, Number(answer.cpu));
    }
    const [oursMs, torchMs] = [median(ours), median(theirs)];
    const oursPeakMb = where === "cpu" ? trainAlone(encoder, hidden, { threads }).peakMb : undefined;
    return {
      encoder,
      width: hidden,
      oursMs,
      torchMs,
      ratio: torchMs / oursMs,
      oursCpuMs,
      torchCpuMs,
      oursLoss,
      torchLoss,
      oursFirstMs,
      torchPeakMb,
      oursPeakMb,
    };
  } finally {
    torch.close();
    device.close();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, PAUSE));
}
