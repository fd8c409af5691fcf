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
import type { Protocol } from "../store/protocol.ts";
import type { LabelRow } from "../formats/label-table.ts";
import { alikeLabels, readLabelTable } from "../formats/label-table.ts";
import type { CsvSpec } from "../formats/skeleton-csv.ts";
import { KINECT_V2_CSV, parseSkeletonCsv } from "../formats/skeleton-csv.ts";
import type { ClipFacts } from "../store/format.ts";
import type { ClipSource, Remark, SourceClip } from "./source.ts";
import { folderRemarks, orBad, requireFolder, someFilesBelow } from "./source.ts";
import { readText } from "../formats/text.ts";
import type { Windows } from "./windows.ts";
import { recordingOf, windowsOf } from "./windows.ts";

/** How a folder of CSV recordings is read. */
export interface CsvSourceOptions {
  /** How columns are read. Default: raw Kinect v2 recordings. */
  readonly spec?: CsvSpec;
  /** The table of labels. */
  readonly labels?: string;
  readonly protocols?: readonly Protocol[];
  /** Cuts every recording into windows. Default: a recording is a clip. */
  readonly windows?: Windows;
}

/** A folder of CSV recordings, one file a clip, as a source of clips. @throws Error where the folder has none */
export function csvSource(folder: string, options: CsvSourceOptions = {}): ClipSource {
  requireFolder(folder);
  const spec = options.spec ?? KINECT_V2_CSV;
  const files = someFilesBelow(folder, ".csv", "there is one file a clip").filter(
    (file) => options.labels === undefined || resolve(file) !== resolve(options.labels),
  );
  const nameOf = (file: string): string => relative(folder, file).split(sep).join("/");
  const table = options.labels === undefined ? undefined : readLabelTable(options.labels);
  const folders = table ? undefined : classFolders(folder, files);
  const labelOf = (file: string): string => table?.get(nameOf(file))?.label ?? folders!.get(file)!.label;
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
    remarks: [
      ...folderRemarks(folder, ".csv"),
      ...(table ? strayLines(table, options.labels!, new Set(files.map(nameOf))) : folderNotes(files, folders!)),
      ...alikeLabels(classes),
    ],
    *clips(onBad, onInput) {
      for (const file of files) {
        const read = orBad(onBad, () => {
          const row = table?.get(nameOf(file));
          if (table && !row) throw noLine(file, nameOf(file), table, options.labels!);
          const label = classes.indexOf(labelOf(file));
          const facts: ClipFacts = {
            name: nameOf(file),
            label,
            subject: (row ?? folders!.get(file)!).subject,
            camera: row?.camera,
          };
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

/** What a file without a line is told: the name it must have there, and the one that was meant where one is near. */
function noLine(file: string, name: string, table: ReadonlyMap<string, LabelRow>, labels: string): DataError {
  const bare = (text: string): string =>
    basename(text)
      .replace(/\.csv$/i, "")
      .toLowerCase();
  const near = [...table.keys()].find((other) => bare(other) === bare(name));
  const hint = near === undefined ? `add a line that names "${name}"` : `it names "${near}"; write "${name}"`;
  return new DataError(file, "label", `has no line in ${labels}; ${hint}`);
}

function strayLines(table: ReadonlyMap<string, LabelRow>, labels: string, files: ReadonlySet<string>): Remark[] {
  const names = [...table.keys()].filter((name) => !files.has(name));
  return names.length === 0 ? [] : [{ what: `lines of ${labels} without a file`, names }];
}

interface FolderFacts {
  readonly label: string;
  readonly subject?: number;
}

/**
 * Without a table the folder of a file is its class. Where every such folder is named like a subject (s1, P03,
 * subject 2) below another one, that other one is the class.
 */
function classFolders(folder: string, files: readonly string[]): Map<string, FolderFacts> {
  const subjectOf = (file: string): string | undefined =>
    /^(?:s|p|subj(?:ect)?|person|participant)[-_ ]?0*([1-9]\d{0,8})$/i.exec(basename(dirname(file)))?.[1];
  const nested = (file: string): boolean => relative(folder, file).split(sep).length > 2;
  const bySubject = files.every((file) => nested(file) && subjectOf(file) !== undefined);
  return new Map(
    files.map((file) => [
      file,
      bySubject
        ? { label: basename(dirname(dirname(file))), subject: Number(subjectOf(file)) }
        : { label: basename(dirname(file)) },
    ]),
  );
}

function folderNotes(files: readonly string[], folders: ReadonlyMap<string, FolderFacts>): Remark[] {
  const subjects = files.filter((file) => folders.get(file)!.subject !== undefined).map((f) => basename(dirname(f)));
  if (subjects.length === 0) return [];
  return [
    { what: "folders taken for subjects, those above them for classes", names: [...new Set(subjects)], harmless: true },
  ];
}

function tableProtocol(
  table: ReadonlyMap<string, LabelRow>,
  file: string,
  recording: (clip: string) => string,
): Protocol {
  return {
    name: "given",
    own: true,
    rule: `the column split of ${basename(file)}`,
    split: ({ name }) => {
      const split = table.get(recording(name))?.split;
      if (!split) throw new DataError(name, "label", `has no split in ${file}; give every clip one, or none`);
      return split;
    },
  };
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
    if (LAYOUTS.some(({ name }) => name === value.layout)) layout = layoutNamed(value.layout);
    else if (existsSync(file)) layout = loadLayout(file);
    else
      return fail(
        `no layout "${value.layout}": neither built in (${LAYOUTS.map((l) => l.name).join(", ")}) nor a file beside it`,
      );
  } else layout = parseLayout(value.layout, path);
  return { ...(value as unknown as CsvSpec), layout };
}
