/**
 * Kills pretraining at random moments, resumes it, and compares the end with an uninterrupted run, bit for bit:
 *
 *     node --import tsx scripts/kill-resume.ts [--kills 100] [--device cpu] [--encoder gru] [--seed 1]
 *
 * A run is killed (SIGKILL) and resumed until it gets to its end; then the next one begins, until there were as many
 * kills as asked for. After every kill all checkpoints must be readable. Exit code 1 at the first difference.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { generatedSource } from "../src/data/sources/generated.ts";
import { prepareStore } from "../src/data/sources/prepare.ts";
import { RunFolder } from "../src/hico/run/folder.ts";
import { readSafetensors } from "../src/io/safetensors.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "100" },
    device: { type: "string", default: "auto" },
    encoder: { type: "string", default: "gru" },
    seed: { type: "string", default: "1" },
    epochs: { type: "string", default: "30" },
  },
});
const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "hico-kill-"));
const data = join(folder, "data.clips");
await prepareStore(generatedSource({ subjects: 2, repetitions: 2 }), data);

const ARGS = [
  "--data",
  data,
  "--encoder",
  values.encoder,
  "--hidden",
  "8",
  "--heads",
  "2",
  "--projection",
  "4",
  "--queue",
  "16",
  "--granularity",
  "2",
  "--batch",
  "4",
  "--frames",
  "16",
  "--min-frames",
  "8",
  "--epochs",
  values.epochs,
  "--save-every",
  "1",
  "--log-every",
  "3",
  "--seed",
  "3",
  "--dropout",
  "0.2",
  "--device",
  values.device,
];

interface Outcome {
  readonly ended: boolean;
  /** From the first line of a run, after which training begins, to the end. */
  readonly training: number;
}

/** Runs or resumes, and kills `after` milliseconds: from the start of training, or of the process. */
function pretrain(run: string, after?: number, from: "training" | "process" = "training"): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let began = performance.now();
    let errors = "";
    let timer: NodeJS.Timeout | undefined;
    const child = spawn(
      process.execPath,
      ["--import", import.meta.resolve("tsx"), main, "pretrain", "--run", run, "--resume", ...ARGS],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    const arm = (): void => {
      if (after !== undefined) timer ??= setTimeout(() => child.kill("SIGKILL"), after);
    };
    if (from === "process") arm();
    child.stderr.on("data", (text: Buffer) => {
      if (!errors.includes("steps an epoch") && (errors += text.toString()).includes("steps an epoch")) {
        began = performance.now();
        arm();
      } else errors += text.toString();
    });
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (code !== 0 && signal !== "SIGKILL") reject(new Error(`pretraining ended with code ${code}:\n${errors}`));
      else resolve({ ended: code === 0, training: performance.now() - began });
    });
  });
}

/** A generator of its own (mulberry32), so that a run of this script can be repeated. */
let state = Number(values.seed);
function uniform(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

function lastCheckpoint(run: string): Buffer {
  return readFileSync(new RunFolder(run).checkpoint("last"));
}

function epochLines(run: string): string {
  const lines = readFileSync(join(run, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  return JSON.stringify(lines.map(({ kind, step, loss, parts, accuracy }) => ({ kind, step, loss, parts, accuracy })));
}

try {
  const whole = join(folder, "whole");
  const { training } = await pretrain(whole);
  const expected = lastCheckpoint(whole);
  const expectedLines = epochLines(whole);
  const wanted = Number(values.kills);
  let kills = 0;
  let runs = 0;
  let withCheckpoints = 0;
  while (kills < wanted) {
    const run = join(folder, `run${runs++}`);
    for (let ended = false; !ended; ) {
      // Anywhere in the time that training takes, so that most resumes have something to go on from; one in eight
      // anywhere in the time before it.
      const early = uniform() < 1 / 8;
      const after = kills < wanted ? training * uniform() * (early ? 1 : 0.7) : undefined;
      const result = await pretrain(run, after, early ? "process" : "training");
      ended = result.ended;
      if (ended) break;
      kills++;
      const saved = new RunFolder(run).checkpoints();
      for (const { path } of saved) readSafetensors(path);
      if (saved.length > 0) withCheckpoints++;
      process.stderr.write(`\r${kills} kills, ${runs} runs`);
    }
    if (!lastCheckpoint(run).equals(expected))
      throw new Error(`run ${runs} ended with another checkpoint after being killed`);
    if (epochLines(run) !== expectedLines) throw new Error(`run ${runs} ended with other metrics after being killed`);
    rmSync(run, { recursive: true });
  }
  process.stderr.write("\n");
  console.log(
    `${kills} kills over ${runs} runs of ${values.encoder} (${withCheckpoints} with checkpoints to go on from): ` +
      `every resume succeeded, every run ended bit-identical to the uninterrupted one, no checkpoint was unreadable`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
