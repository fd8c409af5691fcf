/**
 * A CSV specification read from a JSON file, checked key by key: what is misspelt or of another kind is told with the
 * key and what belongs there, before any recording is read.
 */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { readFileBytes } from "../../io/byte-source.ts";
import { DataError } from "../errors.ts";
import { parseJson } from "../json.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { loadLayout, parseLayout } from "../skeleton/layout.ts";
import { knownLayout, LAYOUTS } from "../skeleton/layouts.ts";
import type { CsvSpec } from "./skeleton-csv.ts";

const FIELDS: readonly unknown[] = ["x", "y", "z", "state", "skip"];
const isNumber = (value: unknown): value is number => Number.isFinite(value);
const isWhole = (value: unknown, least: number): boolean => Number.isSafeInteger(value) && (value as number) >= least;
const listOf = (value: unknown, fits: (one: unknown) => boolean): boolean => Array.isArray(value) && value.every(fits);
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const threeNumbers = (value: unknown): boolean => listOf(value, isNumber) && (value as unknown[]).length === 3;
const isColumn = (value: unknown): boolean =>
  value === null || isWhole(value, 0) || (typeof value === "string" && value !== "");
const isPerson = (value: unknown): boolean =>
  isRecord(value) && Object.values(value).every((xyz) => listOf(xyz, isColumn) && (xyz as unknown[]).length === 3);

/** What each key may hold, and in words. */
const KEYS: Readonly<Record<keyof CsvSpec, readonly [fits: (value: unknown) => boolean, words: string]>> = {
  layout: [
    (v) => typeof v === "string" || isRecord(v),
    "a built-in layout's name, a JSON file beside it, or a layout itself",
  ],
  delimiter: [(v) => typeof v === "string" && v.length === 1 && v !== '"', 'one character, such as "," ";" or "\\t"'],
  header: [(v) => typeof v === "boolean", "true or false"],
  skip: [(v) => isWhole(v, 0), "a whole number of columns, from 0"],
  fields: [
    (v) => listOf(v, (one) => FIELDS.includes(one)) && (v as unknown[]).includes("x") && (v as unknown[]).includes("y"),
    `a list of ${FIELDS.join(", ")}, with x and y at least`,
  ],
  columns: [
    (v) => listOf(v, isPerson) && (v as unknown[]).length > 0,
    "a list with an object for each person, of joint names with three columns [x, y, z]: a header's name, a number from 0, or null",
  ],
  persons: [(v) => isWhole(v, 1), "a whole number, from 1"],
  scale: [(v) => isNumber(v) && v > 0, "a number above 0"],
  flip: [(v) => threeNumbers(v) && !(v as number[]).includes(0), "three numbers that are not 0, such as [1, -1, 1]"],
  offset: [threeNumbers, "three numbers, in metres"],
  rate: [(v) => isNumber(v) && v > 0, "a number of frames a second, above 0"],
  missing: [(v) => listOf(v, (one) => typeof one === "string"), 'a list of words, such as ["", "NaN"]'],
  zeros: [(v) => v === "lost" || v === "place", '"lost" or "place": what (0, 0, 0) is'],
};

/**
 * A CSV specification from the JSON file at `path`.
 *
 * @throws DataError naming the file, the key and what it must hold.
 */
export function loadCsvSpec(path: string): CsvSpec {
  let text: string;
  try {
    text = new TextDecoder().decode(readFileBytes(path));
  } catch (cause) {
    throw new DataError(path, "unreadable", (cause as Error).message, { cause });
  }
  return parseCsvSpec(parseJson(text, path), path);
}

/**
 * Checks a CSV specification read from JSON, the `value`; `path` is the file it is from: layouts are looked for beside
 * it, and errors name it.
 */
export function parseCsvSpec(value: unknown, path: string): CsvSpec {
  const fail = (detail: string): never => {
    throw new DataError(path, "format", detail);
  };
  if (!isRecord(value)) return fail("a CSV specification is a JSON object");
  const names = Object.keys(KEYS);
  for (const [key, held] of Object.entries(value)) {
    if (!Object.hasOwn(KEYS, key)) fail(`unknown key "${key}"; there is ${names.join(", ")}`);
    const [fits, words] = KEYS[key as keyof CsvSpec];
    if (!fits(held)) fail(`"${key}" is ${JSON.stringify(held).slice(0, 80)}; it must be ${words}`);
  }
  if (value.layout === undefined) fail(`"layout" is missing: ${KEYS.layout[1]}`);
  if ((value.fields === undefined) === (value.columns === undefined))
    fail(`it has ${value.fields ? "both" : "neither"} of "fields" and "columns"; exactly one says where joints are`);
  const alone = ["skip", "persons"].find((key) => value[key] !== undefined && value.columns !== undefined);
  if (alone !== undefined) fail(`"${alone}" goes with "fields"; "columns" names every column itself`);
  const layout = layoutOf(value.layout as string | object, path, fail);
  checkJoints(value as unknown as CsvSpec, layout, fail);
  return { ...(value as unknown as CsvSpec), layout };
}

function checkJoints({ columns, header }: CsvSpec, layout: SkeletonLayout, fail: (detail: string) => never): void {
  for (const person of columns ?? []) {
    const stranger = Object.keys(person).find((joint) => !layout.joints.includes(joint));
    if (stranger !== undefined) fail(`"columns" names a joint "${stranger}" that layout "${layout.name}" has not`);
    const without = layout.joints.find((joint) => !Object.hasOwn(person, joint));
    if (without !== undefined) fail(`"columns" has no columns for the joint "${without}" of layout "${layout.name}"`);
    const named = Object.values(person)
      .flat()
      .find((column) => typeof column === "string");
    if (named !== undefined && header === false) fail(`"columns" names "${named}", but "header" is false`);
  }
}

function layoutOf(given: string | object, path: string, fail: (detail: string) => never): SkeletonLayout {
  if (typeof given !== "string") return parseLayout(given, path);
  const known = knownLayout(given);
  if (known) return known;
  const file = resolve(dirname(path), given);
  if (existsSync(file)) return loadLayout(file);
  return fail(
    `no layout "${given}": neither built in (${LAYOUTS.map(({ name }) => name).join(", ")}) nor a file beside it`,
  );
}
