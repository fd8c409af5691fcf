/**
 * Skeletons in CSV files: one line a frame, columns described by a specification.
 *
 * Two descriptions of the columns. `fields`: every joint takes the same run of columns in the layout's joint order,
 * e.g. `["x", "y", "z", "state"]` for raw Kinect v2 recordings (KIMORE: 100 numbers a line, a trailing comma, blank
 * lines at the top). `columns`: for each joint its three columns by header name or by index, as exports of
 * MediaPipe or motion-capture software need. Both may repeat for further persons.
 */
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, newClip } from "../skeleton/clip.ts";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { NTU25 } from "../skeleton/layout.ts";
import { isLost, losesAtZero, markMissing, originJoints, zerosAreLost } from "../skeleton/missing.ts";
import { cellsOf, delimiterOf, withPoint } from "./csv-rows.ts";
import { parseFinite, splitLines } from "./text.ts";

/** What a column of a joint holds. `skip` is read as nothing. */
export type CsvField = "x" | "y" | "z" | "state" | "skip";

/** A column by index or, in a file with a header line, by name. */
export type CsvColumn = number | string;

/** What the columns of a CSV recording hold. */
export interface CsvSpec {
  readonly layout: SkeletonLayout;
  /** Default: the semicolon, tab or comma that the first line has. Beside another than "," a decimal comma is read. */
  readonly delimiter?: string;
  /** Whether the first line that is not blank names the columns. Default: it does where none of its cells is a number. */
  readonly header?: boolean;
  /** Columns before the first joint (frame number, time), with `fields`. Default 0. */
  readonly skip?: number;
  /** The columns of every joint, in order. Exactly one of `fields` and `columns`. */
  readonly fields?: readonly CsvField[];
  /** Per person, per joint name: its [x, y, z]; `null` for a coordinate the file does not have (taken as 0). */
  readonly columns?: readonly Readonly<Record<string, readonly (CsvColumn | null)[]>>[];
  /** Persons side by side, with `fields`. Default 1. */
  readonly persons?: number;
  /** Factor to metres: 0.001 for millimetres. Default: by how large the bodies are. */
  readonly scale?: number;
  /** Factors of x, y, z, e.g. [1, -1, 1] where y points down. Default [1, 1, 1]. */
  readonly flip?: readonly [number, number, number];
  /**
   * Metres added to x, y, z, after scale and flip. For recordings whose origin lies within the body, such as MediaPipe's
   * world landmarks, to put them before a sensor as others are. Default [0, 0, 0].
   */
  readonly offset?: readonly [number, number, number];
  /** Frames a second, for windows given in seconds. Default 30. */
  readonly rate?: number;
  /** Words that stand for a missing coordinate, whose joint is lost. Default: `MISSING_WORDS`. */
  readonly missing?: readonly string[];
  /** What (0, 0, 0) is. Default: a lost joint in the layouts of sensors that write one so (Kinect), else a place. */
  readonly zeros?: "lost" | "place";
}

/** What tables hold where a number is missing: nothing, or what pandas, NumPy, R, MATLAB and databases write. */
export const MISSING_WORDS: readonly string[] = ["", "nan", "NaN", "NAN", "NA", "N/A", "null", "NULL", "None"];

/** Raw Kinect v2 recordings as in KIMORE. */
export const KINECT_V2_CSV: CsvSpec = { layout: NTU25, fields: ["x", "y", "z", "state"] };

/** A recording out of a CSV file: the clip, and how well each joint was tracked where the file says so. */
export interface CsvRecording {
  readonly clip: Clip;
  /**
   * Where there is a `state` field: what the file says of each joint (frames, persons, joints). Of a Kinect 0 none, 1
   * inferred, 2 seen; of pose estimators a confidence, a share that whole numbers could not hold. 0 and below is lost.
   */
  readonly states?: Float32Array;
}

/** The columns of one joint of one person. */
interface JointColumns {
  readonly xyz: readonly (number | null)[];
  readonly state: number | null;
}

/**
 * Reads a recording out of a CSV text as the specification says; `file` names it in errors.
 *
 * @throws DataError naming the line; Error where the specification itself is wrong
 */
export function parseSkeletonCsv(text: string, file: string, spec: CsvSpec): CsvRecording {
  const rows = splitLines(text)
    .map((line, i) => ({ line: i + 1, text: line }))
    .filter((row) => row.text.trim() !== "");
  const delimiter = spec.delimiter ?? delimiterOf(rows[0]?.text ?? "");
  const missing = new Set(spec.missing ?? MISSING_WORDS);
  const named = spec.header ?? (rows.length > 0 && isHeader(splitRow(rows[0].text, delimiter), delimiter, missing));
  const header = named ? rows.shift() : undefined;
  if (rows.length === 0) throw new DataError(file, "empty", "no frames");
  const names = header && splitRow(header.text, delimiter);
  const persons = columnsOf(spec, names, file);
  const width = spec.fields ? widthOf(spec) : undefined;
  const joints = spec.layout.joints.length;
  const clip = newClip(rows.length, persons.length, joints);
  const hasStates = spec.fields?.includes("state") ?? false;
  const states = hasStates ? new Float32Array(rows.length * persons.length * joints) : undefined;
  const scale = (spec.flip ?? [1, 1, 1]).map((sign) => sign * (spec.scale ?? 1));
  const offset = spec.offset ?? [0, 0, 0];

  // A delimiter at the end of lines is seen by the first of them: in other files a cell that is empty is the last one.
  const closes = width === undefined || splitRow(rows[0].text, delimiter, false).length > width;

  rows.forEach((row, frame) => {
    const words = splitRow(row.text, delimiter, closes);
    if (width !== undefined && words.length !== width) {
      throw new DataError(file, "shape", `line ${row.line} has ${words.length} columns; ${describeWidth(spec, width)}`);
    }
    const word = (column: number): string => {
      if (column < words.length) return withPoint(words[column], delimiter);
      throw new DataError(file, "shape", `line ${row.line} has ${words.length} columns; column ${column} is needed`);
    };
    persons.forEach((person, m) => {
      person.forEach((columns, v) => {
        const joint = (frame * persons.length + m) * joints + v;
        const values = columns.xyz.map((column) => (column === null ? "0" : word(column)));
        if (values.some((value) => missing.has(value))) markMissing(clip.data, joint * 3);
        else {
          for (let c = 0; c < 3; c++)
            clip.data[joint * 3 + c] = scale[c] * parseFinite(values[c], file, row.line) + offset[c];
        }
        if (states && columns.state !== null) {
          const state = word(columns.state);
          const none = missing.has(state) && isLost(clip.data, joint * 3);
          states[joint] = none ? 0 : parseFinite(state, file, row.line);
        }
      });
    });
  });
  checkClip(clip, file);
  if (spec.zeros === "lost" || (spec.zeros === undefined && losesAtZero(spec.layout)))
    zerosAreLost(clip, originJoints(spec.layout));
  // A body without any coordinate but zero is absent, whatever its states.
  states?.forEach((state, joint) => {
    const body = joint - (joint % joints);
    const there = clip.data.subarray(body * 3, (body + joints) * 3).some((value) => value !== 0);
    if (!(state > 0) && there) markMissing(clip.data, joint * 3);
  });
  return { clip, states };
}

/** The words of a line; where delimiters close words, one at the line's end opens none. */
function splitRow(line: string, delimiter: string, closes = true): string[] {
  const words = cellsOf(line, delimiter);
  if (closes && words.length > 1 && words[words.length - 1] === "") words.pop();
  return words;
}

/** Whether a line names columns: it has words, and none of them is a number or stands for a missing one. */
function isHeader(words: readonly string[], delimiter: string, missing: ReadonlySet<string>): boolean {
  const numeric = (word: string): boolean =>
    missing.has(word) || /^[+-]?(nan|inf|infinity)$/i.test(word) || !Number.isNaN(Number(withPoint(word, delimiter)));
  return words.some((word) => word !== "") && words.every((word) => word === "" || !numeric(word));
}

function widthOf(spec: CsvSpec): number {
  return (spec.skip ?? 0) + (spec.persons ?? 1) * spec.layout.joints.length * (spec.fields?.length ?? 0);
}

function describeWidth(spec: CsvSpec, width: number): string {
  return (
    `${spec.skip ?? 0} before the joints + ${spec.persons ?? 1} persons x ${spec.layout.joints.length} joints of ` +
    `"${spec.layout.name}" x ${spec.fields?.length} (${spec.fields?.join(", ")}) makes ${width}`
  );
}

/** Which columns to read for each person and joint. */
function columnsOf(spec: CsvSpec, names: readonly string[] | undefined, file: string): JointColumns[][] {
  if ((spec.fields === undefined) === (spec.columns === undefined)) {
    throw new Error(`CSV specification: give exactly one of "fields" and "columns"`);
  }
  if (spec.columns) return spec.columns.map((person) => namedColumns(person, spec, names, file));
  const fields = spec.fields as readonly CsvField[];
  if (!fields.includes("x") || !fields.includes("y")) {
    throw new Error(`CSV specification: "fields" is ${fields.join(", ")}; it needs at least x and y`);
  }
  const offset = (field: CsvField): number | null => (fields.includes(field) ? fields.indexOf(field) : null);
  const at = (base: number, field: CsvField): number | null => {
    const column = offset(field);
    return column === null ? null : base + column;
  };
  const joints = spec.layout.joints.length;
  return Array.from({ length: spec.persons ?? 1 }, (_, m) =>
    Array.from({ length: joints }, (_, v) => {
      const base = (spec.skip ?? 0) + (m * joints + v) * fields.length;
      return { xyz: [at(base, "x"), at(base, "y"), at(base, "z")], state: at(base, "state") };
    }),
  );
}

function namedColumns(
  person: Readonly<Record<string, readonly (CsvColumn | null)[]>>,
  spec: CsvSpec,
  names: readonly string[] | undefined,
  file: string,
): JointColumns[] {
  const stranger = Object.keys(person).find((joint) => !spec.layout.joints.includes(joint));
  if (stranger !== undefined) {
    throw new Error(`CSV specification: layout "${spec.layout.name}" has no joint "${stranger}"`);
  }
  return spec.layout.joints.map((joint) => {
    const columns = person[joint];
    if (columns?.length !== 3) {
      throw new Error(`CSV specification: joint "${joint}" needs its three columns [x, y, z]`);
    }
    const xyz = columns.map((column) => {
      if (typeof column !== "string") return column;
      if (!names) throw new Error(`CSV specification: column "${column}" is a name, but "header" is not set`);
      const index = names.indexOf(column);
      if (index < 0) throw new DataError(file, "shape", `no column "${column}" in the header (${names.join(", ")})`);
      if (names.includes(column, index + 1))
        throw new DataError(file, "shape", `the header names column "${column}" twice; give the column's number`);
      return index;
    });
    return { xyz, state: null };
  });
}
