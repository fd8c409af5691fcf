/**
 * Evaluation of a run on a store: linear and k-NN, each beside what raw coordinates and a random encoder reach, so that
 * it shows what pretraining brought.
 */
import { realize } from "../../tensor/program/realize.ts";
import { tableOf, writeClipTable } from "./clip-table.ts";
import { labelledClips } from "../run/clips.ts";
import type { EvaluationHead } from "./evaluation-head.ts";
import { evaluationHead } from "./evaluation-head.ts";
import type { FeatureTable } from "./features.ts";
import { rawFeatures } from "./features.ts";
import { keptFeatures, linearOrigin, resultName } from "./kept.ts";
import type { KnnResult } from "./knn.ts";
import { knnAccuracy } from "./knn.ts";
import type { ProbeResult, ProbeSettings } from "./linear-probe.ts";
import { probe as trainProbe } from "./linear-probe.ts";
import type { OpenedRun, OpenOptions } from "../run/open-run.ts";
import { openRun } from "../run/open-run.ts";
import type { ClassifierFacts } from "./variants.ts";
import { keepOther } from "./variants.ts";
import { modelFor } from "../run/run-model.ts";

/** Whose features are judged. */
export type Subject = "pretrained" | "random" | "raw";

/** How a run is judged. */
export interface EvaluationOptions extends OpenOptions {
  /** What the result's name begins with. Default "linear" or "knn". */
  readonly name?: string;
  /** Whether the result is written into the run's folder. Default true. */
  readonly write?: boolean;
  /** Raw coordinates and the random encoder as well. Default true. */
  readonly baselines?: boolean;
  /** Ends the evaluation with the signal's reason; nothing is written then. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: EvaluationProgress) => void;
}

/** How far an evaluation is. */
export interface EvaluationProgress {
  readonly subject: Subject;
  readonly stage: "train features" | "test features" | "linear" | "knn";
  readonly done: number;
  readonly total: number;
}

/** Accuracies of nearest neighbours, for the run and its baselines. */
export interface KnnEvaluation extends EvaluationHead {
  readonly kind: "knn";
  readonly classifier: { readonly k: number };
  readonly results: Readonly<Partial<Record<Subject, KnnResult>>>;
}

/** Accuracies of a linear classifier, for the run and its baselines. */
export interface LinearEvaluation extends EvaluationHead {
  readonly kind: "linear";
  readonly classifier: Readonly<Record<string, unknown>>;
  readonly results: Readonly<Partial<Record<Subject, ProbeResult>>>;
}

/** The classifier for raw coordinates: its features are centred and scaled so that the paper's rate suits them. */
const RAW_NORM = 3;

/** k-NN accuracy. The gallery are the training clips. Written to `eval/knn.json`. */
export async function evaluateKnn(options: EvaluationOptions & { readonly k?: number }): Promise<KnnEvaluation> {
  const judge: Judge<KnnResult> = ({ train, test, classes, progress }) => {
    progress(0, 1);
    return knnAccuracy(train, test, classes, options.k ?? 1);
  };
  return evaluate<KnnResult, KnnEvaluation>("knn", options, judge, ({ k }) => ({ k }));
}

/**
 * Accuracy of a linear classifier. Written to `eval/linear.json`, and what it makes of every test clip after the last
 * epoch to `eval/linear-scores.npz`, which stands beside the result that it is of.
 */
export async function evaluateLinear(
  options: EvaluationOptions & { readonly probe?: Partial<ProbeSettings> },
): Promise<LinearEvaluation> {
  const judge: Judge<ProbeResult> = async ({ opened, train, test, classes, subject, progress }) => {
    const [from, to] = subject === "raw" ? centred(train, test) : [train, test];
    const { result, probabilities } = await trainProbe(from, to, classes, {
      settings: options.probe,
      onEpoch: (epoch, epochs) => progress(epoch, epochs),
    });
    if (subject === "pretrained" && options.write !== false) {
      const kind = options.name ?? "linear";
      const scores = resultName(`${kind}-scores`, opened);
      keepOther(opened.folder, resultName(kind, opened), { ...result.settings }, scores);
      const path = opened.folder.evaluationPath(`${scores}.npz`);
      writeClipTable(path, tableOf(opened.store, test, probabilities), linearOrigin(opened, result.settings));
    }
    return result;
  };
  return evaluate<ProbeResult, LinearEvaluation>("linear", options, judge, ({ settings }) => ({ ...settings }));
}

type Judge<R> = (given: {
  readonly opened: OpenedRun;
  readonly train: FeatureTable;
  readonly test: FeatureTable;
  readonly classes: readonly string[];
  readonly subject: Subject;
  readonly progress: (done: number, total: number) => void;
}) => Promise<R>;

async function evaluate<R, E extends EvaluationHead>(
  kind: "knn" | "linear",
  options: EvaluationOptions,
  judge: Judge<R>,
  classifierOf: (result: R) => ClassifierFacts,
): Promise<E> {
  const start = performance.now();
  const opened = openRun(options);
  const { folder, settings, store, model, inputs, skeleton } = opened;
  try {
    folder.requireWritable();
    const clips = { train: labelledClips(store, "train", settings), test: labelledClips(store, "test", settings) };
    const { classes } = store.header;
    const subjects: readonly Subject[] = options.baselines === false ? ["pretrained"] : ["pretrained", "random", "raw"];
    const results: Partial<Record<Subject, R>> = {};
    for (const subject of subjects) {
      const progress =
        (stage: EvaluationProgress["stage"]) =>
        (done: number, total: number): void => {
          options.signal?.throwIfAborted();
          options.onProgress?.({ subject, stage, done, total });
        };
      // The very first values of this run: what the same network knows without pretraining.
      if (subject === "random") {
        model.loadStateDict(modelFor(settings, skeleton).stateDict());
        await realize([...model.stateDict().values()]);
      }
      const features = async (split: "train" | "test"): Promise<FeatureTable> => {
        const onProgress = progress(`${split} features`);
        if (subject === "raw") return rawFeatures(store, clips[split], { inputs });
        return keptFeatures(opened, split, onProgress, subject);
      };
      const [train, test] = [await features("train"), await features("test")];
      results[subject] = await judge({ opened, train, test, classes, subject, progress: progress(kind) });
    }
    const classifier = classifierOf(results.pretrained!);
    const evaluation = {
      kind,
      ...(await evaluationHead(opened, clips, start)),
      classifier,
      results,
    };
    if (options.write !== false) {
      const name = resultName(options.name ?? kind, opened);
      keepOther(folder, name, classifier);
      folder.writeEvaluation(name, evaluation);
    }
    return evaluation as unknown as E;
  } finally {
    store.close();
  }
}

/** Both tables less the training clips' mean, and scaled: training rows get the root mean square norm `RAW_NORM`. */
function centred(train: FeatureTable, test: FeatureTable): [FeatureTable, FeatureTable] {
  const { width, rows } = train;
  const mean = new Float64Array(width);
  train.data.forEach((value, i) => (mean[i % width] += value / rows));
  let squares = 0;
  train.data.forEach((value, i) => (squares += (value - mean[i % width]) ** 2 / rows));
  const factor = squares > 0 ? RAW_NORM / Math.sqrt(squares) : 1;
  const apply = (table: FeatureTable): FeatureTable => ({
    ...table,
    data: table.data.map((value, i) => (value - mean[i % width]) * factor),
  });
  return [apply(train), apply(test)];
}
