/** What the evaluation commands share: their options, their progress, their table. */
import type { ArgsDef } from "citty";
import type { EvaluationProgress, KnnEvaluation, LinearEvaluation, Subject } from "../../hico/judge/evaluate.ts";
import { INTERVAL_NOTE, type Interval, wilsonInterval } from "../../hico/judge/scores.ts";
import type { EvaluationHead } from "../../hico/judge/evaluation-head.ts";
import { DEVICE_ARGS, JSON_ARG } from "../options.ts";
import { formatTable, percent, type ProgressLine } from "../progress.ts";

export const EVALUATION_ARGS = {
  run: { type: "positional", description: "Folder of the run", required: true },
  checkpoint: { type: "string", description: "last (default), best, or a file: .safetensors, or a published .pth.tar" },
  data: { type: "string", description: "Another clip store than the run's" },
  protocol: { type: "string", description: "Another protocol than the run's" },
  baselines: {
    type: "boolean",
    default: true,
    description: "Raw coordinates and a random encoder as well",
    negativeDescription: "The run alone",
  },
  ...DEVICE_ARGS,
  ...JSON_ARG,
} as const satisfies ArgsDef;

export const SUBJECT_NAMES: Readonly<Record<Subject, string>> = {
  pretrained: "pretrained",
  random: "random encoder",
  raw: "raw coordinates",
};

export function showProgress(line: ProgressLine): (progress: EvaluationProgress) => void {
  return ({ subject, stage, done, total }) =>
    line.update(() => `${SUBJECT_NAMES[subject]}: ${stage} ${percent(done / total)}`);
}

/** What was judged on what. */
export function headline(found: EvaluationHead): string {
  const { protocol, trainClips, testClips, checkpoint } = found;
  const line = `${protocol}: ${trainClips} training and ${testClips} test clips, ${checkpoint}`;
  return [line, ...seenNote(found), ...untrainedNote(found)].join("\n");
}

/** A word where test clips are of classes that nothing was learned of. */
function untrainedNote({ untrained }: EvaluationHead): string[] {
  if (untrained.length === 0) return [];
  const names = untrained.slice(0, 5).join(", ") + (untrained.length > 5 ? `, and ${untrained.length - 5} more` : "");
  return [`note: no training clip of ${names}; their test clips cannot be answered right, and count as wrong`];
}

/** An accuracy with its 95 % confidence interval. */
export function accuracyWords(share: number, interval: Interval): string {
  return `${percent(share)} ${inBrackets(interval)}`;
}

/** A mean over runs or draws with its standard deviation, and where it lies by the number of clips judged. */
export function meanWords(
  { mean, deviation }: { readonly mean: number; readonly deviation: number },
  clips: number,
): string {
  return `${percent(mean)} ± ${(100 * deviation).toFixed(1)} ${inBrackets(wilsonInterval(mean, clips))}`;
}

function inBrackets(interval: Interval): string {
  return `(${interval.map((end) => (100 * end).toFixed(1)).join("–")})`;
}

/** A word where test clips were pretrained on. */
function seenNote({ seenInPretraining, testClips, protocol }: EvaluationHead): string[] {
  if (seenInPretraining === 0) return [];
  return [
    `note: the run was pretrained on ${seenInPretraining} of the ${testClips} test clips, without their labels; ` +
      `a run pretrained with --protocol ${protocol} has seen none`,
  ];
}

/** The classes that are told apart worst. */
export function worstClasses(
  perClass: readonly { readonly name: string; readonly accuracy: number | null }[],
  count = 3,
): string {
  return perClass
    .filter(({ accuracy }) => accuracy !== null)
    .sort((a, b) => a.accuracy! - b.accuracy!)
    .slice(0, count)
    .map(({ name, accuracy }) => `${name} ${percent(accuracy!)}`)
    .join(", ");
}

/** A linear evaluation as text. */
export function linearText(found: LinearEvaluation): string {
  const rows = Object.entries(found.results).map(([subject, { last, best }]) => [
    SUBJECT_NAMES[subject as Subject],
    accuracyWords(last.accuracy, last.interval),
    accuracyWords(last.top5, last.top5Interval),
    accuracyWords(best.accuracy, best.interval),
    String(best.epoch),
  ]);
  return [
    headline(found),
    formatTable([["", "last epoch", "top-5", "best epoch", "at"], ...rows]),
    INTERVAL_NOTE,
    "best epoch: chosen on the test clips, so an upper bound",
    `hardest classes: ${worstClasses(found.results.pretrained!.last.perClass)}`,
  ].join("\n");
}

/** A k-NN evaluation as text. */
export function knnText(found: KnnEvaluation): string {
  const rows = Object.entries(found.results).map(([subject, { accuracy, interval }]) => [
    SUBJECT_NAMES[subject as Subject],
    accuracyWords(accuracy, interval),
  ]);
  const { k, perClass } = found.results.pretrained!;
  return [
    headline(found),
    formatTable([["", `${k}-NN`], ...rows]),
    INTERVAL_NOTE,
    `hardest classes: ${worstClasses(perClass)}`,
  ].join("\n");
}
