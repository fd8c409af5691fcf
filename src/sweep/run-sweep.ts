/**
 * Runs a sweep on this machine: every run is a chain of ordinary `hico` commands in child processes, several runs side
 * by side. What is finished is kept, what was interrupted or killed goes on from its last checkpoint.
 */
import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CommandOptions, RunStage } from "./commands.ts";
import { stagesOf } from "./commands.ts";
import { writeSweepFiles } from "./files.ts";
import type { Grid, SweepRun } from "./grid.ts";
import type { RunResult, SweepSummary } from "./results.ts";
import { readResult, summarize } from "./results.ts";

interface SweepOptions extends CommandOptions {
  readonly grid: Grid;
  /** Runs side by side. Default 1. */
  readonly jobs?: number;
  /** Program and arguments that the arguments of `hico` follow. */
  readonly program: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  /** Adapters, by name, that runs side by side are spread over: the first run takes the first, the second one the second. */
  readonly adapters?: readonly string[];
  /** Interrupts the runs under way, which save what they have, and starts no more. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: SweepEvent) => void;
}

export interface SweepProgress {
  readonly done: number;
  readonly failed: number;
  readonly total: number;
  /** Runs under way by name: what they are at, and which part of it is done where that is known. */
  readonly active: ReadonlyMap<string, { readonly stage: RunStage["kind"]; readonly part?: number }>;
}

export type SweepEvent =
  | { readonly kind: "progress"; readonly progress: SweepProgress }
  | { readonly kind: "finished"; readonly result: RunResult }
  | { readonly kind: "failed"; readonly failure: SweepFailure };

interface SweepFailure {
  readonly run: string;
  readonly stage: string;
  readonly message: string;
  readonly log: string;
}

export interface SweepOutcome {
  readonly summary: SweepSummary;
  readonly failures: readonly SweepFailure[];
  /** Whether it was stopped before its end. */
  readonly interrupted: boolean;
}

export async function runSweep(options: SweepOptions): Promise<SweepOutcome> {
  const { grid, folder, jobs = 1, signal, onEvent } = options;
  mkdirSync(join(folder, "logs"), { recursive: true });
  // All of them now: a folder of other settings is told before anything is run.
  const results = new Map(grid.runs.map((run) => [run.name, readResult(grid, run, folder)]));
  const waiting = grid.runs.filter((run) => results.get(run.name)!.state !== "done");
  const failures: SweepFailure[] = [];
  const active = new Map<string, { readonly stage: RunStage["kind"]; readonly part?: number }>();
  const count = (): number => [...results.values()].filter(({ state }) => state === "done").length;
  const progress = (): void => {
    onEvent?.({
      kind: "progress",
      progress: { done: count(), failed: failures.length, total: grid.runs.length, active },
    });
  };
  const write = (): SweepSummary => {
    const summary = summarize(grid, [...results.values()], folder);
    writeSweepFiles(summary);
    return summary;
  };
  const work = async (place: number): Promise<void> => {
    const adapter = options.adapters?.[place % options.adapters.length];
    const environment =
      adapter === undefined ? options.environment : { ...(options.environment ?? process.env), HICO_ADAPTER: adapter };
    for (let run = waiting.shift(); run && !signal?.aborted; run = waiting.shift()) {
      const failure = await perform(run, { ...options, environment }, (stage, part) => {
        active.set(run.name, { stage, part });
        progress();
      });
      active.delete(run.name);
      const result = readResult(grid, run, folder);
      results.set(run.name, result);
      if (signal?.aborted) return;
      if (failure) failures.push(failure);
      onEvent?.(failure ? { kind: "failed", failure } : { kind: "finished", result });
      write();
      progress();
    }
  };
  progress();
  await Promise.all(Array.from({ length: Math.min(jobs, waiting.length) }, (_, place) => work(place)));
  return { summary: write(), failures, interrupted: signal?.aborted ?? false };
}

/** What is left of a run's stages, one after the other. */
async function perform(
  run: SweepRun,
  options: SweepOptions,
  onProgress: (stage: RunStage["kind"], part?: number) => void,
): Promise<SweepFailure | undefined> {
  const log = join(options.folder, "logs", `${run.name}.log`);
  for (const { kind } of stagesOf(options.grid, run, options)) {
    // Asked anew: an evaluation may be of an earlier state than pretraining has now.
    const stage = stagesOf(options.grid, run, options).find((each) => each.kind === kind)!;
    if (stage.done) continue;
    onProgress(kind);
    const { code, complaint } = await command(stage, log, options, (line) => {
      const [, step, steps] = /step (\d+)\/(\d+)/.exec(line) ?? [];
      if (steps !== undefined) onProgress(kind, Number(step) / Number(steps));
    });
    if (options.signal?.aborted) return undefined;
    if (code !== 0) return { run: run.name, stage: kind, message: complaint, log };
  }
  return undefined;
}

interface Ended {
  readonly code: number | null;
  /** What the command said was wrong, else its last line on standard error. */
  readonly complaint: string;
}

function command(
  { args }: RunStage,
  log: string,
  options: SweepOptions,
  onLine: (line: string) => void,
): Promise<Ended> {
  const {
    program: [program, ...first],
    environment,
    signal,
  } = options;
  return new Promise((done, fail) => {
    const out = createWriteStream(log, { flags: "a" });
    out.write(`$ hico ${args.join(" ")}\n`);
    // A group of its own, so that a terminal's Ctrl-C reaches it once, through us; and a channel, at whose end it ends:
    // nothing of a sweep that is killed goes on writing into folders that the next one takes up.
    const child = spawn(program, [...first, ...args], {
      env: environment,
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const interrupt = (): void => void child.kill("SIGINT");
    signal?.addEventListener("abort", interrupt);
    if (signal?.aborted) interrupt();
    let [rest, last, complaint] = ["", "", ""];
    child.stdout!.on("data", (bytes: Buffer) => void out.write(bytes));
    child.stderr!.on("data", (bytes: Buffer) => {
      out.write(bytes);
      const lines = (rest + bytes.toString()).split("\n");
      rest = lines.pop()!;
      for (const line of lines) {
        if (line.trim() !== "") last = line;
        if (line.startsWith("hico: ")) complaint = line.slice("hico: ".length);
        onLine(line);
      }
    });
    child.on("error", fail);
    child.on("close", (code, killedBy) => {
      signal?.removeEventListener("abort", interrupt);
      out.end();
      done({ code, complaint: killedBy ? `ended by ${killedBy}` : complaint || last });
    });
  });
}
