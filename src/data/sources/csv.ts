/**
 * CSV files as a source: one file a clip, or a recording that is cut into windows.
 *
 * What a clip shows comes from a table with the columns `file` and `label`, and where known `subject`, `camera` and
 * `split` (train or test); without a table, the folder a file lies in is its class.
 */
import { basename } from "node:path";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import type { CsvSpec } from "../formats/skeleton-csv.ts";
import { KINECT_V2_CSV, parseSkeletonCsv } from "../formats/skeleton-csv.ts";
import { cut, recordingsSource, type RecordingOptions } from "./own/recordings.ts";
import type { ClipSource } from "./source.ts";
import { filesBelow, orBad, requireFolder } from "./source.ts";
import { windowsAt } from "./windows.ts";
import { readText } from "../formats/text.ts";

/** How a folder of CSV recordings is read. */
export interface CsvSourceOptions extends RecordingOptions {
  /** How columns are read. Default: raw Kinect v2 recordings. */
  readonly spec?: CsvSpec;
}

/** A folder of CSV recordings, one file a clip, as a source of clips. @throws Error where the folder has none */
export function csvSource(folder: string, options: CsvSourceOptions = {}): ClipSource {
  const spec = options.spec ?? KINECT_V2_CSV;
  return recordingsSource(folder, {
    ...options,
    extension: extensionIn(folder),
    layout: layoutOf(spec),
    rate: spec.rate,
    read: (file) => parseSkeletonCsv(readText(file), file, spec).clip,
  });
}

/** Tables with tabs are called .tsv as well. */
function extensionIn(folder: string): string {
  requireFolder(folder);
  return filesBelow(folder, ".csv").length === 0 && filesBelow(folder, ".tsv").length > 0 ? ".tsv" : ".csv";
}

/**
 * The recording in one CSV `file`, without a label: what to search with. Of the options, `spec` says how columns are
 * read, `windows` how the recording is cut.
 */
export function csvFileSource(file: string, options: Pick<CsvSourceOptions, "spec" | "windows"> = {}): ClipSource {
  const spec = options.spec ?? KINECT_V2_CSV;
  const windows = windowsAt(options.windows, spec.rate);
  return {
    layout: layoutOf(spec),
    classes: [],
    protocols: [],
    inputs: 1,
    longest: windows?.length,
    *clips(onBad, onInput) {
      const clip = orBad(onBad, () => parseSkeletonCsv(readText(file), file, spec).clip);
      if (clip) yield* cut({ facts: { name: basename(file), label: -1 }, clip }, windows);
      onInput();
    },
  };
}

/** Room for as many persons as a file has. */
function layoutOf(spec: CsvSpec): SkeletonLayout {
  const persons = Math.max(spec.layout.persons, spec.persons ?? spec.columns?.length ?? 1);
  return { ...spec.layout, persons };
}
