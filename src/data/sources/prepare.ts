/**
 * Preparation: any source becomes one clip store.
 *
 * Clip by clip: cut where frames are limited, prepared (`prepare-clip.ts`), written. Nothing but one clip is held in memory. Bad clips are skipped and counted, or stop everything; the store appears whole or not at all.
 */
import { statSync } from "node:fs";
import type { Clip } from "../skeleton/clip.ts";
import { checkReach, limitFrames, presentFrames } from "../skeleton/clip.ts";
import { closeEmptyFrames } from "../skeleton/missing.ts";
import { groupBy } from "../group.ts";
import type { BadInput } from "../errors.ts";
import { DataError } from "../errors.ts";
import type { LayoutMap } from "../skeleton/layout-map.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { hasAxes } from "../skeleton/layout.ts";
import { perClipOrFrame, type Normalization, type NormalizedPer } from "../skeleton/upright.ts";
import type { PreparedClip } from "./prepare-clip.ts";
import { prepareClip } from "./prepare-clip.ts";
import { SameRecordings } from "./same-recordings.ts";
import type { AsyncClipSource, ClipSource, Remark } from "./source.ts";
import type { ClipFacts } from "../store/format.ts";
import type { Protocol } from "../store/protocol.ts";
import { foldProtocols } from "../store/folds.ts";
import { ClipStore } from "../store/store.ts";
import { ClipStoreWriter } from "../store/writer.ts";

/** What becomes of a source's clips on their way into a store. */
export interface PrepareOptions {
  /** To another layout. Default: as the source has it. */
  readonly map?: LayoutMap;
  /** Persons kept, the most energetic ones. Default: as many as the source's layout has room for. */
  readonly persons?: number;
  /** True: as the source's data set is best normalised (default); false: none. */
  readonly normalize?: boolean | Normalization;
  /** Centre and heading once a clip or in every frame; the published form has its own. Default: the source's. */
  readonly normalizePer?: NormalizedPer;
  /** The sensor's upright axis. Default: the source's. */
  readonly up?: "y" | "z";
  /** Frames kept of a clip. Default: all, or what the data set's published preparation keeps. */
  readonly maxFrames?: number;
  /** What happens to a clip that cannot be used: left out and counted (default), or the end of it all. */
  readonly onBad?: "skip" | "fail";
  /**
   * Whether clips that are the same recording as one before are kept (default) or left out; they are named either way.
   */
  readonly onSame?: "keep" | "skip";
  /** Refuses what is otherwise only counted and named: lines without a file, labels alike, files left out, bad clips. */
  readonly strict?: boolean;
  /** Own folds, besides the source's protocols: "subject", "subject:GROUPS", or a file (`foldProtocols`). */
  readonly folds?: string;
  /** Kept in the store: where it came from. */
  readonly notes?: Readonly<Record<string, unknown>>;
  /** Stops early; what was there before stays. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PrepareProgress) => void;
}

/** How far preparation is. */
export interface PrepareProgress {
  readonly done: number;
  readonly total: number;
  readonly clips: number;
  readonly bad: number;
}

/** A clip that was left out, and why. */
export interface BadClip {
  readonly file: string;
  readonly reason: BadInput;
  readonly detail: string;
}

/** Joints of bodies that were there, as they were read, that the sensor lost. */
export interface MissingJoints {
  readonly joints: number;
  /** All joints of those bodies, lost or not. */
  readonly of: number;
  /** Clips with lost joints. */
  readonly clips: number;
  /** How many of the lost were filled between frames in which the same joint was seen; the rest came from the body. */
  readonly inTime: number;
}

/** What came of a preparation: the store, and every clip that was left out. */
export interface PrepareReport {
  readonly path: string;
  readonly bytes: number;
  readonly clips: number;
  readonly classes: number;
  readonly layout: string;
  readonly normalization: Normalization;
  readonly normalizedPer?: NormalizedPer;
  readonly persons: number;
  readonly protocols: readonly { readonly name: string; readonly train: number; readonly test: number }[];
  readonly missing: MissingJoints;
  /** Samples that a published list leaves out. */
  readonly leftOut: number;
  /** What was left out or taken otherwise than it may seem. */
  readonly remarks: readonly Remark[];
  readonly bad: readonly BadClip[];
  readonly badByReason: Readonly<Partial<Record<BadInput, number>>>;
  readonly seconds: number;
}

/** Bad clips named in the store's own notes; all of them are in the report. */
const NOTED = 1000;

/** Writes the store at `path`. @throws DataError for the first bad clip with `onBad: "fail"`, or where none is good. */
export async function prepareStore(
  source: ClipSource | AsyncClipSource,
  path: string,
  options: PrepareOptions = {},
): Promise<PrepareReport> {
  const start = performance.now();
  const layout = storedLayout(source, options);
  const most = options.maxFrames ?? source.publishedFrames ?? Infinity;
  if ((source.longest ?? 0) > most) {
    throw new Error(
      `windows of ${source.longest} frames are longer than the ${most} frames kept of a clip; cut shorter ones, or keep more (--max-frames)`,
    );
  }
  const { classes, protocols } = source;
  const { normalization, normalizedPer } = normalizationOf(source, layout, options);
  const normalized = normalization !== "none";
  const writer = new ClipStoreWriter(path, {
    layout,
    classes,
    protocols,
    normalized,
    normalization,
    normalizedPer,
  });
  const bad: BadClip[] = [];
  const remarks: Remark[] = [...(source.remarks ?? [])];
  const cut: string[] = [];
  const ends: string[] = [];
  const missing: Counts = { joints: 0, of: 0, clips: 0, inTime: 0, names: [] };
  const up = options.up ?? source.up;
  const sides = protocols.map(() => ({ train: 0, test: 0 }));
  const same = new SameRecordings(protocols, classes, options.onSame === "skip");
  let done = 0;
  const onBad = (error: DataError): void => {
    if (options.onBad === "fail" || options.strict) throw error;
    bad.push({ file: error.file, reason: error.reason, detail: error.detail });
  };
  const progress = (): void => {
    done++;
    options.onProgress?.({ done, total: source.inputs, clips: writer.length, bad: bad.length });
  };
  let yielded = performance.now();
  try {
    if (options.strict) refuse(remarks, path);
    for await (const { facts, clip } of source.clips(onBad, progress)) {
      try {
        const seen = source.keepsEmptyFrames ? clip : closeEmptyFrames(clip);
        if (seen !== clip) ends.push(`${facts.name} (${clip.frames - seen.frames} frames)`);
        checkReach(seen, facts.name);
        const kept = limitFrames(seen, most);
        if (kept !== seen) cut.push(`${facts.name} (${clip.frames} frames)`);
        const made = prepareClip(kept, { layout, map: options.map, normalization, normalizedPer, up });
        same.add(facts, made.clip, () => {
          writer.add(facts, made.clip, made.lost);
          count(missing, kept, made, facts.name);
          protocols.forEach((protocol, i) => sides[i][protocol.split(facts)]++);
        });
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        onBad(error);
      }
      // Ctrl-C is heard between turns of the event loop only.
      if (performance.now() - yielded > 50) {
        await new Promise(setImmediate);
        yielded = performance.now();
      }
      options.signal?.throwIfAborted();
    }
    if (writer.length === 0 && bad.length > 0) {
      const [{ file, reason }] = bad;
      throw new DataError(
        file,
        reason,
        `${faults(bad)} (not one of ${source.inputs} inputs can be used, so no store is written)`,
      );
    }
    remarks.push(...(source.lateRemarks ?? []));
    if (cut.length > 0) remarks.push({ what: `clips cut to their first ${most} frames`, names: cut, harmless: true });
    if (ends.length > 0)
      remarks.push({
        what: "clips without the frames at their ends in which nobody is seen",
        names: ends,
        harmless: true,
      });
    const { names, ...found } = missing;
    if (names.length > 0) remarks.push({ what: "clips with lost joints, which were filled", names, harmless: true });
    protocols.forEach((protocol, i) => remarks.push(...emptySides(protocol, sides[i], path)));
    const folds = options.folds === undefined ? [] : foldProtocols(options.folds, writer.clips, protocols.length);
    remarks.push(...nobodys(protocols, writer.clips), ...same.remarks(folds));
    if (options.strict) refuse(remarks, path);
    const badByReason: Partial<Record<BadInput, number>> = {};
    for (const { reason } of bad) badByReason[reason] = (badByReason[reason] ?? 0) + 1;
    const leftOut = source.leftOut ?? 0;
    writer.commit(
      {
        ...options.notes,
        missing: found,
        leftOut,
        remarks: remarks.map(short),
        badByReason,
        bad: bad.slice(0, NOTED),
      },
      folds,
    );
    return {
      path,
      bytes: statSync(path).size,
      clips: writer.length,
      classes: classes.length,
      layout: layout.name,
      normalization,
      normalizedPer,
      persons: layout.persons,
      protocols: splitSizes(path),
      missing: found,
      leftOut,
      remarks,
      bad,
      badByReason,
      seconds: (performance.now() - start) / 1000,
    };
  } finally {
    writer.abort();
    source.close?.();
  }
}

type Counts = { -readonly [K in keyof MissingJoints]: number } & { readonly names: string[] };

function count(into: Counts, clip: Clip, { missing, inTime }: PreparedClip, name: string): void {
  for (let m = 0; m < clip.persons; m++) into.of += presentFrames(clip, m).length * clip.joints;
  if (missing === 0) return;
  into.joints += missing;
  into.inTime += inTime;
  into.clips++;
  into.names.push(`${name} (${missing} joints)`);
}

/** Remarks name at most `NOTED` in a store's notes. */
const short = ({ what, names }: Remark): object => ({ what, count: names.length, names: names.slice(0, NOTED) });

/** Distinct faults that are told of when nothing can be used. */
const FAULTS = 5;

/** The faults of all bad clips, most frequent first: the first clip's may be the only one of its kind. */
function faults(bad: readonly BadClip[]): string {
  const kinds = groupBy(bad, ({ reason, detail }) => reason + detail.replace(/\d+|"[^"]*"/g, "#"));
  kinds.sort((a, b) => b.length - a.length);
  const told = kinds.slice(0, FAULTS).map((kind) => {
    const [{ file, detail }] = kind;
    return kinds.length === 1 ? detail : `${kind.length} of ${bad.length}: ${detail} (such as ${file})`;
  });
  return told.join("; ") + (kinds.length > FAULTS ? `; and ${kinds.length - FAULTS} other faults` : "");
}

/** @throws DataError for the first remark that is a fault. */
function refuse(remarks: readonly Remark[], path: string): void {
  const fault = remarks.find(({ harmless }) => !harmless);
  if (!fault) return;
  const named = fault.names.slice(0, 10).join(", ");
  throw new DataError(path, "label", `is not written (--strict): ${fault.names.length} ${fault.what}: ${named}`);
}

/** A protocol's side without a clip: a mistake in a user's own, worth a word in a published one on part of its data. */
function emptySides({ name, rule, own }: Protocol, sides: { train: number; test: number }, path: string): Remark[] {
  const side = sides.train === 0 ? "train" : sides.test === 0 ? "test" : undefined;
  if (side === undefined) return [];
  if (!own) return [{ what: `protocols with nothing to ${side} on`, names: [name] }];
  throw new DataError(
    path,
    "label",
    `protocol ${name} (${rule}) leaves nothing to ${side} on: all ${sides.train + sides.test} clips ` +
      `${side === "test" ? "train" : "test"}. Name subjects or clips that there are, or leave the protocol out`,
  );
}

/** Subjects that a rule names and no clip is of. */
function nobodys(protocols: readonly Protocol[], clips: readonly ClipFacts[]): Remark[] {
  const there = new Set(clips.map(({ subject }) => subject));
  const names = protocols.flatMap(({ subjects = [] }) => subjects.filter((one) => !there.has(one)).map(String));
  const held = [...there].filter((one) => one !== undefined).sort((a, b) => a - b);
  if (names.length === 0) return [];
  return [
    { what: `subjects named of whom there is no clip (there are ${held.join(", ")})`, names: [...new Set(names)] },
  ];
}

/** As asked, else as the source has it, else the published form; a layout without axes is only ever centred. */
function normalizationOf(
  { normalization = { kind: "full" } }: ClipSource | AsyncClipSource,
  layout: SkeletonLayout,
  { normalize = true, normalizePer }: PrepareOptions,
): { readonly normalization: Normalization; readonly normalizedPer?: NormalizedPer } {
  const fits = (kind: Normalization): boolean => kind === "none" || kind === "centre" || hasAxes(layout);
  const own = fits(normalization.kind) ? normalization : ({ kind: "centre" } as const);
  const kind = normalize === true ? own.kind : normalize === false ? "none" : normalize;
  if (!fits(kind))
    throw new Error(
      `prepare: ${kind} turns bodies by the axes of their layout, and "${layout.name}" names none; ` +
        "add axes (centre, up and across) to it, or take centre or none",
    );
  if (perClipOrFrame(kind)) {
    return {
      normalization: kind,
      normalizedPer: normalizePer ?? (kind === own.kind ? own.per : undefined) ?? "clip",
    };
  }
  if (normalizePer === undefined) return { normalization: kind };
  throw new Error(`prepare: ${kind} is the same for clips and frames; per clip or frame go centre, yaw and upright`);
}

function storedLayout(
  source: ClipSource | AsyncClipSource,
  { map, persons = source.layout.persons }: PrepareOptions,
): SkeletonLayout {
  if (!Number.isInteger(persons) || persons < 1)
    throw new Error(`prepare: persons is ${persons}; it must be at least 1`);
  if (map && map.from.name !== source.layout.name) {
    throw new Error(`prepare: the map is from layout "${map.from.name}", the clips have "${source.layout.name}"`);
  }
  return { ...(map?.to ?? source.layout), persons };
}

/** How many clips train and test under each protocol of the store. */
function splitSizes(path: string): PrepareReport["protocols"] {
  const store = ClipStore.open(path);
  try {
    return store.header.protocols.map(({ name }) => ({
      name,
      train: store.indices(name, "train").length,
      test: store.indices(name, "test").length,
    }));
  } finally {
    store.close();
  }
}
