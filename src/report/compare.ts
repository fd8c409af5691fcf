/** Two runs beside each other, class by class and confusion by confusion, from what was evaluated of both. */
import { resolve, sep } from "node:path";
import type { KnnEvaluation, LinearEvaluation } from "../hico/judge/evaluate.ts";
import type { Origin } from "../hico/judge/clip-table.ts";
import { RunFolder } from "../hico/run/folder.ts";
import { flagOf } from "../hico/run/settings.ts";
import type { Scores } from "../hico/judge/scores.ts";
import type { ClassifierFacts } from "../hico/judge/variants.ts";

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
  readonly classifier?: ClassifierFacts;
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
  const { origin, classes, classifier } = found;
  const facts = { classifier, classes, origin };
  if (found.kind === "linear")
    return { from: "linear classifier, last epoch", scores: found.results.pretrained!.last, ...facts };
  const scores = found.results.pretrained!;
  return { from: `${scores.k}-NN`, scores, ...facts };
}

/** How a run was judged, by kind. */
export type Judgements = Readonly<Partial<Record<"linear" | "knn", Judged>>>;

/**
 * Reads the results of two runs, by their folders, and puts those of `run` beside those of `against`.
 *
 * @param ours how `run` was judged; default: what is in its folder, whatever checkpoint it is of
 * @param theirs how `against` was judged, likewise
 * @throws Error where the two were not judged alike, on other data, or have other classes.
 */
export function compareRuns(run: string, against: string, ours?: Judgements, theirs?: Judgements): Comparison {
  const [own, other] = [new RunFolder(run), new RunFolder(against)];
  for (const folder of [own, other]) folder.settings();
  let unlike = "";
  for (const kind of ["linear", "knn"] as const) {
    const [a, b] = [ours ? ours[kind] : judgedBy(kind, own), theirs ? theirs[kind] : judgedBy(kind, other)];
    if (!a || !b || a.from !== b.from) continue;
    if (a.classes.join("\n") !== b.classes.join("\n"))
      throw new Error(`${run} and ${against} were judged on other classes; compare runs on one data set`);
    const differs = a.origin && b.origin && differing(a.origin, b.origin, JUDGED_ON);
    if (differs?.length) {
      throw new Error(
        `${run} and ${against} were judged on different clips (${differs.join(", ")}); judge both on one store and protocol`,
      );
    }
    const others = differing(a.classifier ?? {}, b.classifier ?? {});
    if (others.length > 0) {
      unlike = ` (their linear classifiers have other ${others.map(flagOf).join(", ")})`;
      continue;
    }
    const side = (name: string, { scores }: Judged): ComparedRun => ({
      name,
      accuracy: scores.accuracy,
      confusion: scores.confusion,
    });
    const [ownName, otherName] = shortNames(run, against);
    return { from: a.from, classes: a.classes, own: side(ownName, a), other: side(otherName, b) };
  }
  throw new Error(
    `${run} and ${against} were not judged alike${unlike}; run hico eval linear, or hico eval knn, on both`,
  );
}

/** What decides which clips a run was judged on. */
const JUDGED_ON = ["store", "protocol", "holdOut", "holdOutCameras"] as const;

/** Of these facts, which differ; default: any. */
export function differing(
  a: Readonly<Record<string, unknown>>,
  b: Readonly<Record<string, unknown>>,
  keys: readonly string[] = [...new Set([...Object.keys(a), ...Object.keys(b)])],
): string[] {
  return keys.filter((key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]));
}

/** Two paths without the folders that both begin with. */
function shortNames(a: string, b: string): [string, string] {
  const [first, second] = [a, b].map((path) => resolve(path).split(sep));
  let common = 0;
  while (common < Math.min(first.length, second.length) - 1 && first[common] === second[common]) common++;
  return [first.slice(common).join(sep), second.slice(common).join(sep)];
}

/** Shares of a row of counts; undefined of a class without clips. */
export function sharesOf(counts: readonly number[]): readonly number[] | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return total > 0 ? counts.map((count) => count / total) : undefined;
}
