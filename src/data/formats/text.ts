/**
 * Reading text files of numbers: the whole file as text, then token by token with the place of a fault.
 *
 * The formats of the field are lines of blank- or comma-separated numbers with either line end. A token is checked
 * where it is read, so that an error names line and column.
 */
import { basename } from "node:path";
import { readFileBytes } from "../../io/byte-source.ts";
import { DataError } from "../errors.ts";

/**
 * The text of the whole file at `path`.
 *
 * @throws DataError `unreadable`, or `empty` where it holds nothing but white space.
 */
export function readText(path: string): string {
  let text: string;
  try {
    text = decodeText(readFileBytes(path));
  } catch (cause) {
    throw new DataError(path, "unreadable", (cause as Error).message, { cause });
  }
  if (!/\S/.test(text)) throw new DataError(path, "empty", "the file holds nothing");
  return text;
}

/**
 * UTF-8, or UTF-16 where a byte order mark says so, as spreadsheets save it; the mark is no part of the text. What is no
 * UTF-8 is read as Windows-1252, which has a letter for every byte: words that differ stay different, where a sign for
 * "unreadable" in place of each letter would make one class of two.
 */
function decodeText(bytes: Uint8Array): string {
  const [a, b] = bytes;
  if (a === 0xff && b === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (a === 0xfe && b === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/**
 * A name in the one form in which equal letters are equal text: "ö" is one sign in a table and, in names of files that
 * macOS made, an "o" with two dots after it.
 */
export function composed(name: string): string {
  return name.normalize("NFC");
}

/**
 * The lines of a text without their line ends (LF, CRLF, or CR alone). The last line end does not start another line.
 */
export function splitLines(text: string): string[] {
  const lines = text.split(text.includes("\n") ? "\n" : "\r");
  if (lines[lines.length - 1] === "") lines.pop();
  for (let i = 0; i < lines.length; i++) if (lines[i].endsWith("\r")) lines[i] = lines[i].slice(0, -1);
  return lines;
}

/**
 * A finite number from a token; errors name the `file` and the `line`, which counts from 1.
 *
 * @throws DataError `not-finite` or `format`.
 */
export function parseFinite(token: string, file: string, line: number): number {
  const value = Number(token);
  if (Number.isFinite(value) && token !== "") return value;
  const word = token.trim();
  if (/^[+-]?(nan|inf|infinity)$/i.test(word) || (word !== "" && !Number.isNaN(value))) {
    throw new DataError(file, "not-finite", `line ${line} holds ${word}`);
  }
  throw new DataError(file, "format", `line ${line}: ${JSON.stringify(word.slice(0, 40))} is not a number`);
}

/**
 * A non-negative integer that is the only thing on its line; `text` is that line, undefined past the end. Errors name
 * the `file`, the `line`, which counts from 1, and `what` should stand there. @throws DataError `format`.
 */
export function parseCount(text: string | undefined, what: string, file: string, line: number): number {
  if (text === undefined) throw new DataError(file, "format", `cut off: line ${line} should hold the ${what}`);
  const trimmed = text.trim();
  if (!/^\d{1,9}$/.test(trimmed)) {
    const found = JSON.stringify(trimmed.slice(0, 40));
    throw new DataError(file, "format", `line ${line} should hold the ${what}, holds ${found}`);
  }
  return Number(trimmed);
}

/** The name of the file at `path` without folder and the given extension, in capitals or not. */
export function stem(path: string, extension: string): string {
  const name = basename(path);
  return name.toLowerCase().endsWith(extension.toLowerCase()) ? name.slice(0, -extension.length) : name;
}
