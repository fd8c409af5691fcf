/**
 * Fuzzes the readers of files:
 * `node --import tsx scripts/fuzz-io.ts --count 100000 --format FORMAT|all`; formats are the keys of `FUZZ_FORMATS`.
 *
 * Options: `--seed N` (default 1), `--index I` (only that input, and its bytes, for reproducing a failure),
 * `--limit-ms N` (longest time for one input, default 2000), `--limit-mb N` (most memory one run may add, default 400).
 * The inputs and what they must do are in test/io/fuzzing.ts. Fails on any error but `FormatError` and `DataError`, on an input that
 * takes longer than the limit, and when peak memory grows past it. A child
 * process reads; this one watches that it goes on.
 */
import { fork } from "node:child_process";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FUZZ_FORMATS, fuzzInput, readFuzzInput, type FuzzFormat } from "../test/io/fuzzing.ts";

interface Job {
  readonly format: FuzzFormat;
  readonly seed: number;
  readonly count: number;
  readonly limitMs: number;
  readonly limitMb: number;
}

/** Inputs between two signs of life of the child. */
const CHUNK = 500;

interface Progress {
  readonly next: number;
}

interface Report {
  readonly read: number;
  readonly refused: number;
  /** Refusals by their text with numbers and quotations removed: how much of the readers' checks was reached. */
  readonly distinctFaults: number;
  readonly slowestMs: number;
  readonly slowestIndex: number;
  readonly peakGrowthMb: number;
  readonly seconds: number;
  readonly failure?: string;
}

function peakMb(): number {
  return process.resourceUsage().maxRSS / 1024;
}

async function fuzz(job: Job, signal: (progress: Progress) => void): Promise<Report> {
  const { format, seed, count, limitMs, limitMb } = job;
  const faults = new Set<string>();
  let read = 0;
  let slowestMs = 0;
  let slowestIndex = 0;
  let failure: string | undefined;
  // Warm up compilation and the heap, so that the peak before the run is that of the program itself.
  for (let index = 0; index < 200; index++) readQuietly(format, seed + 1, index);
  const basePeak = peakMb();
  const started = performance.now();
  for (let index = 0; index < count && failure === undefined; index++) {
    if (index % CHUNK === 0) {
      signal({ next: index });
      // Lets the message out; the readers are synchronous.
      await setImmediate();
    }
    const bytes = fuzzInput(format, seed, index);
    const before = performance.now();
    try {
      const fault = readFuzzInput(format, bytes);
      if (fault === undefined) read++;
      else faults.add(fault.replace(/"(?:[^"\\]|\\.)*"/g, "…").replace(/-?\d+/g, "#"));
    } catch (error) {
      failure = `input ${index} (${bytes.length} bytes): ${(error as Error).stack}`;
    }
    const elapsed = performance.now() - before;
    if (elapsed > slowestMs) [slowestMs, slowestIndex] = [elapsed, index];
    if (elapsed > limitMs) failure ??= `input ${index} (${bytes.length} bytes) took ${elapsed.toFixed(0)} ms`;
    if (peakMb() - basePeak > limitMb) failure ??= `input ${index}: peak memory grew by more than ${limitMb} MB`;
  }
  return {
    read,
    refused: count - read,
    distinctFaults: faults.size,
    slowestMs,
    slowestIndex,
    peakGrowthMb: peakMb() - basePeak,
    seconds: (performance.now() - started) / 1000,
    failure,
  };
}

function readQuietly(format: FuzzFormat, seed: number, index: number): void {
  try {
    readFuzzInput(format, fuzzInput(format, seed, index));
  } catch {
    // The run itself reports failures.
  }
}

/** Runs a job in a child process; rejects when it gives no sign of life for as long as a chunk could take. */
function runWatched(job: Job): Promise<Report> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), ["--child"]);
    let next = 0;
    let watch: NodeJS.Timeout | undefined;
    const restart = (): void => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`${job.format}: no end of an input in ${next}..${next + CHUNK - 1} within 60 s`));
      }, 60_000);
    };
    restart();
    child.on("message", (message: Progress | Report) => {
      if ("next" in message) {
        next = message.next;
        restart();
      } else {
        resolve(message);
      }
    });
    child.once("error", reject);
    child.once("exit", (code, killed) => {
      clearTimeout(watch);
      reject(
        new Error(`${job.format}: the reader ended (${killed ?? code}) at an input in ${next}..${next + CHUNK - 1}`),
      );
    });
    child.send(job);
  });
}

function serve(): void {
  process.once("message", async (job: Job) => {
    const report = await fuzz(job, (progress) => process.send?.(progress));
    process.send?.(report, () => process.disconnect());
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      count: { type: "string", default: "100000" },
      format: { type: "string", default: "all" },
      seed: { type: "string", default: "1" },
      index: { type: "string" },
      "limit-ms": { type: "string", default: "2000" },
      "limit-mb": { type: "string", default: "400" },
    },
  });
  const formats = FUZZ_FORMATS.filter((format) => values.format === "all" || values.format === format);
  if (formats.length === 0) throw new Error(`--format ${values.format}: use ${FUZZ_FORMATS.join(", ")} or all`);
  const seed = Number(values.seed);
  for (const format of formats) {
    if (values.index !== undefined) {
      const bytes = fuzzInput(format, seed, Number(values.index));
      console.log(`${format}, ${bytes.length} bytes, base64: ${Buffer.from(bytes).toString("base64")}`);
      console.log(readFuzzInput(format, bytes) ?? "read");
      continue;
    }
    const report = await runWatched({
      format,
      seed,
      count: Number(values.count),
      limitMs: Number(values["limit-ms"]),
      limitMb: Number(values["limit-mb"]),
    });
    console.log(
      `${format}: seed ${seed}, ${values.count} inputs in ${report.seconds.toFixed(1)} s: ${report.read} read, ` +
        `${report.refused} refused (${report.distinctFaults} kinds of fault); ` +
        `slowest ${report.slowestMs.toFixed(1)} ms ` +
        `(input ${report.slowestIndex}); peak memory +${report.peakGrowthMb.toFixed(0)} MB`,
    );
    if (report.failure !== undefined) {
      console.error(`${format}: FAILED: ${report.failure}\nreproduce: --format ${format} --seed ${seed} --index N`);
      process.exitCode = 1;
    }
  }
}

if (process.argv[2] === "--child") serve();
else await main();
