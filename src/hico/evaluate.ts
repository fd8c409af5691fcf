/**
 * Evaluation of a run on a store: linear and k-NN, each beside what raw coordinates and a random encoder reach, so that
 * it shows what pretraining brought.
 */
import { ClipStore } from "../data/store.ts";
import { defaultDevice } from "../tensor/backend.ts";
import { realize } from "../tensor/realize.ts";
import { labelledClips, protocolOf } from "./clips.ts";
import type { FeatureTable } from "./features.ts";
import { encodeClips, rawFeatures } from "./features.ts";
import { loadModel } from "./checkpoint.ts";
import type { KnnResult } from "./knn.ts";
import { knnAccuracy } from "./knn.ts";
import type { ProbeResult, ProbeSettings } from "./linear-probe.ts";
import { linearProbe } from "./linear-probe.ts";
import type { HiCo } from "./model.ts";
import { RunFolder } from "./run-folder.ts";
import { modelFor } from "./run-model.ts";
import { loadRunModel } from "./run-state.ts";
import type { RunSettings } from "./settings.ts";
import { inputSettings } from "./settings.ts";

/** Whose features are judged. */
export type Subject = "pretrained" | "random" | "raw";

export interface EvaluationOptions {
  /** The run's folder. */
  readonly run: string;
  /** "last" (default), "best", or the path of a checkpoint, ours or the published implementation's `.pth.tar`. */
  readonly checkpoint?: string;
  /** Another store than the run's. */
  readonly data?: string;
  /** Another protocol than the run's. */
  readonly protocol?: string;
  /** Raw coordinates and the random encoder as well. Default true. */
  readonly baselines?: boolean;
  readonly onProgress?: (progress: EvaluationProgress) => void;
}

export interface EvaluationProgress {
  readonly subject: Subject;
  readonly stage: "train features" | "test features" | "linear" | "knn";
  readonly done: number;
  readonly total: number;
}

/** What every result begins with. */
export interface EvaluationHead {
  readonly run: string;
  readonly checkpoint: string;
  readonly data: string;
  readonly protocol: string;
  readonly device: string;
  readonly classes: readonly string[];
  readonly trainClips: number;
  readonly testClips: number;
  readonly seconds: number;
}

export interface KnnEvaluation extends EvaluationHead {
  readonly kind: "knn";
  readonly results: Readonly<Partial<Record<Subject, KnnResult>>>;
}

export interface LinearEvaluation extends EvaluationHead {
  readonly kind: "linear";
  readonly results: Readonly<Partial<Record<Subject, ProbeResult>>>;
}

/** A run opened for evaluation; close it afterwards. */
export interface OpenedRun {
  readonly folder: RunFolder;
  readonly settings: RunSettings;
  readonly store: ClipStore;
  readonly model: HiCo;
  readonly checkpoint: string;
}

/** Opens a run's store and loads its model. @throws Error where a checkpoint does not fit the settings. */
export function openRun({
  run,
  checkpoint,
  data,
  protocol,
}: Pick<EvaluationOptions, "run" | "checkpoint" | "data" | "protocol">): OpenedRun {
  const folder = new RunFolder(run);
  const own = folder.settings();
  const settings = { ...own, data: data ?? own.data, protocol: protocol ?? (data === undefined ? own.protocol : "") };
  if (protocol !== undefined) Object.assign(settings, { holdOut: [], holdOutCameras: [] });
  const path = folder.checkpoint(checkpoint);
  const store = ClipStore.open(settings.data);
  try {
    const model = modelFor(settings, store.header.layout);
    if (path.endsWith(".safetensors")) loadRunModel(path, model);
    else loadModel(model, path);
    return { folder, settings, store, model, checkpoint: path };
  } catch (error) {
    store.close();
    throw error;
  }
}

/** The classifier for raw coordinates: its features are centred and scaled so that the paper's rate suits them. */
const RAW_NORM = 3;

/** k-NN accuracy. The gallery are the training clips. Written to `eval/knn.json`. */
export async function evaluateKnn(options: EvaluationOptions & { readonly k?: number }): Promise<KnnEvaluation> {
  return evaluate<KnnResult, KnnEvaluation>("knn", options, (train, test, classes, _subject, progress) => {
    progress(0, 1);
    return knnAccuracy(train, test, classes, options.k ?? 1);
  });
}

/** Accuracy of a linear classifier. Written to `eval/linear.json`. */
export async function evaluateLinear(
  options: EvaluationOptions & { readonly probe?: Partial<ProbeSettings> },
): Promise<LinearEvaluation> {
  return evaluate<ProbeResult, LinearEvaluation>("linear", options, (train, test, classes, subject, progress) => {
    const [from, to] = subject === "raw" ? centred(train, test) : [train, test];
    return linearProbe(from, to, classes, {
      settings: options.probe,
      onEpoch: (epoch, epochs) => progress(epoch, epochs),
    });
  });
}

type Judge<R> = (
  train: FeatureTable,
  test: FeatureTable,
  classes: readonly string[],
  subject: Subject,
  progress: (done: number, total: number) => void,
) => Promise<R>;

async function evaluate<R, E extends EvaluationHead>(
  kind: "knn" | "linear",
  options: EvaluationOptions,
  judge: Judge<R>,
): Promise<E> {
  const start = performance.now();
  const { folder, settings, store, model, checkpoint } = openRun(options);
  try {
    const trainClips = labelledClips(store, "train", settings);
    const testClips = labelledClips(store, "test", settings);
    const inputs = inputSettings(settings);
    const { classes, layout } = store.header;
    const subjects: readonly Subject[] = options.baselines === false ? ["pretrained"] : ["pretrained", "random", "raw"];
    const results: Partial<Record<Subject, R>> = {};
    for (const subject of subjects) {
      const progress =
        (stage: EvaluationProgress["stage"]) =>
        (done: number, total: number): void => {
          options.onProgress?.({ subject, stage, done, total });
        };
      // The very first values of this run: what the same network knows without pretraining.
      if (subject === "random") {
        model.loadStateDict(modelFor(settings, layout).stateDict());
        await realize([...model.stateDict().values()]);
      }
      const features = (clips: readonly number[], stage: EvaluationProgress["stage"]): Promise<FeatureTable> =>
        subject === "raw"
          ? rawFeatures(store, clips, { inputs })
          : encodeClips(model, store, clips, { inputs, onProgress: progress(stage) });
      const train = await features(trainClips, "train features");
      const test = await features(testClips, "test features");
      results[subject] = await judge(train, test, classes, subject, progress(kind));
    }
    const evaluation = {
      kind,
      run: options.run,
      checkpoint,
      data: store.path,
      protocol: protocolOf(store, settings),
      holdOut: settings.holdOut,
      holdOutCameras: settings.holdOutCameras,
      device: (await defaultDevice()).name,
      classes,
      trainClips: trainClips.length,
      testClips: testClips.length,
      seconds: (performance.now() - start) / 1000,
      results,
    };
    folder.writeEvaluation(kind, evaluation);
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
