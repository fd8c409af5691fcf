/** Two runs beside each other, class by class and confusion by confusion, from what was evaluated of both. */
import { resolve, sep } from "node:path";
import type { KnnEvaluation, LinearEvaluation } from "../hico/judge/evaluate.ts";
import type { Origin } from "../hico/judge/clip-table.ts";
import { RunFolder } from "../hico/run/folder.ts";
import type { Scores } from "../hico/judge/scores.ts";

/** One of two runs that are compared. */
export interface ComparedRun {
  readonly name: string;
  readonly accuracy: number;
  /** Counts: row the true class, column the answer. */
  readonly confusion: readonly (readonly number[])[];
}

/** Two runs beside each other, class by class. */
export interface Comparison {
  /** By what both were judged. */
  readonly from: string;
  readonly classes: readonly string[];
  readonly own: ComparedRun;
  readonly other: ComparedRun;
}

interface Judged {
  readonly from: string;
  readonly classes: readonly string[];
  readonly scores: Scores;
  readonly origin?: Origin;
}

/** How a run was judged by its linear classifier or its neighbours; undefined where it was not. */
function judgedBy(kind: "linear" | "knn", folder: RunFolder): Judged | undefined {
  return judgementOf(folder.evaluation(kind) as LinearEvaluation | KnnEvaluation | undefined);
}

/** What an evaluation makes of the run itself. */
export function judgementOf(found: LinearEvaluation | KnnEvaluation | undefined): Judged | undefined {
  if (!found?.results.pretrained) return undefined;
  const { origin } = found;
  const { classes } = found;
  if (found.kind === "linear")
    return { from: "linear classifier, last epoch", classes, scores: found.results.pretrained!.last, origin };
  const scores = found.results.pretrained!;
  return { from: `${scores.k}-NN`, classes, scores, origin };
}

/**
 * Reads the results of two runs, by their folders, and puts those of `run` beside those of `against`.
 *
 * @param ours how `run` was judged, by kind; default: what is in its folder.
 * @throws Error where the two were not judged alike, on other data, or have other classes.
 */
export function compareRuns(
  run: string,
  against: string,
  ours?: Readonly<Partial<Record<"linear" | "knn", Judged>>>,
): Comparison {
  const [own, other] = [new RunFolder(run), new RunFolder(against)];
  for (const folder of [own, other]) folder.settings();
  for (const kind of ["linear", "knn"] as const) {
    const [a, b] = [ours ? ours[kind] : judgedBy(kind, own), judgedBy(kind, other)];
    if (!a || !b || a.from !== b.from) continue;
    if (a.classes.join("\n") !== b.classes.join("\n"))
      throw new Error(`${run} and ${against} were judged on other classes; compare runs on one data set`);
    const differs = a.origin && b.origin && JUDGED_ON.filter((key) => differ(a.origin![key], b.origin![key]));
    if (differs?.length) {
      throw new Error(
        `${run} and ${against} were judged on different clips (${differs.join(", ")}); judge both on one store and protocol`,
      );
    }
    const side = (name: string, { scores }: Judged): ComparedRun => ({
      name,
      accuracy: scores.accuracy,
      confusion: scores.confusion,
    });
    const [ownName, otherName] = shortNames(run, against);
    return { from: a.from, classes: a.classes, own: side(ownName, a), other: side(otherName, b) };
  }
  throw new Error(`${run} and ${against} were not judged alike; run hico eval linear, or hico eval knn, on both`);
}

/** What decides which clips a run was judged on. */
const JUDGED_ON = ["store", "protocol", "holdOut", "holdOutCameras"] as const;

function differ(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}

/** Two paths without the folders that both begin with. */
function shortNames(a: string, b: string): [string, string] {
  const [first, second] = [a, b].map((path) => resolve(path).split(sep));
  let common = 0;
  while (common < Math.min(first.length, second.length) - 1 && first[common] === second[common]) common++;
  return [first.slice(common).join(sep), second.slice(common).join(sep)];
}

/** Shares of each row; a row without clips is all 0. */
export function rowShares(counts: readonly (readonly number[])[]): number[][] {
  return counts.map((row) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.map((count) => (total > 0 ? count / total : 0));
  });
}
