/**
 * Results of one kind by several classifiers: the last one stands under the kind's own name, one that it takes the place
 * of is kept beside it under a name that says what it was, and all can be listed.
 */
import type { RunFolder } from "../run/folder.ts";
import { flagOf } from "../run/settings.ts";
import { PROBE_SETTINGS } from "./linear-probe.ts";

/** What classified: settings by name. */
export type ClassifierFacts = Readonly<Record<string, unknown>>;

interface Kept {
  readonly kind?: string;
  readonly classifier?: ClassifierFacts;
}

/** Settings in which a classifier differs from the usual one, as a part of a file's name: "lr0.3-weight-decay0.005". */
export function classifierTag(classifier: ClassifierFacts): string {
  const parts = odd(classifier).map(([name, value]) => `${flagOf(name)}${JSON.stringify(value)}`);
  return parts.join("-").replace(/[^\w.+-]/g, "_") || "default";
}

/** A classifier in words: "lr 0.3, weight decay 0.005, …". */
export function classifierWords(classifier: ClassifierFacts): string {
  const shown = Object.entries(classifier).filter(([name]) => name !== "drops" && name !== "k");
  return shown.map(([name, value]) => `${flagOf(name).replaceAll("-", " ")} ${String(value)}`).join(", ");
}

/**
 * Moves the result of another classifier, and its scores, out of the way of those that are about to be written under
 * `name` and `scores`.
 */
export function keepOther(folder: RunFolder, name: string, classifier: ClassifierFacts, scores?: string): void {
  const there = folder.evaluation(name) as Kept | undefined;
  if (there?.classifier === undefined || same(there.classifier, classifier)) return;
  const tag = classifierTag(there.classifier);
  folder.moveEvaluation(`${name}.json`, `${name}-${tag}.json`);
  if (scores !== undefined) folder.moveEvaluation(`${scores}.npz`, `${scores}-${tag}.npz`);
}

/** Results kept beside the one of `name`, of the same kind and other classifiers than it. */
export function otherResults(folder: RunFolder, name: string, kind: string): { name: string; result: unknown }[] {
  const main = folder.evaluation(name) as Kept | undefined;
  return folder
    .evaluations()
    .filter((other) => other.startsWith(`${name}-`))
    .map((other) => ({ name: other, result: folder.evaluation(other) as Kept | undefined }))
    .filter(({ result }) => result?.kind === kind && result.classifier !== undefined)
    .filter(({ result }) => !main?.classifier || !same(main.classifier, result!.classifier!));
}

function odd(classifier: ClassifierFacts): [string, unknown][] {
  const usual: ClassifierFacts = { ...PROBE_SETTINGS };
  return Object.entries(classifier).filter(([name, value]) => name !== "drops" && !equal(usual[name], value));
}

const equal = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const same = (a: ClassifierFacts, b: ClassifierFacts): boolean => equal(a, b);
