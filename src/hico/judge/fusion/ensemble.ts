/**
 * Ensembles of runs on one protocol: each run judged alone, and the fusion of all, for linear classifiers and k-NN.
 *
 * Clips are matched by name. Scores and features that evaluations kept are taken from there. Weights are equal, given,
 * or searched on training clips held out from themselves; test clips never take part in the choice.
 */
import { existsSync } from "node:fs";
import { defaultDevice } from "../../../tensor/backend.ts";
import type { ClipTable } from "../clip-table.ts";
import { matchTables, readClipTable, tableOf, writeClipTable } from "../clip-table.ts";
import { labelledClips, protocolOf } from "../../run/clips.ts";
import type { FeatureTable } from "../features.ts";
import { bestWeights, fuseFeatures, fuseScores, weightGrid } from "./fusion.ts";
import { heldOutGroups } from "../held-out.ts";
import { keptFeatures, linearOrigin, resultName } from "../kept.ts";
import { knnAccuracy } from "../knn.ts";
import type { ProbeSettings } from "../linear-probe.ts";
import { probe as trainProbe, resolveProbe } from "../linear-probe.ts";
import type { OpenedRun, OpenOptions } from "../../run/open-run.ts";
import { openRun, seenInPretraining } from "../../run/open-run.ts";
import type { Scores } from "../scores.ts";
import { rankedScores } from "../scores.ts";
import { classifierTag } from "../variants.ts";

/** How runs are fused. */
export const ENSEMBLE_METHODS = ["linear", "knn"] as const;
/** A way to fuse runs, see `ENSEMBLE_METHODS`. */
export type EnsembleMethod = (typeof ENSEMBLE_METHODS)[number];

/** Which runs are fused, and how. */
export interface EnsembleOptions extends Omit<OpenOptions, "run"> {
  readonly runs: readonly string[];
  /** Default "linear". */
  readonly method?: EnsembleMethod;
  /** One a run, or "search". Default: equal ones. */
  readonly weights?: readonly number[] | "search";
  /** Neighbours that vote. Default 1. */
  readonly k?: number;
  /** Settings of the linear classifier. */
  readonly probe?: Partial<ProbeSettings>;
  readonly onProgress?: (run: string, stage: string, done: number, total: number) => void;
}

/** Accuracies of several runs fused, and of each alone. */
export interface EnsembleEvaluation {
  readonly kind: "ensemble";
  readonly method: EnsembleMethod;
  readonly protocol: string;
  readonly device: string;
  readonly classes: readonly string[];
  readonly trainClips: number;
  readonly testClips: number;
  readonly runs: readonly {
    readonly run: string;
    readonly stream: string;
    readonly checkpoint: string;
    readonly seenInPretraining: number;
    readonly weight: number;
    readonly result: Scores & { readonly top5?: number };
  }[];
  readonly fused: Scores & { readonly top5?: number };
  /** How weights were searched: over training clips held out in groups, and the accuracy there. */
  readonly search?: { readonly clips: number; readonly groups: number; readonly accuracy: number };
  readonly seconds: number;
}

/** Groups of training clips that are held out in turn, and clips of them that k-NN asks with at most. */
const GROUPS = 4;
const QUERIES = 2000;

type Progress = (stage: string, done: number, total: number) => void;

/**
 * Judges several runs fused: scores of their classifiers, or similarities of their features, weighted and summed.
 *
 * @throws Error where runs are fewer than two, weights do not fit, or clips do not match, with their names.
 */
export async function evaluateEnsemble(options: EnsembleOptions): Promise<EnsembleEvaluation> {
  const start = performance.now();
  const { runs, method = "linear", weights: given, checkpoint, data, protocol } = options;
  if (runs.length < 2) throw new Error(`an ensemble needs at least two runs; ${runs.length} given`);
  if (Array.isArray(given)) checkWeights(given, runs.length);
  const members: Member[] = [];
  for (const run of runs) {
    const opened = openRun({ run, checkpoint, data, protocol });
    try {
      members.push(await member(opened, run, method, given === "search", options));
    } finally {
      opened.store.close();
    }
  }
  const named = (table: (m: Member) => ClipTable): readonly ClipTable[] =>
    matchTables(members.map((m) => ({ from: m.run, table: table(m) })));
  const differing = members.find((m) => m.protocol !== members[0].protocol);
  if (differing)
    throw new Error(
      `${differing.run} is judged on ${differing.protocol}, ${runs[0]} on ${members[0].protocol}; name one --protocol`,
    );

  const { classes } = members[0].test;
  const k = options.k ?? 1;
  const judge: Judge =
    method === "linear"
      ? linearJudge(
          named((m) => m.test),
          given === "search" ? named((m) => m.heldOut!) : undefined,
        )
      : knnJudge(
          named((m) => m.train!),
          named((m) => m.test),
          members[0].groups,
          k,
        );
  const search = given === "search" ? await searchWeights(judge, runs.length) : undefined;
  const weights = search?.weights ?? (given as readonly number[] | undefined) ?? runs.map(() => 1);

  const alone = [];
  for (const [i, { run, stream, checkpoint: path, seen }] of members.entries()) {
    const result = await judge.test(runs.map((_, j) => Number(i === j)));
    alone.push({ run, stream, checkpoint: path, seenInPretraining: seen, weight: weights[i], result });
  }
  return {
    ...{ kind: "ensemble", method, protocol: members[0].protocol, device: (await defaultDevice()).name, classes },
    ...{ trainClips: members[0].trainClips, testClips: members[0].test.names.length, runs: alone },
    fused: await judge.test(weights),
    search: search && { clips: judge.heldOutClips, groups: GROUPS, accuracy: search.accuracy },
    seconds: (performance.now() - start) / 1000,
  };
}

function checkWeights(weights: readonly number[], runs: number): void {
  if (weights.length !== runs) throw new Error(`${weights.length} weights for ${runs} runs; give one for each`);
  const wrong = weights.find((w) => !(Number.isFinite(w) && w >= 0));
  if (wrong !== undefined) throw new Error(`a weight is ${wrong}; weights are numbers of at least 0`);
  if (weights.every((w) => w === 0)) throw new Error("all weights are 0; one of them has to be above");
}

/** What a run gives to an ensemble: softmax scores, or features. */
interface Member {
  readonly run: string;
  readonly stream: string;
  readonly checkpoint: string;
  readonly protocol: string;
  readonly seen: number;
  readonly trainClips: number;
  readonly test: ClipTable;
  /** Features of the training clips, of k-NN. */
  readonly train?: ClipTable;
  /** Scores of training clips, each from a classifier that was trained without the clip's group. */
  readonly heldOut?: ClipTable;
  /** Group of each training clip by name. */
  readonly groups: ReadonlyMap<string, number>;
}

async function member(
  opened: OpenedRun,
  run: string,
  method: EnsembleMethod,
  search: boolean,
  options: EnsembleOptions,
): Promise<Member> {
  const { store, settings, checkpoint } = opened;
  const progress: Progress = (stage, done, total) => options.onProgress?.(run, stage, done, total);
  const [trainClips, testClips] = (["train", "test"] as const).map((split) => labelledClips(store, split, settings));
  const group = heldOutGroups(trainClips, (clip) => store.facts(clip).subject, GROUPS);
  const groups = new Map(trainClips.map((clip, i) => [store.facts(clip).name, group[i]]));
  const features = (split: "train" | "test"): Promise<FeatureTable> =>
    keptFeatures(opened, split, (done, total) => progress(`${split} features`, done, total));
  const table = (rows: FeatureTable): ClipTable => tableOf(store, rows, rows.data);
  const protocol = protocolOf(store, settings) ?? "";
  const seen = seenInPretraining(opened, testClips);
  const facts = { run, stream: settings.stream, checkpoint, protocol, seen, trainClips: trainClips.length, groups };
  if (method === "knn") return { ...facts, train: table(await features("train")), test: table(await features("test")) };
  const test = await linearScores(opened, options.probe, features, progress);
  if (!search) return { ...facts, test };
  return {
    ...facts,
    test,
    heldOut: await heldOutScores(opened, await features("train"), group, options.probe, progress),
  };
}

/** Softmax scores of the test clips: those that `hico eval linear` kept, or a classifier's trained now, and kept. */
async function linearScores(
  opened: OpenedRun,
  given: Partial<ProbeSettings> | undefined,
  features: (split: "train" | "test") => Promise<FeatureTable>,
  progress: Progress,
): Promise<ClipTable> {
  const { folder, store, settings } = opened;
  const probe = resolveProbe(given, labelledClips(store, "train", settings).length);
  const origin = linearOrigin(opened, probe);
  const scoresName = resultName("linear-scores", opened);
  const main = folder.evaluationPath(`${scoresName}.npz`);
  const beside = folder.evaluationPath(`${scoresName}-${classifierTag({ ...probe })}.npz`);
  const kept = readClipTable(main, origin) ?? readClipTable(beside, origin);
  if (kept) return kept;
  folder.requireWritable();
  const [train, test] = [await features("train"), await features("test")];
  const onEpoch = (epoch: number, epochs: number): void => progress("linear", epoch, epochs);
  const { probabilities } = await trainProbe(train, test, store.header.classes, { settings: given, onEpoch });
  const scores = tableOf(store, test, probabilities);
  // The scores of an evaluation stay beside its result, which they are of.
  writeClipTable(existsSync(main) ? beside : main, scores, origin);
  return scores;
}

/** Scores of every training clip by a classifier of the other groups. */
async function heldOutScores(
  { store }: OpenedRun,
  train: FeatureTable,
  group: Int32Array,
  settings: Partial<ProbeSettings> | undefined,
  progress: Progress,
): Promise<ClipTable> {
  const { classes } = store.header;
  const data = new Float32Array(train.rows * classes.length);
  for (let g = 0; g < GROUPS; g++) {
    const held = rowsWhere(train, (row) => group[row] === g);
    if (held.rows.length === 0) continue;
    const others = rowsWhere(train, (row) => group[row] !== g);
    const onEpoch = (epoch: number, epochs: number): void =>
      progress(`held-out group ${g + 1} of ${GROUPS}`, epoch, epochs);
    const { probabilities } = await trainProbe(others.table, held.table, classes, { settings, onEpoch });
    held.rows.forEach((row, i) =>
      data.set(probabilities.subarray(i * classes.length, (i + 1) * classes.length), row * classes.length),
    );
  }
  return tableOf(store, train, data);
}

function rowsWhere(
  { data, width, labels, clips, rows: count }: FeatureTable,
  keep: (row: number) => boolean,
): { readonly table: FeatureTable; readonly rows: readonly number[] } {
  const rows = Array.from({ length: count }, (_, i) => i).filter(keep);
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => picked.set(data.subarray(row * width, (row + 1) * width), i * width));
  const table = { data: picked, rows: rows.length, width, labels: Int32Array.from(rows, (r) => labels[r]) };
  return { table: { ...table, clips: rows.map((r) => clips[r]) }, rows };
}

/** Judges weights: on the test clips, and on held-out training clips. */
interface Judge {
  test(weights: readonly number[]): Promise<Scores & { readonly top5?: number }>;
  heldOut(weights: readonly number[]): Promise<{ readonly accuracy: number; readonly tieBreaker?: number }>;
  readonly heldOutClips: number;
}

function linearJudge(test: readonly ClipTable[], heldOut: readonly ClipTable[] | undefined): Judge {
  const [{ labels, classes }] = test;
  return {
    heldOutClips: heldOut?.[0].names.length ?? 0,
    test: async (weights) => rankedScores(fuseScores(test, weights), labels, classes),
    heldOut: async (weights) => {
      const fused = fuseScores(heldOut!, weights);
      const own = heldOut![0].labels;
      const likelihood = own.reduce((sum, label, i) => sum + Math.log(fused[i * classes.length + label] + 1e-12), 0);
      return { accuracy: rankedScores(fused, own, classes).accuracy, tieBreaker: likelihood };
    },
  };
}

function knnJudge(
  train: readonly ClipTable[],
  test: readonly ClipTable[],
  groups: ReadonlyMap<string, number>,
  k: number,
): Judge {
  const [{ names, classes }] = train;
  const every = Math.max(1, Math.ceil(names.length / QUERIES));
  const groupOf = names.map((name) => groups.get(name)!);
  return {
    heldOutClips: Math.ceil(names.length / every),
    test: (weights) => knnAccuracy(fuseFeatures(train, weights), fuseFeatures(test, weights), classes, k),
    heldOut: async (weights) => {
      const all = fuseFeatures(train, weights);
      let [right, asked, largest] = [0, 0, 0];
      for (let g = 0; g < GROUPS; g++) {
        const { table: queries } = rowsWhere(all, (row) => groupOf[row] === g && row % every === 0);
        const { table: gallery } = rowsWhere(all, (row) => groupOf[row] !== g);
        largest = Math.max(largest, gallery.rows);
        if (queries.rows === 0 || gallery.rows < k) continue;
        right += (await knnAccuracy(gallery, queries, classes, k)).accuracy * queries.rows;
        asked += queries.rows;
      }
      if (asked === 0)
        throw new Error(
          `k is ${k}; weights are searched with ${largest} training clips of other groups as gallery, so it must be at most ${largest}`,
        );
      return { accuracy: right / asked };
    },
  };
}

async function searchWeights(
  judge: Judge,
  runs: number,
): Promise<{ readonly weights: readonly number[]; readonly accuracy: number }> {
  const judged = [];
  for (const weights of weightGrid(runs)) judged.push({ weights, ...(await judge.heldOut(weights)) });
  return bestWeights(judged);
}
