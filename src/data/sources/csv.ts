/**
 * CSV files as a source: one file a clip, or a recording that is cut into windows.
 *
 * What a clip shows comes from a table with the columns `file` and `label`, and where known `subject`, `camera` and
 * `split` (train or test); without a table, the folder a file lies in is its class.
 */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { loadLayout, parseLayout } from "../skeleton/layout.ts";
import { knownLayout, LAYOUTS } from "../skeleton/layouts.ts";
import type { CsvSpec } from "../formats/skeleton-csv.ts";
import { KINECT_V2_CSV, parseSkeletonCsv } from "../formats/skeleton-csv.ts";
import { cut, recordingsSource, type RecordingOptions } from "./own/recordings.ts";
import type { ClipSource } from "./source.ts";
import { orBad } from "./source.ts";
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
    extension: ".csv",
    layout: layoutOf(spec),
    rate: spec.rate,
    read: (file) => parseSkeletonCsv(readText(file), file, spec).clip,
  });
}

/** One recording, without a label: what to search with. */
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

const SPEC_KEYS = [
  ...[
    "layout",
    "delimiter",
    "header",
    "skip",
    "fields",
    "columns",
    "persons",
    "scale",
    "flip",
    "offset",
    "rate",
    "zeros",
  ],
  "missing",
];

/** A CSV specification from a JSON file; its layout is a name, a JSON file beside it, or the layout itself. */
export function loadCsvSpec(path: string): CsvSpec {
  const fail = (detail: string): never => {
    throw new DataError(path, "format", detail);
  };
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  } catch (cause) {
    return fail((cause as Error).message);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return fail("a CSV specification is a JSON object");
  const unknown = Object.keys(value).find((key) => !SPEC_KEYS.includes(key));
  if (unknown !== undefined) fail(`unknown key "${unknown}"; there is ${SPEC_KEYS.join(", ")}`);
  if (value.zeros !== undefined && value.zeros !== "lost" && value.zeros !== "place")
    fail(`"zeros" is ${JSON.stringify(value.zeros)}; (0, 0, 0) is "lost" or a "place"`);
  let layout: SkeletonLayout;
  if (typeof value.layout === "string") {
    const file = resolve(dirname(path), value.layout);
    const known = knownLayout(value.layout);
    if (known) layout = known;
    else if (existsSync(file)) layout = loadLayout(file);
    else
      return fail(
        `no layout "${value.layout}": neither built in (${LAYOUTS.map((l) => l.name).join(", ")}) nor a file beside it`,
      );
  } else layout = parseLayout(value.layout, path);
  return { ...(value as unknown as CsvSpec), layout };
}
