/**
 * What recordings of anybody's own show: a table with the columns `file` and `label`, and where known `subject`,
 * `camera` and `split` (train or test); without a table, the folder that a recording lies in is its class.
 */
import { basename, dirname, relative, resolve, sep } from "node:path";
import { DataError } from "../../errors.ts";
import type { LabelRow } from "../../formats/label-table.ts";
import { alikeLabels, readLabelTable } from "../../formats/label-table.ts";
import { composed } from "../../formats/text.ts";
import type { ClipFacts } from "../../store/format.ts";
import type { Protocol } from "../../store/protocol.ts";
import type { Remark } from "../source.ts";

/** Recordings with what they show. */
interface Labelling {
  readonly classes: readonly string[];
  /** Of the table's own split; none without. */
  readonly protocols: readonly Protocol[];
  readonly remarks: readonly Remark[];
  /** Name, label and what else is known of a recording. @throws DataError where the table has no line for it */
  factsOf(file: string): ClipFacts;
}

/** A recording's name: its path below the folder. */
const nameBelow = (folder: string, file: string): string => composed(relative(folder, file).split(sep).join("/"));

/** Files that are recordings: all but the table. */
export function withoutTable(files: readonly string[], labels: string | undefined): string[] {
  return files.filter((file) => labels === undefined || resolve(file) !== resolve(labels));
}

/** @param recording a recording's name from a clip's, which may be one of its windows */
export function labelFiles(
  folder: string,
  files: readonly string[],
  labels: string | undefined,
  recording: (clip: string) => string,
): Labelling {
  const nameOf = (file: string): string => nameBelow(folder, file);
  const table = labels === undefined ? undefined : readLabelTable(labels);
  const folders = table ? undefined : classFolders(folder, files);
  const labelOf = (file: string): string => table?.get(nameOf(file))?.label ?? folders!.get(file)!.label;
  const listed = files.filter((file) => table === undefined || table.has(nameOf(file)));
  const classes = [...new Set(listed.map(labelOf))].sort(byNumber);
  const given = table !== undefined && [...table.values()].some(({ split }) => split !== undefined);
  return {
    classes,
    protocols: given ? [tableProtocol(table, labels!, recording)] : [],
    remarks: [
      ...(table ? strayLines(table, labels!, new Set(files.map(nameOf))) : folderNotes(files, folders!)),
      ...alikeLabels(classes),
    ],
    factsOf: (file) => {
      const row = table?.get(nameOf(file));
      if (table && !row) throw noLine(file, nameOf(file), table, labels!);
      return {
        name: nameOf(file),
        label: classes.indexOf(labelOf(file)),
        subject: (row ?? folders!.get(file)!).subject,
        camera: row?.camera,
      };
    },
  };
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
      .replace(/\.[^.]*$/, "")
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
        ? { label: composed(basename(dirname(dirname(file)))), subject: Number(subjectOf(file)) }
        : { label: composed(basename(dirname(file))) },
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
