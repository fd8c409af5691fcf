/**
 * Rows of numbers by clip name, kept as npz beside a run's results: scores and features of clips, so that what is made
 * of several runs need not compute them again.
 *
 * A table says what it was computed from; asked for anything else, it is as good as absent. Rows are found by name,
 * never by their place: stores of the same data set may hold their clips in any order.
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { ClipStore } from "../../data/store/store.ts";
import { FormatError } from "../../io/format-error.ts";
import { hostTensor, toIntegers } from "../../io/host-tensor.ts";
import type { NpyArray } from "../../io/numpy/npy.ts";
import { openNpz, writeNpz } from "../../io/numpy/npz.ts";

export interface ClipTable {
  readonly names: readonly string[];
  /** Class of each row. */
  readonly labels: Int32Array;
  readonly classes: readonly string[];
  /** float32 [rows, width]. */
  readonly data: Float32Array;
  readonly width: number;
}

/** Plain data that decides every number of a table. */
export type Origin = Readonly<Record<string, unknown>>;

/** The table of rows that stand for clips of a store. */
export function tableOf(
  store: ClipStore,
  rows: { readonly clips: readonly number[]; readonly labels: Int32Array },
  data: Float32Array,
): ClipTable {
  const names = rows.clips.map((clip) => store.facts(clip).name);
  return { names, labels: rows.labels, classes: store.header.classes, data, width: data.length / names.length };
}

/** Writes a table; the file appears whole or not at all. Arrays: names, labels, classes, values, origin. */
export function writeClipTable(path: string, table: ClipTable, origin: Origin): void {
  const { names, labels, classes, data, width } = table;
  mkdirSync(dirname(path), { recursive: true });
  const text = (words: readonly string[]): NpyArray => ({ dtype: "str", shape: [words.length], data: [...words] });
  writeNpz(path, {
    names: text(names),
    labels: hostTensor("i32", [names.length], labels),
    classes: text(classes),
    values: hostTensor("f32", [names.length, width], data),
    origin: text([JSON.stringify(origin)]),
  });
}

/**
 * The table at `path`, or undefined where there is none of this origin.
 *
 * @throws FormatError where the file is damaged
 */
export function readClipTable(path: string, origin: Origin): ClipTable | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return readTable(path, origin);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(error.file, `${error.fault}; remove the file, and what it keeps is computed anew`);
  }
}

function readTable(path: string, origin: Origin): ClipTable | undefined {
  const file = openNpz(path);
  try {
    const text = (name: string): string[] => file.readArray(name).data as string[];
    if (text("origin")[0] !== JSON.stringify(origin)) return undefined;
    const values = file.read("values");
    return {
      names: text("names"),
      labels: Int32Array.from(toIntegers(file.read("labels"))),
      classes: text("classes"),
      data: Float32Array.from(values.data as Float32Array),
      width: values.shape[1],
    };
  } finally {
    file.close();
  }
}

/** Names shown of clips that do not match. */
const SHOWN = 5;

/**
 * The tables with rows in the order of the first one's. @throws Error listing names that are not in all of them, or
 * whose class differs; and where classes differ or a name comes twice.
 */
export function matchTables(
  tables: readonly { readonly from: string; readonly table: ClipTable }[],
): readonly ClipTable[] {
  const [{ from: firstFrom, table: first }] = tables;
  return tables.map(({ from, table }) => {
    const fail = (what: string, names: readonly string[]): never => {
      const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : "";
      throw new Error(`${from} and ${firstFrom} cannot be fused: ${what} ${names.slice(0, SHOWN).join(", ")}${more}`);
    };
    const rowOf = new Map(table.names.map((name, row) => [name, row]));
    if (rowOf.size < table.names.length) {
      fail(
        `${from} has several clips named`,
        table.names.filter((name, row) => rowOf.get(name) !== row),
      );
    }
    const other = table.classes.filter((name, c) => name !== first.classes[c]);
    if (other.length > 0 || table.classes.length !== first.classes.length) {
      fail("their classes differ:", other.length > 0 ? other : first.classes.slice(table.classes.length));
    }
    const known = new Set(first.names);
    const [missing, extra] = [
      first.names.filter((name) => !rowOf.has(name)),
      table.names.filter((name) => !known.has(name)),
    ];
    if (missing.length > 0) fail(`${from} has no clip`, missing);
    if (extra.length > 0) fail(`${firstFrom} has no clip`, extra);
    const rows = first.names.map((name) => rowOf.get(name)!);
    const relabelled = first.names.filter((_, i) => table.labels[rows[i]] !== first.labels[i]);
    if (relabelled.length > 0) fail("they give different classes to", relabelled);
    const data = new Float32Array(table.data.length);
    rows.forEach((row, i) =>
      data.set(table.data.subarray(row * table.width, (row + 1) * table.width), i * table.width),
    );
    return { ...table, names: first.names, labels: first.labels, data };
  });
}
