/** Several runs, or several protocols, in one evaluation command. */
import type { Subject } from "../../hico/judge/evaluate.ts";
import type { EvaluationHead } from "../../hico/judge/evaluation-head.ts";
import type { FoldsEvaluation, Pairing } from "../../hico/judge/folds.ts";
import { evaluatePairings, pairings } from "../../hico/judge/folds.ts";
import { SUBJECT_NAMES } from "./evaluation.ts";
import { formatTable, percent } from "../progress.ts";

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
    ...subjects.map((subject) => percent(accuracyOf(found.results[subject] as ResultOf<E>))),
  ]);
  const words = subjects.map((s) => `${percent(mean[s].mean)} ± ${(100 * mean[s].deviation).toFixed(1)}`);
  const head = ["protocol", "run", "test clips", "pretrained on", ...subjects.map((s) => SUBJECT_NAMES[s])];
  const note =
    seen === 0
      ? []
      : [
          `note: test clips of ${seen} of ${results.length} rows were pretrained on, without their labels; ` +
            "clean numbers take a run pretrained on each protocol: name them all",
        ];
  return [`${what}:`, formatTable([head, ...rows, ["mean ± std", "", "", "", ...words]]), ...note].join("\n");
}
