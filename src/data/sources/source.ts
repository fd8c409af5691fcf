/**
 * A source of clips: raw input of any form, as the one shape that preparation reads.
 *
 * A source knows its layout, classes and protocols before a clip is read, and gives clips one by one. What is wrong
 * with a clip is told and not thrown, so that whoever reads decides between skipping and stopping.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clip } from "../skeleton/clip.ts";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import type { Protocol } from "../store/protocol.ts";
import type { ClipFacts } from "../store/format.ts";

export interface SourceClip {
  readonly facts: ClipFacts;
  readonly clip: Clip;
}

export interface ClipSource {
  /** Layout of the clips as they are read. */
  readonly layout: SkeletonLayout;
  readonly classes: readonly string[];
  readonly protocols: readonly Protocol[];
  /** Inputs to go through: clips, files or recordings; for progress. */
  readonly inputs: number;
  /** Most frames that a clip can have, where that is known before one is read. */
  readonly longest?: number;
  /** Samples left out on purpose (a published list of missing ones), so far. */
  readonly leftOut?: number;
  /** The clips; `onBad` is told of each that cannot be used, and may throw. `onInput` comes after each input. */
  clips(onBad: (error: DataError) => void, onInput: () => void): Iterable<SourceClip>;
  close?(): void;
}

/** Files below `folder` that end in `extension`, sorted by path. @throws DataError where there is no such folder. */
export function filesBelow(folder: string, extension: string): string[] {
  let entries;
  try {
    entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  } catch (cause) {
    throw new DataError(folder, "unreadable", (cause as Error).message, { cause });
  }
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** The files, or an error that says what was looked for. */
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
