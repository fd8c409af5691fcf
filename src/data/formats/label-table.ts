/**
 * The table that says what recordings show: the columns `file` and `label`, and where known `subject`, `camera` and
 * `split` (train or test). Cells may be quoted; a spreadsheet's semicolons or tabs between them are seen.
 */
import { DataError } from "../errors.ts";
import type { Split } from "../store/protocol.ts";
import { groupBy } from "../group.ts";
import { cellsOf, delimiterOf } from "./csv-rows.ts";
import { composed, readText, splitLines } from "./text.ts";

export interface LabelRow {
  readonly label: string;
  readonly subject?: number;
  readonly camera?: number;
  readonly split?: Split;
}

const TABLE_COLUMNS = ["file", "label", "subject", "camera", "split"];

/** The rows by file, names and labels composed (`composed`). @throws DataError naming the table, the line and the rule. */
export function readLabelTable(path: string): Map<string, LabelRow> {
  const [heading, ...lines] = splitLines(composed(readText(path).replace(/^\uFEFF/, "")));
  const delimiter = delimiterOf(heading);
  const columns = cellsOf(heading, delimiter);
  const unknown = columns.find((name) => !TABLE_COLUMNS.includes(name));
  if (unknown !== undefined || !columns.includes("file") || !columns.includes("label")) {
    throw new DataError(
      path,
      "format",
      `its first line must name the columns file,label and may name subject,camera,split; it is "${heading}"`,
    );
  }
  const twice = columns.find((name, i) => columns.indexOf(name) !== i);
  if (twice !== undefined) throw new DataError(path, "format", `its first line names the column "${twice}" twice`);
  const rows = new Map<string, LabelRow>();
  lines.forEach((line, i) => {
    if (line.trim() === "") return;
    const words = cellsOf(line, delimiter);
    const fail = (detail: string): never => {
      throw new DataError(path, "label", `line ${i + 2}: ${detail}`);
    };
    if (words.length !== columns.length) fail(`${words.length} columns; the first line names ${columns.length}`);
    const word = (name: string): string | undefined => words[columns.indexOf(name)] || undefined;
    const whole = (name: string): number | undefined => {
      const text = word(name);
      if (text === undefined) return undefined;
      if (!/^\d{1,9}$/.test(text)) return fail(`${name} is "${text}"; it must be a whole number`);
      return Number(text) > 0 ? Number(text) : fail(`${name} is 0; ${name}s count from 1: add 1 to all of them`);
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

/** Labels that are one and the same but for blanks or case, each with its likes. */
export function alikeLabels(labels: readonly string[]): { readonly what: string; readonly names: string[] }[] {
  const groups = groupBy(labels, (label) => label.replace(/\s+/g, "").toLowerCase());
  const names = groups
    .filter((group) => group.length > 1)
    .map((group) => group.map((label) => JSON.stringify(label)).join(" and "));
  return names.length === 0 ? [] : [{ what: "labels that differ by blanks or case, kept apart as classes", names }];
}
