/**
 * What a report shows, gathered from a run's folder: settings, curves, results, and from the test clips' features a map
 * of the representation and, for some queries, the clips it holds to be nearest.
 */
import { existsSync } from "node:fs";
import { DataError } from "../data/errors.ts";
import type { Split } from "../data/store/protocol.ts";
import type { ClipStore } from "../data/store/store.ts";
import type { Origin } from "../hico/judge/clip-table.ts";
import { clipsOf, protocolOf } from "../hico/run/clips.ts";
import type { KnnEvaluation, LinearEvaluation, Subject } from "../hico/judge/evaluate.ts";
import { evaluateKnn } from "../hico/judge/evaluate.ts";
import type { EvaluationHead } from "../hico/judge/evaluation-head.ts";
import type { Interval } from "../hico/judge/scores.ts";
import { classifierWords, otherResults } from "../hico/judge/variants.ts";
import type { FeatureTable } from "../hico/judge/features.ts";
import { encodeClips } from "../hico/judge/features.ts";
import { nearest } from "../hico/judge/knn.ts";
import { LOSS_PARTS } from "../hico/model/loss.ts";
import { featureOrigin, featuresFound, resultName } from "../hico/judge/kept.ts";
import type { OpenedRun } from "../hico/run/open-run.ts";
import { openRun } from "../hico/run/open-run.ts";
import type { MetricsLine } from "../hico/run/folder.ts";
import { RunFolder } from "../hico/run/folder.ts";
import type { RunSettings } from "../hico/run/settings.ts";
import { defaultDevice } from "../tensor/backend.ts";
import type { GalleryData, PlayableClip } from "./page/gallery.ts";
import { playable, skeletonOf } from "./page/gallery.ts";
import type { Comparison, Judgements } from "./compare.ts";
import { compareRuns, differing, judgementOf } from "./compare.ts";
import { evenly, rowsOf, unitRows } from "./measures/feature-rows.ts";
import type { LevelMaps } from "./measures/levels.ts";
import { layoutsOf } from "./measures/layouts.ts";
import { levelMaps, levelsOf } from "./measures/levels.ts";

/** Which run is reported, and how much of it. */
export interface ReportOptions {
  readonly run: string;
  readonly checkpoint?: string;
  readonly data?: string;
  readonly protocol?: string;
  /** Test clips on the map at most. Default 600. */
  readonly mapClips?: number;
  /** Test clips on the map of each level at most. Default 300. */
  readonly levelClips?: number;
  /** Folder of a run to compare with, class by class. */
  readonly compare?: string;
  /** Queries of the retrieval gallery. Default 8. */
  readonly queries?: number;
  /** Neighbours of each. Default 5. */
  readonly neighbours?: number;
  readonly onProgress?: (stage: string, done: number, total: number) => void;
  /** Is told the name of the page in the run's folder before any work; may throw. */
  readonly onPage?: (file: string) => void;
}

/** All that a report shows, as plain data. */
export interface ReportData extends GalleryData {
  readonly title: string;
  readonly checkpoint: string;
  readonly data: string;
  readonly protocol: string;
  readonly device: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Of pretraining: facts for the table of timings. */
  readonly pretraining: Readonly<Record<string, unknown>>;
  /** The name of the page, without its ending: it says which protocol and store it is of where they are not the run's. */
  readonly page: string;
  /** What is in the run's folder and not shown, and why. */
  readonly notes: readonly string[];
  /** Which clips the map, the levels and the queries are of: the training clips where no clip tests. */
  readonly shownOf: "test" | "training";
  readonly trainClips: number;
  readonly testClips: number;
  /** Loss, five parts and accuracy by epoch. */
  readonly curves: { readonly epoch: readonly number[]; readonly series: Readonly<Record<string, readonly number[]>> };
  readonly results: readonly {
    readonly name: string;
    readonly note: string;
    readonly values: Readonly<Partial<Record<Subject, number>>>;
    /** 95 % confidence intervals of the values. */
    readonly intervals?: Readonly<Partial<Record<Subject, Interval>>>;
  }[];
  readonly confusion?: { readonly from: string; readonly counts: readonly (readonly number[])[] };
  readonly map: { readonly clips: readonly number[]; readonly x: readonly number[]; readonly y: readonly number[] };
  /** Each level of the hierarchy alone, where there are several. */
  readonly levels?: LevelMaps;
  readonly comparison?: Comparison;
}

/** Encodes, judges and maps a run's clips: everything that its report shows. */
export async function collectReport(options: ReportOptions): Promise<ReportData> {
  const { mapClips = 600, levelClips = Math.min(300, mapClips), queries = 8, neighbours = 5, onProgress } = options;
  const opened = openRun(options);
  const { folder, settings, store, model, inputs, checkpoint } = opened;
  try {
    options.onPage?.(`${resultName("report", opened)}.html`);
    const { trainClips, testClips, shownOf } = splitsOf(store, settings);
    const kept = evaluationsOf(opened);
    // Features of all these clips are computed for the maps anyway, so neighbours cost next to nothing.
    const unjudged = !kept.evaluations.linear && !kept.evaluations.knn && testClips.some((i) => store.label(i) >= 0);
    // Of another checkpoint than the last, a report is no reason to lose what there is of the last.
    const ofLast = (options.checkpoint ?? "last") === "last";
    const write = ofLast || folder.evaluation(resultName("knn", opened)) === undefined;
    const judging = { ...options, name: undefined, baselines: false, onProgress: undefined, write };
    const made = unjudged ? await evaluateKnn(judging) : undefined;
    const { evaluations, notes } = made && write ? evaluationsOf(opened) : kept;
    const { linear, knn = made } = evaluations;
    const judgements = { linear: judgementOf(linear), knn: judgementOf(knn) };
    const comparison =
      options.compare === undefined
        ? undefined
        : compareRuns(options.run, options.compare, judgements, othersJudgements(options.compare, opened, options));
    const features = async (split: Split, clips: readonly number[]): Promise<FeatureTable> => {
      // Evaluations keep those of labelled clips, of which a report is where there are any.
      const found = store.label(clips[0]) >= 0 ? featuresFound(opened, split) : undefined;
      const onEncoded = (d: number, n: number): void => onProgress?.(`${split} features`, d, n);
      return found ?? encodeClips(model, store, clips, { inputs, onProgress: onEncoded });
    };
    const train = await features("train", trainClips);
    const test = shownOf === "training" ? train : await features("test", testClips);

    const shown = evenly(test.rows, mapClips);
    const apart = settings.granularity > 1 ? levelsOf(test, settings.granularity, levelClips) : undefined;
    const points = [
      unitRows(rowsOf(test, shown)),
      ...(apart?.tables ?? []).map((table) => rowsOf(table, apart!.shown)),
    ];
    const [layout, ...layouts] = await layoutsOf(points, (d, n) => onProgress?.("maps", d, n));
    const levels = apart && levelMaps(apart, layouts);
    const mapped = shown.map((row) => test.clips[row]);
    const asked = queriesOf(test, queries);
    // A clip that asks among its own kind finds itself first, which tells nothing.
    const k = Math.min(shownOf === "training" ? neighbours + 1 : neighbours, train.rows);
    const found = await nearest(train, rowsOf(test, asked), k);
    const gallery = asked.map((row, q) => ({
      query: test.clips[row],
      nearest: Array.from({ length: k }, (_, j) => ({
        clip: train.clips[found.rows[q * k + j]],
        similarity: round(found.similarities[q * k + j], 4),
      }))
        .filter(({ clip }) => clip !== test.clips[row])
        .slice(0, neighbours),
    }));
    const wanted = new Set([...mapped, ...gallery.flatMap((g) => [g.query, ...g.nearest.map((n) => n.clip)])]);
    const clips: Record<number, PlayableClip> = {};
    for (const clip of wanted) clips[clip] = playable(store.read(clip), store.facts(clip));

    const judged = judgements.linear ?? judgements.knn;
    const { classes } = store.header;
    return {
      title: folder.path,
      checkpoint,
      data: store.path,
      protocol: protocolOf(store, settings) ?? "",
      device: (await defaultDevice()).name,
      settings: { ...settings },
      pretraining: folder.pretraining() ?? {},
      classes,
      page: resultName("report", opened),
      notes,
      shownOf,
      trainClips: trainClips.length,
      testClips: testClips.length,
      curves: curvesOf(folder),
      results: [linear, ...evaluations.linearBeside]
        .flatMap(linearResults)
        .concat([knn, ...evaluations.knnBeside].flatMap(knnResults)),
      confusion: judged && { from: judged.from, counts: judged.scores.confusion },
      map: {
        clips: mapped,
        x: shown.map((_, i) => round(layout[2 * i], 3)),
        y: shown.map((_, i) => round(layout[2 * i + 1], 3)),
      },
      levels,
      gallery,
      clips,
      comparison,
      skeleton: skeletonOf(store.header),
    };
  } finally {
    store.close();
  }
}

/** What was evaluated of exactly this: checkpoint, store, protocol and inputs. Anything else is named, not shown. */
function evaluationsOf(opened: OpenedRun): {
  readonly evaluations: {
    readonly linear?: LinearEvaluation;
    readonly knn?: KnnEvaluation;
    /** By other classifiers of the same kind. */
    readonly linearBeside: readonly LinearEvaluation[];
    readonly knnBeside: readonly KnnEvaluation[];
  };
  readonly notes: readonly string[];
} {
  const origin = featureOrigin(opened);
  const notes: string[] = [];
  const of = (kind: "linear" | "knn"): unknown => {
    const name = resultName(kind, opened);
    const found = opened.folder.evaluation(name) as { readonly origin?: Origin } | undefined;
    if (found === undefined) return undefined;
    const others = differing(origin, found.origin ?? {}, Object.keys(origin));
    if (others.length === 0) return found;
    const why = found.origin === undefined ? "does not say what it is of" : `is of other ${others.join(", ")}`;
    notes.push(`eval/${name}.json ${why}, and is not shown; hico eval ${kind} makes it again`);
    return undefined;
  };
  const beside = (kind: "linear" | "knn"): unknown[] =>
    otherResults(opened.folder, resultName(kind, opened), kind)
      .map(({ result }) => result as EvaluationHead)
      .filter((result) => JSON.stringify(result.origin) === JSON.stringify(origin));
  return {
    evaluations: {
      linear: of("linear") as LinearEvaluation | undefined,
      knn: of("knn") as KnnEvaluation | undefined,
      linearBeside: beside("linear") as LinearEvaluation[],
      knnBeside: beside("knn") as KnnEvaluation[],
    },
    notes,
  };
}

/**
 * How a run that is compared with was judged, under the protocol of the reported one: at its last checkpoint, or at its
 * best where the report is of that. @throws Error where it was not judged so
 */
function othersJudgements(run: string, { store, settings }: OpenedRun, options: ReportOptions): Judgements {
  const other = new RunFolder(run);
  const their = other.settings();
  const name = protocolOf(store, settings);
  const same = other.store()?.checksum === store.checksum;
  const opened = openRun({
    run,
    checkpoint: options.checkpoint === "best" ? "best" : undefined,
    data: options.data ?? (existsSync(their.data) ? undefined : store.path),
    protocol: options.protocol ?? (same && protocolOf(store, their) !== name ? name : undefined),
  });
  try {
    const { evaluations, notes } = evaluationsOf(opened);
    const { linear, knn } = evaluations;
    if (linear || knn) return { linear: judgementOf(linear), knn: judgementOf(knn) };
    const protocol = protocolOf(opened.store, opened.settings);
    const where = opened.ownProtocol ? "" : ` --protocol ${protocol}`;
    throw new Error(
      `${run} ${notes.length > 0 ? `cannot be compared with: ${notes.join("; ")}` : "was not judged"}; ` +
        `run hico eval linear ${run}${where}, or hico eval knn`,
    );
  } finally {
    opened.store.close();
  }
}

/** The clips that train and test, with labels where there are any: maps and retrieval need none. */
function splitsOf(
  store: ClipStore,
  settings: RunSettings,
): Pick<ReportData, "shownOf"> & { readonly trainClips: number[]; readonly testClips: number[] } {
  const of = (split: Split): number[] => {
    const clips = clipsOf(store, split, settings);
    const labelled = clips.filter((i) => store.label(i) >= 0);
    return labelled.length > 0 ? labelled : clips;
  };
  const [trainClips, testClips] = [of("train"), of("test")];
  if (trainClips.length === 0) {
    throw new DataError(
      store.path,
      "empty",
      `no training clip under ${protocolOf(store, settings)}; name another protocol`,
    );
  }
  return { trainClips, testClips, shownOf: testClips.length > 0 ? "test" : "training" };
}

function linearResults(linear: LinearEvaluation | undefined): ReportData["results"] {
  if (!linear) return [];
  type Result = NonNullable<LinearEvaluation["results"][Subject]>;
  const of = <T>(value: (result: Result) => T): Partial<Record<Subject, T>> => valuesOf(linear.results, value);
  const which = `${linear.classifier ? ` (${classifierWords(linear.classifier)})` : ""}${clipWords(linear)}`;
  return [
    {
      name: "Linear classifier",
      note: `last epoch${which}`,
      values: of((r) => r.last.accuracy),
      intervals: of((r) => r.last.interval),
    },
    {
      name: "Linear classifier",
      note: `best epoch, chosen on the test clips: an upper bound${which}`,
      values: of((r) => r.best.accuracy),
      intervals: of((r) => r.best.interval),
    },
    {
      name: "Linear classifier, top-5",
      note: `last epoch${which}`,
      values: of((r) => r.last.top5),
      intervals: of((r) => r.last.top5Interval),
    },
  ];
}

function knnResults(knn: KnnEvaluation | undefined): ReportData["results"] {
  const k = Object.values(knn?.results ?? {})[0]?.k;
  return knn
    ? [
        {
          name: `${k}-NN`,
          note: `cosine similarity, gallery: the training clips${clipWords(knn)}`,
          values: valuesOf(knn.results, (r) => r.accuracy),
          intervals: valuesOf(knn.results, (r) => r.interval),
        },
      ]
    : [];
}

/** A word where test clips were pretrained on, or are of classes that nothing was learned of. */
function clipWords({ seenInPretraining, testClips, untrained }: EvaluationHead): string {
  const seen = `; the run was pretrained on ${seenInPretraining} of the ${testClips} test clips, without their labels`;
  const unknown = `; no training clip of ${untrained?.join(", ")}, whose test clips count as wrong`;
  return `${seenInPretraining ? seen : ""}${untrained?.length ? unknown : ""}`;
}

function valuesOf<R, T>(
  results: Readonly<Partial<Record<Subject, R>>>,
  value: (result: R) => T,
): Partial<Record<Subject, T>> {
  return Object.fromEntries(
    Object.entries(results).map(([subject, result]) => [subject, value(result as R)] as const),
  ) as Partial<Record<Subject, T>>;
}

/** Epoch means of the metrics. */
function curvesOf(folder: RunFolder): ReportData["curves"] {
  const epochs = folder.metrics().filter(({ kind }) => kind === "epoch");
  const curve = (of: (line: MetricsLine) => number): number[] => epochs.map((line) => round(of(line), 5));
  return {
    epoch: epochs.map(({ epoch }) => epoch),
    series: {
      loss: curve(({ loss }) => loss),
      ...Object.fromEntries(LOSS_PARTS.map((name) => [name, curve(({ parts }) => parts[name])])),
      accuracy: curve(({ accuracy }) => accuracy),
    },
  };
}

/** Test rows to ask with: the classes in turn, so that the gallery shows as many as it can. */
function queriesOf(test: FeatureTable, count: number): number[] {
  const byClass = new Map<number, number[]>();
  test.labels.forEach((label, row) => byClass.set(label, [...(byClass.get(label) ?? []), row]));
  const queues = [...byClass.entries()].sort(([a], [b]) => a - b).map(([, rows]) => rows);
  const chosen: number[] = [];
  const rounds = Math.ceil(count / Math.max(1, queues.length));
  for (let n = 0; n < rounds; n++) {
    // Evenly over a class, each of its clips once: one of fewer clips than rounds sits the last ones out.
    for (const rows of queues)
      if (n < rows.length) chosen.push(rows[Math.floor((n * rows.length) / Math.min(rounds, rows.length))]);
  }
  return chosen.slice(0, count);
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
