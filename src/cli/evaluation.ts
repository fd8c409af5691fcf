/** What the evaluation commands share: their options, their progress, their table. */
import type { ArgsDef } from "citty";
import type { EvaluationProgress, Subject } from "../hico/evaluate.ts";
import { DEVICE_ARGS, JSON_ARG } from "./options.ts";
import { percent, ProgressLine } from "./progress.ts";

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
