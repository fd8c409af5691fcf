/** What a sweep has found so far: the measures of every run, and their mean and spread over seeds. */
import type { Configuration, Grid, SweepRun } from "./grid.ts";
import { isPretrained, runFolder } from "./commands.ts";
import type { Interval } from "../hico/judge/scores.ts";
import { wilsonInterval } from "../hico/judge/scores.ts";
import { EVALUATION_KINDS, evaluationOf } from "./evaluation-plan.ts";

/** Accuracies as shares; `linearBest` was chosen on the clips it was measured on. */
export type MeasureName = "knn" | "linear" | "linearBest" | "loss" | "contrastive";
export const MEASURE_NAMES: readonly MeasureName[] = ["knn", "linear", "linearBest", "loss", "contrastive"];
/** Measures of the test clips. */
const ACCURACIES: readonly MeasureName[] = ["knn", "linear", "linearBest"];
type Measured = Readonly<Partial<Record<MeasureName, number>>>;

/** `done`: pretrained and judged; `begun`: something of it is there. */
type RunState = "done" | "begun" | "waiting";

export interface RunResult extends Measured {
  readonly name: string;
  readonly folder: string;
  readonly seed: number;
  readonly configuration: number;
  readonly state: RunState;
  /** Clips that it was judged on. */
  readonly testClips?: number;
  /** Of pretraining, in the process that ended it. */
  readonly seconds?: number;
  readonly device?: string;
}

export interface Spread {
  readonly mean: number;
  /** Standard deviation of a sample (n − 1); undefined for one run. */
  readonly std?: number;
  readonly count: number;
  /** Where an accuracy's mean lies with 95 % confidence, of the test clips alone (`wilsonInterval`). */
  readonly interval?: Interval;
}

export interface SweepRow extends Configuration {
  /** Counted from 1, in the order of the grid. */
  readonly number: number;
  readonly measures: Readonly<Partial<Record<MeasureName, Spread>>>;
  readonly runs: readonly RunResult[];
}

export interface SweepSummary {
  readonly name: string;
  readonly folder: string;
  readonly axes: readonly string[];
  readonly seeds: readonly number[];
  /** Neighbours that vote, where runs are judged so. */
  readonly k?: number;
  readonly rows: readonly SweepRow[];
}

/** Reads what a run left. @throws Error where its folder holds a run of other settings. */
export function readResult(grid: Grid, run: SweepRun, folder: string): RunResult {
  const place = runFolder(folder, run);
  const { name, seed, configuration } = run;
  const head = { name, folder: place.path, seed, configuration };
  if (!isPretrained(place, run)) return { ...head, state: place.exists ? "begun" : "waiting" };
  const { loss, accuracy, seconds, device } = place.pretraining() as {
    loss: number;
    accuracy: number;
    seconds: number;
    device: string;
  };
  const byNeighbours = grid.evaluation.knn ? evaluationOf(place, "knn", grid.evaluation) : undefined;
  const byClassifier = grid.evaluation.linear ? evaluationOf(place, "linear", grid.evaluation) : undefined;
  const knn = byNeighbours?.results.pretrained;
  const linear = byClassifier?.results.pretrained;
  const judgement = byNeighbours || byClassifier;
  const judged = EVALUATION_KINDS.every((kind) => !grid.evaluation[kind] || (kind === "knn" ? knn : linear));
  return {
    ...head,
    state: judged ? "done" : "begun",
    testClips: judgement?.testClips,
    loss,
    contrastive: accuracy,
    seconds,
    device,
    knn: knn?.accuracy,
    linear: linear?.last.accuracy,
    linearBest: linear?.best.accuracy,
  };
}

export function summarize(grid: Grid, results: readonly RunResult[], folder: string): SweepSummary {
  const rows = grid.configurations.map((configuration, i): SweepRow => {
    const runs = results.filter((result) => result.configuration === i);
    const measures = Object.fromEntries(
      MEASURE_NAMES.flatMap((name) => {
        const values = runs.map((run) => run[name]).filter((value) => value !== undefined);
        if (values.length === 0) return [];
        const spread = spreadOf(values);
        const clips = ACCURACIES.includes(name) ? runs.find(({ testClips }) => testClips !== undefined)?.testClips : 0;
        return [[name, clips ? { ...spread, interval: wilsonInterval(spread.mean, clips) } : spread]];
      }),
    );
    return { ...configuration, number: i + 1, measures, runs };
  });
  const { name, axes, seeds, evaluation } = grid;
  return {
    name,
    folder,
    axes: axes.map((axis) => axis.name),
    seeds,
    k: evaluation.knn && (evaluation.knn.k ?? 1),
    rows,
  };
}

export function spreadOf(values: readonly number[]): Spread {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count < 2) return { mean, count };
  return { mean, count, std: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1)) };
}
