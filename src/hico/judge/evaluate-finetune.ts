/**
 * Fine-tuning as an evaluation of a run: the whole query network with labels of the training clips, from the run's
 * weights, and from random ones beside it. A training that is done is kept, so that a command that was killed goes on.
 */
import { tableOf, writeClipTable } from "./clip-table.ts";
import { labelledClips } from "../run/clips.ts";
import type { EvaluationHead } from "./evaluation-head.ts";
import { evaluationHead } from "./evaluation-head.ts";
import type { FinetuneResult, FinetuneSettings, Start } from "./finetune.ts";
import { Finetuner } from "./finetune.ts";
import { featureOrigin, resultName } from "./kept.ts";
import type { OpenedRun, OpenOptions } from "../run/open-run.ts";
import { openRun } from "../run/open-run.ts";

/** How a run is judged by fine-tuning. */
export interface FinetuneOptions extends OpenOptions {
  readonly settings?: Partial<FinetuneSettings>;
  /** Random weights as well. Default false. */
  readonly fromScratch?: boolean;
  /** What the result's name begins with. Default "finetune". */
  readonly name?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (from: Start, done: number, total: number) => void;
}

/** What fine-tuning came to, from learned and from random weights. */
export interface FinetuneEvaluation extends EvaluationHead {
  readonly kind: "finetune";
  readonly results: Readonly<Partial<Record<Start, FinetuneResult>>>;
}

/** A tuner of an opened run, and what every number it comes to follows from. */
export function tunerOf(
  opened: OpenedRun,
  given: Partial<FinetuneSettings> | undefined,
): { readonly tuner: Finetuner; readonly origin: (from: Start) => object } {
  const { model, settings: run, skeleton, inputs, store } = opened;
  const tuner = new Finetuner(model, { run, skeleton, inputs, classes: store.header.classes.length, settings: given });
  const { checkpoint, ...others } = featureOrigin(opened);
  // Random weights follow from the run's settings alone, whatever checkpoint is judged beside them.
  const { encoder, hidden, heads, layers, dropout, granularity } = run;
  const network = { encoder, hidden, heads, layers, dropout, granularity };
  const origin = (from: Start): object => ({
    from,
    ...(from === "pretrained" ? { checkpoint } : {}),
    ...others,
    network,
    settings: tuner.settings,
  });
  return { tuner, origin };
}

/** Accuracy after training the whole network. Written to `eval/finetune.json`; scores to `eval/finetune-FROM-scores.npz`. */
export async function evaluateFinetune(options: FinetuneOptions): Promise<FinetuneEvaluation> {
  const start = performance.now();
  const opened = openRun(options);
  const { folder, store, settings } = opened;
  try {
    folder.requireWritable();
    const train = labelledClips(store, "train", settings);
    const test = labelledClips(store, "test", settings);
    const { tuner, origin } = tunerOf(opened, options.settings);
    const name = options.name ?? "finetune";
    const results: Partial<Record<Start, FinetuneResult>> = {};
    for (const from of ["pretrained", ...(options.fromScratch ? (["scratch"] as const) : [])] as const) {
      const kept = `${resultName(name, opened)}-${from}`;
      const known = folder.evaluation(kept) as { origin: object; result: FinetuneResult } | undefined;
      if (known && JSON.stringify(known.origin) === JSON.stringify(origin(from))) {
        results[from] = known.result;
        continue;
      }
      const { signal } = options;
      const onProgress = (done: number, total: number): void => options.onProgress?.(from, done, total);
      const { result, probabilities } = await tuner.run({ store, train, test, from, signal, onProgress });
      const scores = tableOf(
        store,
        { clips: test, labels: Int32Array.from(test, (i) => store.label(i)) },
        probabilities,
      );
      writeClipTable(folder.evaluationPath(`${kept}-scores.npz`), scores, { ...origin(from) });
      folder.writeEvaluation(kept, { origin: origin(from), result });
      results[from] = result;
    }
    const evaluation = {
      kind: "finetune",
      ...(await evaluationHead(opened, { train, test }, start)),
      results,
    } as const;
    folder.writeEvaluation(resultName(name, opened), evaluation);
    return evaluation;
  } finally {
    store.close();
  }
}
