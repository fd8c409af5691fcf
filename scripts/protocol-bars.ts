/**
 * The tables of fusion and of few labels, on NW-UCLA and UTD-MHAD:
 *
 *     node --import tsx scripts/protocol-bars.ts FOLDER --stores STORES [--minutes 9] [--only fusion|semi]
 *         [--sets nw-ucla,utd-mhad] [--seeds 0,1,2] [--settings FILE.json] [--device webgpu] [--fractions 10]
 *
 * STORES holds `nw-ucla.clips` and `utd-mhad.clips`. FOLDER gets a run for every set, stream and seed (`nw-ucla-bone-1`),
 * and the tables as JSON. Runs that are there are used, trainings that are done are kept: called again, it goes on, and
 * `--minutes` stops it in time (exit code 75: not yet all). The settings file may hold `"pretrain"`, `"probe"`,
 * `"finetune"`, and under a set's name the same again for that set alone.
 *
 * Fusion: each stream alone beside joint + motion + bone (sums with equal weights, with 0.6/0.6/0.4, and with weights
 * searched on held-out training clips), linear and 1-NN. Few labels: a balanced tenth, 5 draws, the joint stream of the
 * first seed, beside random weights.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatTable } from "../src/cli/progress.ts";
import { STREAMS } from "../src/data/skeleton/streams.ts";
import { useDevice } from "../src/device/index.ts";
import type {
  EnsembleEvaluation,
  EnsembleMethod,
  FinetuneSettings,
  PresetName,
  ProbeSettings,
  RunSettings,
} from "../src/hico/index.ts";
import {
  evaluateEnsemble,
  evaluateSemi,
  presetNamed,
  pretrain,
  resolveSettings,
  RunFolder,
} from "../src/hico/index.ts";
import { readConfig, writeJson } from "../src/hico/run/folder.ts";
import { meanAndDeviation } from "../src/hico/judge/scores.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    stores: { type: "string" },
    sets: { type: "string", default: "nw-ucla,utd-mhad" },
    seeds: { type: "string", default: "0,1,2" },
    settings: { type: "string" },
    device: { type: "string" },
    only: { type: "string" },
    minutes: { type: "string" },
    fractions: { type: "string", default: "10" },
    draws: { type: "string", default: "5" },
  },
});
const [folder] = positionals;
if (folder === undefined || values.stores === undefined) throw new Error("give a folder for the runs, and --stores");

interface Given {
  readonly pretrain?: Partial<RunSettings>;
  readonly probe?: Partial<ProbeSettings>;
  readonly finetune?: Partial<FinetuneSettings>;
}
const file = (values.settings === undefined ? {} : readConfig(values.settings)) as Given &
  Readonly<Record<string, Given>>;
const givenFor = (set: string): Given => ({
  pretrain: { ...file.pretrain, ...file[set]?.pretrain },
  probe: { ...file.probe, ...file[set]?.probe },
  finetune: { ...file.finetune, ...file[set]?.finetune },
});

const sets = values.sets.split(",");
const seeds = values.seeds.split(",").map(Number);
const signal = values.minutes === undefined ? undefined : AbortSignal.timeout(60_000 * Number(values.minutes));
const device = await useDevice(values.device);
mkdirSync(folder, { recursive: true });
const percent = (share: number): string => (100 * share).toFixed(1);
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** The folder of a run that is finished. */
async function runOf(set: string, stream: string, seed: number): Promise<string> {
  const run = join(folder, `${set}-${stream}-${seed}`);
  const known = new RunFolder(run);
  if (known.pretraining()?.finished === true) return run;
  const from = known.exists
    ? { from: run, given: { ...known.settings() } }
    : { from: set, given: { ...presetNamed(set as PresetName), ...givenFor(set).pretrain, stream, seed } };
  const settings = resolveSettings(from, { from: "--stores", given: { data: join(values.stores!, `${set}.clips`) } });
  const report = await pretrain({ settings, run, resume: true, signal });
  say(
    `${run}: step ${report.step} of ${report.steps}, ${report.seconds.toFixed(0)} s, ${report.examplesPerSecond.toFixed(0)} clips/s`,
  );
  signal?.throwIfAborted();
  return run;
}

/** A seed's ensemble by each way of weighing. */
async function fused(
  set: string,
  runs: readonly string[],
  method: EnsembleMethod,
): Promise<Readonly<Record<string, EnsembleEvaluation>>> {
  const { probe } = givenFor(set);
  const ways = { equal: undefined, "0.6/0.6/0.4": [0.6, 0.6, 0.4], searched: "search" } as const;
  const found: Record<string, EnsembleEvaluation> = {};
  for (const [name, weights] of Object.entries(ways)) {
    signal?.throwIfAborted();
    found[name] = await evaluateEnsemble({ runs, method, probe, weights });
  }
  return found;
}

async function fusionTable(set: string): Promise<object> {
  const tables: Record<string, unknown> = {};
  const bySeed: (readonly string[])[] = [];
  for (const seed of seeds) {
    const runs: string[] = [];
    for (const stream of STREAMS) runs.push(await runOf(set, stream, seed));
    bySeed.push(runs);
  }
  for (const method of ["linear", "knn"] as const) {
    const rows: string[][] = [];
    const columns: number[][] = [];
    for (const [i, runs] of bySeed.entries()) {
      const ways = await fused(set, runs, method);
      const alone = ways.equal.runs.map(({ result }) => result.accuracy);
      const row = [...alone, Math.max(...alone), ...Object.values(ways).map((way) => way.fused.accuracy)];
      columns.push(row);
      const weights = ways.searched.runs.map(({ weight }) => weight).join("/");
      rows.push([`seed ${seeds[i]}`, ...row.map(percent), weights]);
    }
    const means = columns[0].map((_, c) => meanAndDeviation(columns.map((row) => row[c])));
    rows.push(["mean", ...means.map(({ mean }) => percent(mean)), ""]);
    rows.push(["deviation", ...means.map(({ deviation }) => percent(deviation)), ""]);
    const head = [`${set}, ${method}`, ...STREAMS, "best single", "equal", "0.6/0.6/0.4", "searched", "weights found"];
    console.log(`${formatTable([head, ...rows])}\n`);
    tables[method] = { head, rows };
  }
  return tables;
}

async function semiTable(set: string): Promise<object> {
  const run = await runOf(set, "joint", seeds[0]);
  const found = await evaluateSemi({
    ...{ run, draws: Number(values.draws), settings: givenFor(set).finetune, signal },
    fractions: values.fractions.split(",").map((percentage) => Number(percentage) / 100),
    onProgress: ({ from, draw, done, total }) => {
      if (done === total) say(`${run}: ${from}, draw ${draw} done`);
    },
  });
  const words = (scores: { readonly mean: number; readonly deviation: number }): string =>
    `${percent(scores.mean)} ± ${percent(scores.deviation)}`;
  const rows = found.fractions.map(({ fraction, clips, results: { pretrained, scratch } }) => [
    ...[`${percent(fraction)} % of labels`, String(clips[0]), words(pretrained!), words(scratch!)],
    percent(pretrained!.mean - scratch!.mean),
  ]);
  const head = [`${set}, whole network`, "clips", "pretrained", "from scratch", "difference"];
  console.log(`${formatTable([head, ...rows])}\n`);
  return { head, rows, settings: found.settings };
}

try {
  for (const set of sets) {
    const tables: Record<string, unknown> = {};
    if (values.only !== "fusion") tables.semi = await semiTable(set);
    if (values.only !== "semi") tables.fusion = await fusionTable(set);
    writeJson(join(folder, `bars-${set}${values.only === undefined ? "" : `-${values.only}`}.json`), {
      set,
      seeds,
      device: device.name,
      given: givenFor(set),
      ...tables,
    });
  }
} catch (error) {
  if (!signal?.aborted) throw error;
  say("out of time; the same command goes on from here");
  process.exitCode = 75;
} finally {
  device.close();
}
