/**
 * The whole way in a few minutes and without data: generated clips are prepared, a small encoder is pretrained on them,
 * judged beside raw coordinates and a random encoder, and a report is written.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { GeneratorOptions } from "../data/synthetic/generator.ts";
import { prepareStore } from "../data/sources/prepare.ts";
import { generatedOnThreads } from "../data/sources/generated.ts";
import type { KnnEvaluation, LinearEvaluation } from "../hico/judge/evaluate.ts";
import { evaluateKnn, evaluateLinear } from "../hico/judge/evaluate.ts";
import type { PretrainEvent, PretrainReport } from "../hico/run/pretrain.ts";
import { pretrain } from "../hico/run/pretrain.ts";
import { RunFolder } from "../hico/run/folder.ts";
import type { RunSettings } from "../hico/run/settings.ts";
import { resolveSettings } from "../hico/run/settings.ts";
import { writeReport } from "../report/index.ts";

/** Sixteen people do fourteen actions six times: 672 clips to learn from, as many of other people to be judged on. */
export const DEMO_DATA: GeneratorOptions = { subjects: 16, repetitions: 6, seed: 0 };

/**
 * A network small enough for two cores. The generated people differ less in build and viewpoint than recorded ones, so
 * gentler augmentation than the paper's says "the same action" about what is the same.
 */
export const DEMO_SETTINGS: Partial<RunSettings> = {
  encoder: "gru",
  hidden: 128,
  granularity: 4,
  projection: 64,
  queue: 256,
  batch: 64,
  temperature: 0.1,
  keyMomentum: 0.99,
  lr: 0.03,
  epochs: 40,
  schedule: "cosine",
  frames: 32,
  minFrames: 32,
  minScale: 0.7,
  amplitude: 0.25,
  corruptJoints: 6,
  variant: "corrected",
};

/** Where the demonstration works, and how long. */
export interface DemoOptions {
  /** Folder for the store, the run and the report. */
  readonly folder: string;
  readonly data?: GeneratorOptions;
  readonly settings?: Partial<RunSettings>;
  readonly signal?: AbortSignal;
  readonly onStage?: (stage: string, part: number) => void;
  readonly onPretrain?: (event: PretrainEvent) => void;
}

/** What the demonstration came to. */
export interface DemoResult {
  readonly folder: string;
  readonly report: string;
  readonly pretraining: PretrainReport;
  readonly linear: LinearEvaluation;
  readonly knn: KnnEvaluation;
  readonly seconds: number;
}

/**
 * Runs what is missing: called again after an interruption, it goes on where it stopped.
 *
 * @returns undefined where pretraining was interrupted. @throws the signal's reason where another stage was.
 */
export async function runDemo({
  folder,
  data,
  settings,
  signal,
  onStage,
  onPretrain,
}: DemoOptions): Promise<DemoResult | undefined> {
  const start = performance.now();
  mkdirSync(folder, { recursive: true });
  const [store, run] = [join(folder, "demo.clips"), join(folder, "run")];
  if (!existsSync(store)) {
    await prepareStore(generatedOnThreads({ ...DEMO_DATA, ...data }), store, {
      notes: { kind: "generated", ...DEMO_DATA, ...data },
      signal,
      onProgress: ({ done, total }) => onStage?.("generating clips", done / total),
    });
  }
  const resume = new RunFolder(run).exists;
  const resolved = resolveSettings({ from: "demo", given: { ...DEMO_SETTINGS, ...settings, data: store } });
  const pretraining = await pretrain({ settings: resolved, run, resume, signal, onEvent: onPretrain });
  if (!pretraining.finished) return undefined;
  const onProgress =
    (name: string) =>
    ({ subject, stage, done, total }: { subject: string; stage: string; done: number; total: number }): void => {
      onStage?.(`${name}: ${subject}, ${stage}`, done / total);
    };
  // Signals are heard between turns of the event loop only.
  const turn = async (): Promise<void> => {
    await new Promise(setImmediate);
    signal?.throwIfAborted();
  };
  await turn();
  const linear = await evaluateLinear({ run, signal, onProgress: onProgress("linear classifier") });
  await turn();
  const knn = await evaluateKnn({ run, signal, onProgress: onProgress("1-NN") });
  await turn();
  const { path } = await writeReport({
    run,
    out: join(folder, "report.html"),
    onProgress: (stage, done, total) => {
      signal?.throwIfAborted();
      onStage?.(`report: ${stage}`, done / total);
    },
  });
  return { folder, report: path, pretraining, linear, knn, seconds: (performance.now() - start) / 1000 };
}
