/**
 * CSV files as a source: one file a clip, or a recording that is cut into windows.
 *
 * What a clip shows comes from a table with the columns `file` and `label`, and where known `subject`, `camera` and
 * `split` (train or test); without a table, the folder a file lies in is its class.
 */
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, relative, resolve, sep } from "node:path";
import { sliceFrames } from "../skeleton/clip.ts";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { layoutNamed, LAYOUTS, loadLayout, parseLayout } from "../skeleton/layout.ts";
import type { Protocol, Split } from "../store/protocol.ts";
import type { CsvSpec } from "../formats/skeleton-csv.ts";
import { KINECT_V2_CSV, parseSkeletonCsv } from "../formats/skeleton-csv.ts";
import type { ClipFacts } from "../store/format.ts";
import type { ClipSource, SourceClip } from "./source.ts";
import { orBad, requireFolder, someFilesBelow } from "./source.ts";
import { readText, splitLines } from "../formats/text.ts";
import type { Windows } from "./windows.ts";
import { recordingOf, windowsOf } from "./windows.ts";

export interface CsvSourceOptions {
  /** How columns are read. Default: raw Kinect v2 recordings. */
  readonly spec?: CsvSpec;
  /** The table of labels. */
  readonly labels?: string;
  readonly protocols?: readonly Protocol[];
  /** Cuts every recording into windows. Default: a recording is a clip. */
  readonly windows?: Windows;
}

export function csvSource(folder: string, options: CsvSourceOptions = {}): ClipSource {
  requireFolder(folder);
  const spec = options.spec ?? KINECT_V2_CSV;
  const files = someFilesBelow(folder, ".csv", "there is one file a clip").filter((file) => file !== options.labels);
  const nameOf = (file: string): string => relative(folder, file).split(sep).join("/");
  const table = options.labels === undefined ? undefined : readLabels(options.labels);
  const labelOf = (file: string): string => table?.get(nameOf(file))?.label ?? basename(dirname(file));
  const listed = files.filter((file) => table === undefined || table.has(nameOf(file)));
  const classes = [...new Set(listed.map(labelOf))].sort(byNumber);
  const protocols = [...(options.protocols ?? [])];
  if (table && [...table.values()].some(({ split }) => split !== undefined))
    protocols.push(tableProtocol(table, options.labels!, options.windows ? recordingOf : (name) => name));
  return {
    layout: layoutOf(spec),
    classes,
    protocols,
    inputs: files.length,
    longest: options.windows?.length,
    *clips(onBad, onInput) {
      for (const file of files) {
        const read = orBad(onBad, () => {
          const row = table?.get(nameOf(file));
          if (table && !row) throw new DataError(file, "label", `has no line in ${options.labels}`);
          const label = classes.indexOf(labelOf(file));
          const facts: ClipFacts = { name: nameOf(file), label, subject: row?.subject, camera: row?.camera };
          return { facts, clip: parseSkeletonCsv(readText(file), file, spec).clip };
        });
        if (read) yield* cut(read, options.windows);
        onInput();
      }
    },
  };
}

/** One recording, without a label: what to search with. */
export function csvFileSource(file: string, options: Pick<CsvSourceOptions, "spec" | "windows"> = {}): ClipSource {
  const spec = options.spec ?? KINECT_V2_CSV;
  return {
    layout: layoutOf(spec),
    classes: [],
    protocols: [],
    inputs: 1,
    longest: options.windows?.length,
    *clips(onBad, onInput) {
      const clip = orBad(onBad, () => parseSkeletonCsv(readText(file), file, spec).clip);
      if (clip) yield* cut({ facts: { name: basename(file), label: -1 }, clip }, options.windows);
      onInput();
    },
  };
}

/** Room for as many persons as a file has. */
function layoutOf(spec: CsvSpec): SkeletonLayout {
  const persons = Math.max(spec.layout.persons, spec.persons ?? spec.columns?.length ?? 1);
  return { ...spec.layout, persons };
}

function* cut({ facts, clip }: SourceClip, windows: Windows | undefined): Generator<SourceClip> {
  if (!windows) return yield { facts, clip };
  for (const [start, end] of windowsOf(clip.frames, windows)) {
    yield { facts: { ...facts, name: `${facts.name}@${start}` }, clip: sliceFrames(clip, start, end) };
  }
}

/** Numbers by size, words by alphabet. */
function byNumber(a: string, b: string): number {
  const [x, y] = [Number(a), Number(b)];
  if (Number.isFinite(x) && Number.isFinite(y)) return x - y;
  return a < b ? -1 : a > b ? 1 : 0;
}

interface LabelRow {
  readonly label: string;
  readonly subject?: number;
  readonly camera?: number;
  readonly split?: Split;
}

const TABLE_COLUMNS = ["file", "label", "subject", "camera", "split"];

function readLabels(path: string): Map<string, LabelRow> {
  const [heading, ...lines] = splitLines(readText(path));
  const columns = heading.split(",").map((word) => word.trim());
  const unknown = columns.find((name) => !TABLE_COLUMNS.includes(name));
  if (unknown !== undefined || !columns.includes("file") || !columns.includes("label")) {
    throw new DataError(
      path,
      "format",
      `its first line must name the columns file,label and may name subject,camera,split; it is "${heading}"`,
    );
  }
  const rows = new Map<string, LabelRow>();
  lines.forEach((line, i) => {
    if (line.trim() === "") return;
    const words = line.split(",").map((word) => word.trim());
    const fail = (detail: string): never => {
      throw new DataError(path, "label", `line ${i + 2}: ${detail}`);
    };
    if (words.length !== columns.length) fail(`${words.length} columns; the first line names ${columns.length}`);
    const word = (name: string): string | undefined => words[columns.indexOf(name)] || undefined;
    const whole = (name: string): number | undefined => {
      const text = word(name);
      if (text === undefined) return undefined;
      return /^\d{1,9}$/.test(text) ? Number(text) : fail(`${name} is "${text}"; it must be a whole number`);
    };
    const split = word("split");
    if (split !== undefined && split !== "train" && split !== "test")
      fail(`split is "${split}"; it must be train or test`);
    const file = word("file") ?? fail("no file is named");
    if (rows.has(file)) fail(`${file} is listed twice`);
    rows.set(file, {
      label: word("label") ?? fail("no label is given"),
      subject: whole("subject"),
      camera: whole("camera"),
      split: split as Split | undefined,
    });
  });
  if (rows.size === 0) throw new DataError(path, "empty", "lists no file");
  return rows;
}

function tableProtocol(
  table: ReadonlyMap<string, LabelRow>,
  file: string,
  recording: (clip: string) => string,
): Protocol {
  return {
    name: "given",
    rule: `the column split of ${basename(file)}`,
    split: ({ name }) => {
      const split = table.get(recording(name))?.split;
      if (!split) throw new DataError(name, "label", `has no split in ${file}; give every clip one, or none`);
      return split;
    },
  };
}

const SPEC_KEYS = [
  ...["layout", "delimiter", "header", "skip", "fields", "columns", "persons", "scale", "flip", "offset", "rate"],
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
  let layout: SkeletonLayout;
  if (typeof value.layout === "string") {
    const file = resolve(dirname(path), value.layout);
    if (LAYOUTS.some(({ name }) => name === value.layout)) layout = layoutNamed(value.layout);
    else if (existsSync(file)) layout = loadLayout(file);
    else
      return fail(
        `no layout "${value.layout}": neither built in (${LAYOUTS.map((l) => l.name).join(", ")}) nor a file beside it`,
      );
  } else layout = parseLayout(value.layout, path);
  return { ...(value as unknown as CsvSpec), layout };
}
