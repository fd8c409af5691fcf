/** Options of the commands that train a whole network with labels, and what they show. */
import type { ArgsDef } from "citty";
import { CLASSIFIERS } from "../../hico/judge/classifier.ts";
import type { FinetuneResult, FinetuneSettings, Start } from "../../hico/judge/finetune.ts";
import { FINETUNE_SETTINGS } from "../../hico/judge/finetune.ts";
import { INTERVAL_NOTE } from "../../hico/judge/scores.ts";
import { accuracyWords, EVALUATION_ARGS, worstClasses } from "./evaluation.ts";
import { choiceOption, numberOption, wholeOption } from "../options.ts";
import { formatTable } from "../progress.ts";

const D = FINETUNE_SETTINGS;

const { baselines: _, ...COMMON } = EVALUATION_ARGS;

export const FINETUNE_ARGS = {
  ...COMMON,
  optimizer: { type: "string", description: `adamw or sgd, of momentum ${D.momentum} (${D.optimizer})` },
  lr: {
    type: "string",
    description: `Learning rate (${D.lr}); a tenth after ${D.drops.join(" and ")} of the training`,
  },
  classifier: {
    type: "string",
    description: `linear, or cosine: to one vector a class, from the means of the labelled clips (${D.classifier})`,
  },
  "head-lr": { type: "string", description: `Learning rate of the classifier (${D.headLr})` },
  "weight-decay": { type: "string", description: `Weight decay (${D.weightDecay})` },
  epochs: { type: "string", description: `Epochs (${D.epochs})` },
  "least-steps": { type: "string", description: `Steps at least, in as many epochs as that takes (${D.leastSteps})` },
  batch: { type: "string", description: `Clips in a step (${D.batch})` },
  "min-scale": { type: "string", description: `Least part of a clip that a temporal crop keeps (${D.minScale})` },
  amplitude: { type: "string", description: `Range of the entries of shear matrices (${D.amplitude})` },
  rotation: { type: "string", description: `Degrees of turns about the upright axis at most (${D.rotation})` },
  seed: { type: "string", description: `Seed of first values, order, augmentation and dropout (${D.seed})` },
} as const satisfies ArgsDef;

/** The settings among parsed options; undefined where not given. */
export function finetuneSettings(
  args: { readonly [Name in keyof typeof FINETUNE_ARGS]?: unknown },
): Partial<FinetuneSettings> {
  const text = (name: keyof typeof FINETUNE_ARGS): string | undefined => args[name] as string | undefined;
  return {
    optimizer: choiceOption("optimizer", text("optimizer"), ["sgd", "adamw"]),
    lr: numberOption("lr", text("lr")),
    classifier: choiceOption("classifier", text("classifier"), CLASSIFIERS),
    headLr: numberOption("head-lr", text("head-lr")),
    weightDecay: numberOption("weight-decay", text("weight-decay")),
    epochs: wholeOption("epochs", text("epochs")),
    leastSteps: wholeOption("least-steps", text("least-steps")),
    batch: wholeOption("batch", text("batch")),
    minScale: numberOption("min-scale", text("min-scale")),
    amplitude: numberOption("amplitude", text("amplitude")),
    rotation: numberOption("rotation", text("rotation")),
    seed: wholeOption("seed", text("seed"), 0),
  };
}

export const START_NAMES: Readonly<Record<Start, string>> = { pretrained: "pretrained", scratch: "from scratch" };

/** The results of trainings as text. */
export function finetuneTable(results: Readonly<Partial<Record<Start, FinetuneResult>>>): string {
  const rows = Object.entries(results).map(([from, { last, best }]) => [
    START_NAMES[from as Start],
    accuracyWords(last.accuracy, last.interval),
    accuracyWords(last.top5, last.top5Interval),
    accuracyWords(best.accuracy, best.interval),
    String(best.epoch),
  ]);
  return [
    formatTable([["", "last epoch", "top-5", "best epoch", "at"], ...rows]),
    INTERVAL_NOTE,
    "best epoch: chosen on the test clips, so an upper bound",
    `hardest classes: ${worstClasses(results.pretrained!.last.perClass)}`,
  ].join("\n");
}
