/** Reading JSON that people's own programs wrote: the parts asked for by name, each checked as it is taken. */
import { DataError } from "./errors.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** @throws DataError `format` */
export function parseJson(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(file, "format", `not JSON: ${(cause as Error).message}`, { cause });
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A list, or an error that says what it should be a list of. */
export function listOf(value: unknown, what: string, file: string): readonly unknown[] {
  if (Array.isArray(value)) return value as unknown[];
  throw new DataError(file, "format", `${what} must be a list, is ${JSON.stringify(value)?.slice(0, 40)}`);
}

/** A finite number. @throws DataError `not-finite` or `format` */
export function numberOf(value: unknown, what: string, file: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  const reason = typeof value === "number" ? "not-finite" : "format";
  throw new DataError(file, reason, `${what} must be a number, is ${JSON.stringify(value)?.slice(0, 40)}`);
}
