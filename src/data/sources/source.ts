/**
 * A source of clips: raw input of any form, as the one shape that preparation reads.
 *
 * A source knows its layout, classes and protocols before a clip is read, and gives clips one by one. What is wrong
 * with a clip is told and not thrown, so that whoever reads decides between skipping and stopping.
 */
import { readdirSync, realpathSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import type { Clip } from "../skeleton/clip.ts";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import type { Normalization, NormalizedPer } from "../skeleton/upright.ts";
import type { Protocol } from "../store/protocol.ts";
import type { ClipFacts } from "../store/format.ts";

/** One clip of a source, with what is known of it. */
export interface SourceClip {
  readonly facts: ClipFacts;
  readonly clip: Clip;
}

/** Something that preparation took otherwise than the user may think: how many, of what, and which. */
export interface Remark {
  /** What it is, to be read after the number: "files are hidden and left out". */
  readonly what: string;
  readonly names: readonly string[];
  /** Said only, and no fault with `strict`. */
  readonly harmless?: boolean;
}

/** Raw data as clips: what they have in common, and the clips one by one. */
export interface ClipSource {
  /** Layout of the clips as they are read. */
  readonly layout: SkeletonLayout;
  readonly classes: readonly string[];
  readonly protocols: readonly Protocol[];
  /** Inputs to go through: clips, files or recordings; for progress. */
  readonly inputs: number;
  /** Most frames that a clip can have, where that is known before one is read. */
  readonly longest?: number;
  /** Frames that the data set's published preparation keeps of a clip. Default: all. */
  readonly publishedFrames?: number;
  /** The published preparation keeps frames in which nobody is seen, as zeros. Default: they are no place of a body. */
  readonly keepsEmptyFrames?: boolean;
  /** How these clips are best normalised. Default: the published form for NTU RGB+D. */
  readonly normalization?: { readonly kind: Normalization; readonly per?: NormalizedPer };
  /** The axis that is upright. Default y. */
  readonly up?: "y" | "z";
  /** What was left out or taken otherwise than it may seem, before a clip is read. */
  readonly remarks?: readonly Remark[];
  /** What was seen only while clips were read, so far. */
  readonly lateRemarks?: readonly Remark[];
  /** Samples left out on purpose (a published list of missing ones), so far. */
  readonly leftOut?: number;
  /** The clips; `onBad` is told of each that cannot be used, and may throw. `onInput` comes after each input. */
  clips(onBad: (error: DataError) => void, onInput: () => void): Iterable<SourceClip>;
  /** Closes its files. */
  close?(): void;
}

/** A source whose clips arrive in time, from threads for example. */
export interface AsyncClipSource extends Omit<ClipSource, "clips"> {
  clips(onBad: (error: DataError) => void, onInput: () => void): AsyncIterable<SourceClip>;
}

/** The files of a folder and of those below it, and what is in the way. */
interface Listing {
  readonly files: string[];
  readonly linked: string[];
  readonly broken: string[];
  readonly hidden: string[];
}

/** Follows links to files and folders, a folder that is met again within itself once; skips what begins with a dot. */
function list(folder: string): Listing {
  const found: Listing = { files: [], linked: [], broken: [], hidden: [] };
  const visit = (at: string, above: readonly string[]): void => {
    const real = realpathSync(at);
    if (above.includes(real)) return;
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const path = join(at, entry.name);
      if (entry.name.startsWith(".")) {
        found.hidden.push(path);
        continue;
      }
      const stats = statSync(path, { throwIfNoEntry: false });
      if (!stats) found.broken.push(path);
      else {
        if (entry.isSymbolicLink()) found.linked.push(path);
        if (stats.isDirectory()) visit(path, [...above, real]);
        else if (stats.isFile()) found.files.push(path);
      }
    }
  };
  try {
    visit(folder, []);
  } catch (cause) {
    throw new DataError(folder, "unreadable", (cause as Error).message, { cause });
  }
  return found;
}

const endsIn = (path: string, extension: string): boolean => path.toLowerCase().endsWith(extension.toLowerCase());

/**
 * Files below `folder` that end in `extension`, in capitals or not, sorted by path; links are followed.
 * @throws DataError where there is no such folder.
 */
export function filesBelow(folder: string, extension: string): string[] {
  return list(folder)
    .files.filter((file) => endsIn(file, extension))
    .sort();
}

/** What of a `folder` `filesBelow` does not give for this `extension` (".json"), or gives through a link. */
export function folderRemarks(folder: string, extension: string): Remark[] {
  const { linked, broken, hidden, files } = list(folder);
  const names = (paths: readonly string[]): string[] => paths.map((path) => relative(folder, path)).sort();
  const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const ofUse = (path: string): boolean => endsIn(path, extension) || isFolder(path);
  const others = files.filter((file) => !endsIn(file, extension));
  return [
    { what: "links, which were followed", names: names(linked.filter(ofUse)), harmless: true },
    { what: "links that lead nowhere, left out", names: names(broken) },
    { what: "hidden, left out", names: names(hidden.filter(ofUse)) },
    { what: `of another kind than ${extension}, left out`, names: names(others), harmless: true },
  ].filter((remark) => remark.names.length > 0);
}

/**
 * The files below `folder` that end in `extension`. @throws DataError where there is none; `what` then says what was
 * looked for.
 */
export function someFilesBelow(folder: string, extension: string, what: string): string[] {
  const files = filesBelow(folder, extension);
  if (files.length === 0) throw new DataError(folder, "empty", `holds no ${extension} file; ${what}`);
  return files;
}

/** Throws unless `path` is a folder. */
export function requireFolder(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isDirectory()) return;
  throw new DataError(path, "unreadable", stats ? "is a file; a folder is needed" : "there is no such folder");
}

/** Runs `read`; a DataError goes to `onBad`, and the result is undefined. */
export function orBad<T>(onBad: (error: DataError) => void, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    onBad(error);
    return undefined;
  }
}

/** More classes than any data set has: what is beyond is a mistaken or damaged label, and no list of names is made. */
const MOST_CLASSES = 100_000;

/**
 * Numbered names for the classes that `labels` count through from 0; errors name the file at `path`.
 *
 * @throws DataError `label` where one is no whole number from 0, or beyond any data set.
 */
export function numberedClasses(labels: readonly number[], path: string): string[] {
  const odd = labels.findIndex((label) => !(Number.isInteger(label) && label >= 0 && label < MOST_CLASSES));
  if (odd >= 0)
    throw new DataError(
      path,
      "label",
      `label ${labels[odd]} of clip ${odd}; labels are whole numbers that count the classes from 0, below ${MOST_CLASSES}`,
    );
  return Array.from({ length: labels.reduce((most, label) => Math.max(most, label + 1), 0) }, (_, i) => `class ${i}`);
}
