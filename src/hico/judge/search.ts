/**
 * Search: the clips of a store that a run's features hold to be nearest to a query, by cosine similarity.
 *
 * The query is a clip of that store, of another one, or a recording of one's own; a recording may be cut into windows,
 * each of which is a query.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clip } from "../../data/skeleton/clip.ts";
import { DataError } from "../../data/errors.ts";
import { normalizationWords, perClipOrFrame } from "../../data/skeleton/upright.ts";
import { prepareStore } from "../../data/sources/prepare.ts";
import { openRecording } from "../../data/sources/kinds.ts";
import { ClipStore } from "../../data/store/store.ts";
import { defaultDevice } from "../../tensor/backend.ts";
import { clipsOf } from "../run/clips.ts";
import { encodeClips } from "./features.ts";
import { nearest } from "./knn.ts";
import { openRun } from "../run/open-run.ts";

/** What is looked for, where, and by which run. */
export interface SearchOptions {
  /** Name or number of a clip, or the path of a CSV recording. */
  readonly query: string;
  /** The store that is searched. */
  readonly data: string;
  /** The run whose features are compared. */
  readonly run: string;
  readonly checkpoint?: string;
  /** The store that the query is a clip of. Default: the one that is searched. */
  readonly from?: string;
  /** Which clips are searched: those that train or test under the run's protocol, or all (default). */
  readonly split?: "train" | "test" | "all";
  /** How a recording is read, as `hico data prepare csv` takes it. */
  readonly spec?: string;
  readonly units?: "m" | "cm" | "mm";
  readonly map?: string;
  readonly window?: string;
  readonly hop?: string;
  /** Clips found for a query. Default 10; no more than there are. */
  readonly k?: number;
  readonly onProgress?: (stage: "clips" | "query", done: number, total: number) => void;
}

/** A clip that was found. */
export interface FoundClip {
  /** Its number in the store. */
  readonly index: number;
  readonly name: string;
  readonly label?: string;
  readonly subject?: number;
  /** Cosine, at most 1. */
  readonly similarity: number;
}

/** One thing that was looked for, and the clips nearest to it. */
export interface SearchedQuery {
  readonly name: string;
  /** Its number, where it is a clip of the store that is searched. */
  readonly index?: number;
  readonly label?: string;
  /** Nearest first. */
  readonly nearest: readonly FoundClip[];
}

/** What a search found, as plain data. */
export interface SearchReport {
  readonly run: string;
  readonly checkpoint: string;
  readonly data: string;
  readonly from: string;
  readonly device: string;
  /** Clips compared with. */
  readonly clips: number;
  readonly queries: readonly SearchedQuery[];
  readonly seconds: number;
}

/** What a search found, with the clips that were looked for. */
export interface SearchResult {
  readonly report: SearchReport;
  /** The queries' clips, as they were encoded. */
  readonly clips: readonly Clip[];
}

/** A query clip is never found by itself. @throws Error where there is no such clip or file, or layouts differ. */
export async function search(options: SearchOptions): Promise<SearchResult> {
  const start = performance.now();
  const { run, data, checkpoint, split = "all", onProgress } = options;
  const opened = openRun({ run, data, checkpoint });
  const { store, model, settings, inputs } = opened;
  let asked: Query | undefined;
  try {
    asked = await openQuery(options, store);
    const searched =
      split === "all" ? Array.from({ length: store.length }, (_, i) => i) : clipsOf(store, split, settings);
    if (searched.length === 0)
      throw new Error(`${store.path}: no clip to ${split} with; search all of them, or a store with a split`);
    const gallery = await encodeClips(model, store, searched, {
      inputs,
      onProgress: (d, n) => onProgress?.("clips", d, n),
    });
    const queries = await encodeClips(model, asked.store, asked.clips, {
      inputs,
      onProgress: (d, n) => onProgress?.("query", d, n),
    });
    const k = Math.min((options.k ?? 10) + 1, gallery.rows);
    const { rows, similarities } = await nearest(gallery, queries, k);
    // Opened once more as --from, a store is the same still.
    const within = asked.store.checksum === store.checksum;
    const { store: from, clips } = asked;
    const answers = clips.map((clip, q): SearchedQuery => {
      const found = Array.from({ length: k }, (_, j) => ({
        index: searched[rows[q * k + j]],
        similarity: similarities[q * k + j],
      }))
        .filter(({ index }) => !(within && index === clip))
        .slice(0, options.k ?? 10);
      return {
        ...{ name: from.facts(clip).name, index: within ? clip : undefined, label: labelOf(from, clip) },
        nearest: found.map(({ index, similarity }) => {
          const { name, subject } = store.facts(index);
          return { index, name, label: labelOf(store, index), subject, similarity: Number(similarity.toFixed(6)) };
        }),
      };
    });
    return {
      report: {
        ...{
          run,
          checkpoint: opened.checkpoint,
          data: store.path,
          from: asked.path,
          device: (await defaultDevice()).name,
        },
        ...{ clips: searched.length, queries: answers, seconds: (performance.now() - start) / 1000 },
      },
      clips: clips.map((clip) => from.read(clip)),
    };
  } finally {
    asked?.close();
    store.close();
  }
}

function labelOf(store: ClipStore, clip: number): string | undefined {
  return store.header.classes[store.label(clip)];
}

interface Query {
  readonly store: ClipStore;
  readonly clips: readonly number[];
  /** Store or recording that it comes from. */
  readonly path: string;
  close(): void;
}

async function openQuery(options: SearchOptions, store: ClipStore): Promise<Query> {
  const { query, from } = options;
  const source = from === undefined ? store : ClipStore.open(from);
  const close = (): void => {
    if (source !== store) source.close();
  };
  try {
    const reading = ["spec", "units", "map", "window", "hop"] as const;
    const option = reading.find((name) => options[name] !== undefined);
    const clip = option === undefined ? clipOf(source, query) : undefined;
    if (clip !== undefined) {
      checkLayout(source, store);
      return { store: source, clips: [clip], path: source.path, close };
    }
    if (from === undefined && statSync(query, { throwIfNoEntry: false })?.isFile())
      return await openFile(options, store);
    if (option !== undefined) throw new Error(`there is no recording ${query} to read with --${option}`);
    const file = from === undefined ? ", and there is no such file" : "";
    throw new Error(
      `${source.path} has no clip "${query}"${file}; its ${source.length} clips are named like "${source.facts(0).name}"`,
    );
  } catch (error) {
    close();
    throw error;
  }
}

/** By name, else by number. */
function clipOf(store: ClipStore, query: string): number | undefined {
  for (let i = 0; i < store.length; i++) if (store.facts(i).name === query) return i;
  return /^\d+$/.test(query) && Number(query) < store.length ? Number(query) : undefined;
}

/** A recording, prepared as the clips of the store were: mapped, as many persons, pre-normalised or not. */
async function openFile(options: SearchOptions, store: ClipStore): Promise<Query> {
  const { layout, normalization, normalizedPer } = store.header;
  const normalizePer = perClipOrFrame(normalization) ? normalizedPer : undefined;
  const { source, map } = openRecording(options.query, options);
  const folder = mkdtempSync(join(tmpdir(), "hico-search-"));
  try {
    const path = join(folder, "query.clips");
    await prepareStore(source, path, {
      map,
      normalize: normalization,
      normalizePer,
      persons: layout.persons,
      onBad: "fail",
    });
    const prepared = ClipStore.open(path);
    const close = (): void => {
      prepared.close();
      rmSync(folder, { recursive: true, force: true });
    };
    checkLayout(prepared, store, options.query);
    return { store: prepared, clips: Array.from({ length: prepared.length }, (_, i) => i), path: options.query, close };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** @throws DataError where clips of the one store are no input for those who know the other. */
function checkLayout(query: ClipStore, store: ClipStore, name = query.path): void {
  const describe = ({ header: { layout, normalization, normalizedPer } }: ClipStore): string =>
    `${layout.persons} × ${layout.joints.join(", ")}${normalization === "full" ? "" : `, ${normalizationWords(normalization, normalizedPer)}`}`;
  if (describe(query) === describe(store)) return;
  const short = ({ header: { layout, normalization, normalizedPer } }: ClipStore): string =>
    `layout "${layout.name}" (${layout.joints.length} joints × ${layout.persons})${normalization === "full" ? "" : `, ${normalizationWords(normalization, normalizedPer)}`}`;
  throw new DataError(
    name,
    "shape",
    `has ${short(query)}, ${store.path} has ${short(store)}; prepare both alike (--map, --persons, --normalize)`,
  );
}
