/** `hico sweep`: a grid of pretraining runs, judged, and the table of what came of them. */
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defaultWorkers } from "../data/batches/loader.ts";
import type { Grid, SweepEvent, SweepProgress } from "../sweep/index.ts";
import {
  arrayTasks,
  kubernetesJob,
  readGrid,
  readResult,
  runSweep,
  shellLine,
  slurmScripts,
  SORT_ORDERS,
  stagesOf,
  summarize,
  tableNote,
  tableRows,
  TASKS_FILE,
  taskScript,
  writeSweepFile,
  writeSweepFiles,
} from "../sweep/index.ts";
import { flagOf } from "../hico/run/settings.ts";
import { environmentVariable } from "../device/environment.ts";
import { gpuChoices } from "../device/asked.ts";
import { defineHicoCommand } from "./command.ts";
import { choiceOption, DEVICE_ARGS, givenSettings, JSON_ARG, settingArgs, wholeOption } from "./options.ts";
import { interruption } from "./process-life.ts";
import { bar, formatTable, percent, ProgressLine } from "./progress.ts";

/** The command's own program, beside this file. */
const MAIN = fileURLToPath(import.meta.url).replace(/sweep(\.\w+)$/, "main$1");

export default defineHicoCommand({
  examples: [
    "hico sweep examples/sweeps/ablation-levels.json --data nw-ucla.clips    everything in sweeps/ablation-levels; again, it goes on",
    "hico sweep grid.json --data nw-ucla.clips --jobs 2                      two runs side by side",
    "hico sweep grid.json --data nw-ucla.clips --jobs auto                   one run on each GPU",
    "hico sweep grid.json --data nw-ucla.clips --hold-out 9,10               chosen on held-out training subjects",
    "hico sweep grid.json --data nw-ucla.clips --table --sort linear         what is finished so far, the best first",
    "hico sweep grid.json --data nw-ucla.clips --dry-run                     the runs and their commands",
    "hico sweep grid.json --data nw-ucla.clips --emit slurm --jobs 8         a job array's script, eight tasks at once",
  ],
  args: {
    grid: { type: "positional", description: "The grid, as JSON", required: true },
    folder: { type: "string", description: "Where runs, logs, table and plot go (sweeps/NAME of the grid)" },
    jobs: {
      type: "string",
      description: "Runs side by side (1), or auto: one on each GPU; cores are shared between them, GPUs taken in turn",
    },
    table: { type: "boolean", description: "Print the table of what is finished, and run nothing" },
    sort: { type: "string", description: `Order of the table: ${SORT_ORDERS.join(", ")} (grid)` },
    "dry-run": { type: "boolean", description: "List runs and commands, and run nothing" },
    emit: { type: "string", description: "Write a cluster's job in place of running: slurm or k8s" },
    image: {
      type: "string",
      default: "hico-webgpu",
      description: "With --emit k8s: the image of the tasks, with Node, libvulkan and this package (docs/clusters.md)",
    },
    claim: {
      type: "string",
      default: "hico",
      description: "With --emit k8s: the volume claim that holds package, data and runs",
    },
    ...settingArgs(),
    ...DEVICE_ARGS,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const order = choiceOption("sort", args.sort, SORT_ORDERS);
    const cluster = choiceOption("emit", args.emit, ["slurm", "k8s"]);
    // Finding adapters loads WebGPU: a table, a list and a cluster's script with a number of jobs need none.
    const needsNone = args.table || args["dry-run"] || (cluster !== undefined && args.jobs !== "auto");
    const adapters = needsNone ? [] : await adaptersToSpreadOver(args);
    const jobs = args.jobs === "auto" ? Math.max(1, adapters.length) : wholeOption("jobs", args.jobs);
    const grid = readGrid(args.grid, givenSettings(args));
    const folder = args.folder ?? join("sweeps", grid.name);
    const common = Object.keys(DEVICE_ARGS).flatMap((name) => {
      const value = args[name as keyof typeof DEVICE_ARGS];
      return value === undefined ? [] : [`--${name}=${value}`];
    });
    const print = (words: () => string, value: unknown): void =>
      console.log(args.json ? JSON.stringify(value, null, 2) : words());

    if (cluster !== undefined) {
      // Where the device is left open, a task that finds no GPU computes on its cores.
      const gpu = args.device === "webgpu";
      const own = [process.execPath, ...process.execArgv, MAIN];
      const threads = wholeOption("threads", args.threads);
      const options = { folder, common, jobs, gpu, threads, program: own, image: args.image, claim: args.claim };
      if (grid.runs.some(({ settings }) => settings.data === ""))
        throw new Error("no data is named, and every task would end with this; give the clip store with --data");
      const scripts: readonly (readonly [name: string, text: string])[] =
        cluster === "slurm"
          ? slurmScripts(grid, options, arrayTasks(slurmConfig())).map((text, i) => [
              i === 0 ? "sweep.slurm.sh" : `sweep.slurm-${i + 1}.sh`,
              text,
            ])
          : [["sweep.k8s.json", kubernetesJob(grid, options)]];
      // Slurm does not make the folder of its logs.
      writeSweepFile(join(folder, "logs"), ".keep", "");
      writeSweepFile(folder, TASKS_FILE, taskScript(grid, options));
      // Arrays of a larger grid that was emitted here before.
      if (cluster === "slurm")
        for (const name of readdirSync(folder)) if (/^sweep\.slurm-\d+\.sh$/.test(name)) rmSync(join(folder, name));
      const paths = scripts.map(([name, text]) => writeSweepFile(folder, name, text));
      const submit = cluster === "slurm" ? "sbatch" : "kubectl apply -f";
      const tasks = grid.runs.length;
      const given = Object.entries(givenSettings(args)).map(([name, value]) => `--${flagOf(name)}=${String(value)}`);
      const table = shellLine(["hico", "sweep", args.grid, "--folder", folder, ...given, "--table"]);
      const volume = cluster === "k8s" ? ` (the claim ${args.claim} must hold ${folder} and the data)` : "";
      print(
        () =>
          `${paths.join(", ")}: ${tasks} tasks; ${paths.map((path) => shellLine([...submit.split(" "), path])).join("; ")}${volume}, and ${table} for what is finished`,
        { path: paths[0], paths, tasks },
      );
      return;
    }
    if (args["dry-run"]) {
      const runs = grid.runs.map((run) => ({ name: run.name, stages: stagesOf(grid, run, { folder, common }) }));
      print(
        () =>
          runs
            .map(({ name, stages }) =>
              [
                `# ${name}`,
                ...stages.map(({ args: words, done }) => `${done ? "# done: " : ""}${shellLine(["hico", ...words])}`),
              ].join("\n"),
            )
            .join("\n"),
        runs,
      );
      return;
    }
    if (args.table) {
      const summary = summarize(
        grid,
        grid.runs.map((run) => readResult(grid, run, folder)),
        folder,
      );
      writeSweepFiles(summary);
      print(() => `${formatTable(tableRows(summary, order))}\n${tableNote(summary)}`, summary);
      return;
    }

    const [line, stop] = [new ProgressLine(), interruption()];
    const share = Math.max(1, Math.floor(availableParallelism() / (jobs ?? 1)));
    try {
      const outcome = await runSweep({
        grid,
        folder,
        jobs,
        adapters,
        common,
        signal: stop.signal,
        defaults: { workers: defaultWorkers(share) },
        program: [process.execPath, ...process.execArgv, MAIN],
        environment: { HICO_THREADS: String(share), ...process.env },
        onEvent: show(grid, line),
      });
      line.clear();
      const { summary, failures, interrupted } = outcome;
      print(
        () =>
          `${formatTable(tableRows(summary, order))}\n${tableNote(summary)}\n${folder}: table.md, table.csv, plot.svg, sweep.json`,
        outcome,
      );
      for (const { run, stage, message, log } of failures)
        console.error(`hico: ${run}: ${stage} failed: ${message} (${log})`);
      if (interrupted) console.error("interrupted; the same command goes on from here");
      if (interrupted || failures.length > 0) process.exitCode = interrupted ? stop.code() : 1;
    } finally {
      stop.done();
      line.clear();
    }
  },
});

/** What the cluster says of itself, where this machine belongs to one. */
function slurmConfig(): string | undefined {
  const { status, stdout } = spawnSync("scontrol", ["show", "config"], { encoding: "utf8", timeout: 5000 });
  return status === 0 ? stdout : undefined;
}

/** The GPUs that runs side by side may have one each, by name; none where a device or an adapter is named. */
async function adaptersToSpreadOver(args: {
  readonly jobs?: string;
  readonly device?: string;
  readonly adapter?: string;
}): Promise<string[]> {
  const asked = args.device ?? environmentVariable("HICO_DEVICE") ?? "auto";
  const named = args.adapter ?? environmentVariable("HICO_ADAPTER");
  if (args.jobs === undefined || args.jobs === "1" || named !== undefined || !["auto", "webgpu"].includes(asked))
    return [];
  return gpuChoices();
}

/** Runs that end stay on the screen; what is under way shares one line. */
function show(grid: Grid, line: ProgressLine): (event: SweepEvent) => void {
  return (event) => {
    if (event.kind === "failed") line.print(`failed: ${event.failure.run}: ${event.failure.message}`);
    else if (event.kind === "finished") {
      const { name, knn, linear } = event.result;
      const found = [
        knn === undefined ? "" : `${grid.evaluation.knn?.k ?? 1}-NN ${percent(knn)}`,
        linear === undefined ? "" : `linear ${percent(linear)}`,
      ];
      line.print(`done: ${name}: ${found.filter((words) => words !== "").join(", ")}`);
    } else {
      const { done, failed, total, active } = event.progress;
      line.update(
        () =>
          `${bar(done / total)} ${done} of ${total} done${failed > 0 ? `, ${failed} failed` : ""}  ` + under(active),
      );
    }
  };
}

/** Runs under way that a line names. */
const NAMED = 4;

function under(active: SweepProgress["active"]): string {
  const named = [...active]
    .slice(0, NAMED)
    .map(([name, { stage, part }]) => `${name} ${stage}${part === undefined ? "" : ` ${percent(part)}`}`);
  return [...named, ...(active.size > NAMED ? [`${active.size - NAMED} more`] : [])].join(", ");
}
