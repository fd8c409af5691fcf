/** Several runs, or several protocols, in one evaluation command. */
import type { Subject } from "../../hico/judge/evaluate.ts";
import type { EvaluationHead } from "../../hico/judge/evaluation-head.ts";
import type { FoldsEvaluation, Pairing } from "../../hico/judge/folds.ts";
import { evaluatePairings, pairings } from "../../hico/judge/folds.ts";
import { INTERVAL_NOTE, wilsonInterval } from "../../hico/judge/scores.ts";
import { accuracyWords, meanWords, SUBJECT_NAMES } from "./evaluation.ts";
import { formatTable } from "../progress.ts";

type Evaluation<R> = EvaluationHead & {
  readonly kind: "linear" | "knn";
  readonly results: Readonly<Partial<Record<Subject, R>>>;
};

type ResultOf<E extends Evaluation<unknown>> = NonNullable<E["results"][Subject]>;

/** The positional arguments: folders of runs. */
export function runsOf(args: { readonly _: readonly string[] }): readonly string[] {
  return args._;
}

/** The evaluation of a run on a protocol, or all of them with their mean. */
export async function judgeFolds<E extends Evaluation<unknown>>(
  runs: readonly string[],
  options: { readonly data?: string; readonly protocol?: string },
  evaluate: (pairing: Pairing) => Promise<E>,
  accuracyOf: (result: ResultOf<E>) => number,
): Promise<E | FoldsEvaluation<E>> {
  const pairs = pairings(runs, options);
  if (pairs.length === 1) return evaluate(pairs[0]);
  return evaluatePairings(pairs, evaluate, ({ results }) =>
    Object.fromEntries(
      Object.entries(results).map(([subject, result]) => [subject, accuracyOf(result as ResultOf<E>)]),
    ),
  );
}

/** A table of a row a result, and their mean. */
export function foldsText<E extends Evaluation<unknown>>(
  { results, mean, seen }: FoldsEvaluation<E>,
  accuracyOf: (result: ResultOf<E>) => number,
  what: string,
): string {
  const subjects = Object.keys(mean) as Subject[];
  const rows = results.map((found) => [
    found.protocol,
    found.run,
    String(found.testClips),
    String(found.seenInPretraining),
    ...subjects.map((subject) => within(accuracyOf(found.results[subject] as ResultOf<E>), found.testClips)),
  ]);
  // Runs of one protocol are judged on the same clips.
  const clips = new Map(results.map(({ protocol, testClips }) => [protocol, testClips]));
  const judgedOn = [...clips.values()].reduce((sum, count) => sum + count, 0);
  const words = subjects.map((s) => meanWords(mean[s], judgedOn));
  const head = ["protocol", "run", "test clips", "pretrained on", ...subjects.map((s) => SUBJECT_NAMES[s])];
  const note =
    seen === 0
      ? []
      : [
          `note: test clips of ${seen} of ${results.length} rows were pretrained on, without their labels; ` +
            "clean numbers take a run pretrained on each protocol: name them all",
        ];
  const table = formatTable([head, ...rows, ["mean ± std", "", "", "", ...words]]);
  return [`${what}:`, table, INTERVAL_NOTE, ...note].join("\n");
}

const within = (accuracy: number, clips: number): string => accuracyWords(accuracy, wilsonInterval(accuracy, clips));
