/**
 * Semi-supervised evaluation: the whole network trained with labels of a part of the training clips, several draws of
 * that part, from the run's weights and from random ones.
 *
 * Every training that is done is a file; a command that was killed, or is asked for more draws, goes on from there.
 */
import { requireCount } from "../../tensor/door/door.ts";
import { labelledClips } from "../run/clips.ts";
import { tunerOf } from "./evaluate-finetune.ts";
import type { EvaluationHead } from "./evaluation-head.ts";
import { evaluationHead } from "./evaluation-head.ts";
import type { FinetuneSettings, Start } from "./finetune.ts";
import { resultName } from "./kept.ts";
import type { LabelDraw } from "./label-draws.ts";
import { drawLabelled } from "./label-draws.ts";
import type { OpenOptions } from "../run/open-run.ts";
import { openRun } from "../run/open-run.ts";
import { meanAndDeviation } from "./scores.ts";

/** How a run is judged with few labels. */
export interface SemiOptions extends OpenOptions {
  /** Shares of the training clips that are labelled. Default 0.01, 0.05, 0.1, 0.2, 0.5. */
  readonly fractions?: readonly number[];
  /** Default "balanced". */
  readonly draw?: LabelDraw;
  /** Draws of each share. Default 5. */
  readonly draws?: number;
  /** Random weights as well. Default true. */
  readonly fromScratch?: boolean;
  readonly settings?: Partial<FinetuneSettings>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SemiProgress) => void;
}

/** How far an evaluation with few labels is. */
export interface SemiProgress {
  readonly fraction: number;
  readonly draw: number;
  readonly from: Start;
  readonly done: number;
  readonly total: number;
  /** Trainings done before this one, and all. */
  readonly trained: number;
  readonly trainings: number;
}

/** Shares of labelled clips that results are published for. */
export const FRACTIONS: readonly number[] = [0.01, 0.05, 0.1, 0.2, 0.5];

/** Accuracy over the draws of a share: last epochs, on all test clips. */
export interface SemiScores {
  readonly mean: number;
  /** Sample standard deviation over draws. */
  readonly deviation: number;
  readonly accuracies: readonly number[];
}

/** Accuracies with few labels, by share and draw. */
export interface SemiEvaluation extends EvaluationHead {
  readonly kind: "semi";
  readonly draw: LabelDraw;
  readonly settings: FinetuneSettings;
  readonly fractions: readonly {
    readonly fraction: number;
    /** Labelled clips of each draw, and the classes that have one. */
    readonly clips: readonly number[];
    readonly classesCovered: readonly number[];
    readonly results: Readonly<Partial<Record<Start, SemiScores>>>;
  }[];
}

/** What is kept of one training. */
interface KeptDraw {
  readonly origin: object;
  readonly clips: number;
  readonly accuracy: number;
  readonly top5: number;
  readonly loss: number;
}

/** Accuracy by labelled share. Written to `eval/semi.json`; every training to `eval/semi/`. */
export async function evaluateSemi(options: SemiOptions): Promise<SemiEvaluation> {
  const start = performance.now();
  const { fractions = FRACTIONS, draw = "balanced", draws = 5, fromScratch = true, signal } = options;
  requireCount("evaluateSemi", "draws", draws, 1);
  const opened = openRun(options);
  const { folder, store, settings } = opened;
  try {
    folder.requireWritable();
    const train = labelledClips(store, "train", settings);
    const test = labelledClips(store, "test", settings);
    const { tuner, origin } = tunerOf(opened, options.settings);
    const { seed } = tuner.settings;
    const starts: readonly Start[] = fromScratch ? ["pretrained", "scratch"] : ["pretrained"];
    const trainings = fractions.length * draws * starts.length;
    let trained = 0;

    const table: SemiEvaluation["fractions"][number][] = [];
    for (const fraction of fractions) {
      const labelled = Array.from({ length: draws }, (_, number) =>
        drawLabelled(train, (clip) => store.label(clip), fraction, { draw, seed, number }),
      );
      const results: Partial<Record<Start, SemiScores>> = {};
      for (const from of starts) {
        const accuracies: number[] = [];
        for (const [number, clips] of labelled.entries()) {
          const name = `${resultName("semi", opened)}/${from}-${draw}-${fraction}-${number}`;
          const identity = { ...origin(from), draw, fraction, number };
          let kept = folder.evaluation(name) as KeptDraw | undefined;
          if (!kept || JSON.stringify(kept.origin) !== JSON.stringify(identity)) {
            const onProgress = (done: number, total: number): void =>
              options.onProgress?.({ fraction, draw: number, from, done, total, trained, trainings });
            const task = { store, train: clips, test, from, seed: seed + number, looks: 1, signal, onProgress };
            const { last, curve } = (await tuner.run(task)).result;
            const { accuracy, top5 } = last;
            kept = { origin: identity, clips: clips.length, accuracy, top5, loss: curve[0].loss };
            folder.writeEvaluation(name, kept);
          }
          accuracies.push(kept.accuracy);
          trained++;
        }
        results[from] = { ...meanAndDeviation(accuracies), accuracies };
      }
      table.push({
        fraction,
        clips: labelled.map((clips) => clips.length),
        classesCovered: labelled.map((clips) => new Set(clips.map((clip) => store.label(clip))).size),
        results,
      });
    }
    const evaluation = {
      kind: "semi",
      ...(await evaluationHead(opened, { train, test }, start)),
      draw,
      settings: tuner.settings,
      fractions: table,
    } as const;
    folder.writeEvaluation(resultName("semi", opened), evaluation);
    return evaluation;
  } finally {
    store.close();
  }
}
