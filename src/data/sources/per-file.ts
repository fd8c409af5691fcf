/**
 * Data sets of one file a clip: the folder, a reader of one file, and what the data set says of all of them.
 */
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import type { Protocol } from "../store/protocol.ts";
import { PROTOCOLS } from "../store/protocol.ts";
import { readFileBytes } from "../../io/byte-source.ts";
import type { ClipSource, SourceClip } from "./source.ts";
import { folderRemarks, orBad, requireFolder, someFilesBelow } from "./source.ts";

interface PerFile {
  readonly extension: string;
  /** What the data set looks like, for the error where there is no file. */
  readonly what: string;
  readonly layout: SkeletonLayout;
  readonly classes: readonly string[];
  readonly protocols: readonly Protocol[];
  /** How its clips are best normalised. */
  readonly normalization?: ClipSource["normalization"];
  /** One file; throws DataError. */
  readonly read: (file: string) => SourceClip;
}

export function perFileSource(folder: string, set: PerFile): ClipSource {
  requireFolder(folder);
  const files = someFilesBelow(folder, set.extension, set.what);
  return {
    layout: set.layout,
    classes: set.classes,
    protocols: set.protocols,
    normalization: set.normalization,
    inputs: files.length,
    remarks: folderRemarks(folder, set.extension),
    *clips(onBad, onInput) {
      for (const file of files) {
        const read = orBad(onBad, () => set.read(file));
        if (read) yield read;
        onInput();
      }
    },
  };
}

/** A file's bytes. @throws DataError `unreadable` or `empty`. */
export function readBytes(file: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = readFileBytes(file);
  } catch (cause) {
    throw new DataError(file, "unreadable", (cause as Error).message, { cause });
  }
  if (bytes.length === 0) throw new DataError(file, "empty", "the file holds nothing");
  return bytes;
}

/** The published protocols whose names begin so. */
export function publishedProtocols(start: string): Protocol[] {
  return PROTOCOLS.filter((protocol) => protocol.name.startsWith(start));
}
