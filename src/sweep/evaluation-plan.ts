/** How the runs of a sweep are judged, as options of `hico eval`, and whether a run was judged so already. */
import { basename } from "node:path";
import type { KnnEvaluation, LinearEvaluation } from "../hico/judge/evaluate.ts";
import type { EvaluationHead } from "../hico/judge/evaluation-head.ts";
import type { ProbeSettings } from "../hico/judge/linear-probe.ts";
import { PROBE_SETTINGS, probeBatch } from "../hico/judge/linear-probe.ts";
import type { RunFolder } from "../hico/run/folder.ts";
import { flagOf } from "../hico/run/settings.ts";

type ProbeOptions = Partial<Pick<ProbeSettings, "lr" | "weightDecay" | "epochs" | "batch" | "seed">>;

export interface EvaluationPlan {
  /** Undefined: not judged so. */
  readonly knn?: { readonly k?: number };
  readonly linear?: ProbeOptions;
  /** "last" or "best". */
  readonly checkpoint: "last" | "best";
  /** A random encoder and raw coordinates as well. */
  readonly baselines: boolean;
}

export type EvaluationKind = "knn" | "linear";
export const EVALUATION_KINDS: readonly EvaluationKind[] = ["knn", "linear"];

/** Options of each kind, and what they may be. */
const OPTIONS: Readonly<
  Record<EvaluationKind, Readonly<Record<string, readonly [rule: string, fits: (value: number) => boolean]>>>
> = {
  knn: { k: wholeFrom(1) },
  linear: {
    lr: ["a number above 0", (value) => value > 0],
    weightDecay: ["a number of at least 0", (value) => value >= 0],
    epochs: wholeFrom(1),
    batch: wholeFrom(1),
    seed: wholeFrom(0),
  },
};

function wholeFrom(least: number): readonly [string, (value: number) => boolean] {
  return [`a whole number of at least ${least}`, (value) => Number.isSafeInteger(value) && value >= least];
}

/** @throws Error naming the key and the rule. */
export function parseEvaluationPlan(source: unknown, at: string): EvaluationPlan {
  if (typeof source !== "object" || source === null) throw new Error(`${at} must be an object`);
  const { knn = {}, linear = {}, checkpoint = "last", baselines = false, ...rest } = source as Record<string, unknown>;
  const [strange] = Object.keys(rest);
  if (strange !== undefined)
    throw new Error(`${at}: there is no "${strange}"; there is knn, linear, checkpoint, baselines`);
  if (checkpoint !== "last" && checkpoint !== "best")
    throw new Error(`${at}: checkpoint is ${JSON.stringify(checkpoint)}; it must be "last" or "best"`);
  if (typeof baselines !== "boolean") throw new Error(`${at}: baselines must be true or false`);
  const plan = {
    knn: optionsOf("knn", knn, at),
    linear: optionsOf("linear", linear, at),
    checkpoint,
    baselines,
  } as const;
  if (plan.knn || plan.linear) return plan;
  throw new Error(`${at}: neither knn nor linear is left to judge by`);
}

function optionsOf(kind: EvaluationKind, source: unknown, at: string): Record<string, number> | undefined {
  if (source === false) return undefined;
  if (typeof source !== "object" || source === null)
    throw new Error(`${at}: ${kind} must be an object of options, or false`);
  const known = OPTIONS[kind];
  for (const [name, value] of Object.entries(source)) {
    if (!Object.hasOwn(known, name))
      throw new Error(`${at}: ${kind} has no "${name}"; it has ${Object.keys(known).join(", ")}`);
    const [rule, fits] = known[name];
    if (typeof value !== "number" || !fits(value))
      throw new Error(`${at}: ${kind}.${name} is ${JSON.stringify(value)}; it must be ${rule}`);
  }
  return source as Record<string, number>;
}

/** What is in the folder of this kind, if it is of the run's last state and was made as the plan says. */
export function evaluationOf(folder: RunFolder, kind: "knn", plan: EvaluationPlan): KnnEvaluation | undefined;
export function evaluationOf(folder: RunFolder, kind: "linear", plan: EvaluationPlan): LinearEvaluation | undefined;
export function evaluationOf(folder: RunFolder, kind: EvaluationKind, plan: EvaluationPlan): EvaluationHead | undefined;
export function evaluationOf(
  folder: RunFolder,
  kind: EvaluationKind,
  plan: EvaluationPlan,
): EvaluationHead | undefined {
  const found = folder.evaluation(kind) as KnnEvaluation | LinearEvaluation | undefined;
  // By name: a folder may have been moved since.
  if (!found || basename(found.checkpoint) !== basename(folder.checkpoint(plan.checkpoint))) return undefined;
  if (plan.baselines && (!found.results.random || !found.results.raw)) return undefined;
  return madeAsPlanned(found, plan) ? found : undefined;
}

function madeAsPlanned(found: KnnEvaluation | LinearEvaluation, plan: EvaluationPlan): boolean {
  if (found.kind === "knn") return found.results.pretrained?.k === (plan.knn?.k ?? 1);
  const { lr, weightDecay, epochs, seed } = { ...PROBE_SETTINGS, ...plan.linear };
  const wanted: ProbeOptions = {
    lr,
    weightDecay,
    epochs,
    seed,
    batch: plan.linear?.batch ?? probeBatch(found.trainClips),
  };
  const had = found.results.pretrained?.settings;
  return (
    had !== undefined && Object.entries(wanted).every(([name, value]) => had[name as keyof ProbeOptions] === value)
  );
}

/** The options that make `hico eval KIND` do so. */
export function evaluationFlags(kind: EvaluationKind, plan: EvaluationPlan): string[] {
  return [
    ...Object.entries(plan[kind] ?? {}).map(([name, value]) => `--${flagOf(name)}=${value}`),
    ...(plan.checkpoint === "last" ? [] : [`--checkpoint=${plan.checkpoint}`]),
    ...(plan.baselines ? [] : ["--no-baselines"]),
  ];
}
