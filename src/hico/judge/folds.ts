/**
 * One evaluation over several protocols or runs: every fold of a data set, or several runs (folds, seeds) each on its
 * own protocol, with mean and standard deviation.
 *
 * A run's training clips are those of the protocol it was pretrained on. Judged on another fold, it has seen test clips
 * of that fold, if without labels: each result says how many. Clean numbers of all folds take a run for each.
 */
import { ClipStore } from "../../data/store/store.ts";
import type { EvaluationOptions } from "./evaluate.ts";
import type { EvaluationHead } from "./evaluation-head.ts";
import { RunFolder } from "../run/folder.ts";
import { meanAndDeviation } from "./scores.ts";

/** A run on a protocol. */
export interface Pairing {
  readonly run: string;
  /** Undefined: the run's own. */
  readonly protocol: string | undefined;
}

/** Evaluations over several folds or pairings, and their means. */
export interface FoldsEvaluation<E extends EvaluationHead> {
  readonly kind: "folds";
  readonly results: readonly E[];
  /** Over the results, by subject: of last epochs, where there are epochs. */
  readonly mean: Readonly<Record<string, { readonly mean: number; readonly deviation: number }>>;
  /** Results whose test clips were partly pretrained on. */
  readonly seen: number;
}

/**
 * What is judged: several runs each on its own protocol, or one run on every protocol of its store with
 * `protocol: "all"`. Several runs with "all" have to be pretrained on one protocol each, which are all of the store's.
 *
 * @throws Error naming protocols without a run.
 */
export function pairings(
  runs: readonly string[],
  { data, protocol }: Pick<EvaluationOptions, "data" | "protocol">,
): Pairing[] {
  if (protocol !== "all") return runs.map((run) => ({ run, protocol }));
  const own = new RunFolder(runs[0]).settings();
  const names = protocolsOf(data ?? own.data);
  if (runs.length === 1) {
    // The run's own protocol is asked for as such, so that its held-out subjects and the result's name stay.
    const kept = own.protocol || names[0];
    return names.map((name) => ({ run: runs[0], protocol: name === kept ? undefined : name }));
  }
  const pretrained = runs.map((run) => new RunFolder(run).settings().protocol || names[0]);
  const without = names.filter((name) => !pretrained.includes(name));
  if (without.length === 0) return runs.map((run) => ({ run, protocol: undefined }));
  throw new Error(`no run was pretrained on ${without.join(", ")}; --protocol all of several runs takes one for each`);
}

function protocolsOf(data: string): string[] {
  const store = ClipStore.open(data);
  try {
    const names = store.header.protocols.map(({ name }) => name);
    if (names.length === 0) throw new Error(`${data} has no protocols; there is nothing that "all" could mean`);
    return names;
  } finally {
    store.close();
  }
}

/**
 * Calls `evaluate` on each of `pairs`, one after the other; `accuracyOf` gives the number that counts of each subject.
 */
export async function evaluatePairings<E extends EvaluationHead>(
  pairs: readonly Pairing[],
  evaluate: (pairing: Pairing) => Promise<E>,
  accuracyOf: (evaluation: E) => Readonly<Record<string, number>>,
): Promise<FoldsEvaluation<E>> {
  const results: E[] = [];
  for (const pairing of pairs) results.push(await evaluate(pairing));
  const accuracies = results.map(accuracyOf);
  const mean = Object.fromEntries(
    Object.keys(accuracies[0]).map((subject) => [subject, meanAndDeviation(accuracies.map((a) => a[subject]))]),
  );
  return {
    kind: "folds",
    results,
    mean,
    seen: results.filter(({ seenInPretraining }) => seenInPretraining > 0).length,
  };
}
