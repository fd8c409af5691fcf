/**
 * What a setting may be: its default, its range and what it is for, as data. Checks, command-line flags, help and
 * documentation are read from it, so that a setting is written down once.
 */

/** What a setting may be, and what it is for. */
export type Setting<T = unknown> = {
  readonly default: T;
  readonly help: string;
  /** A resumed run may have another value: it changes no number that is computed. */
  readonly free?: boolean;
} & (
  | { readonly kind: "text" }
  | { readonly kind: "choice"; readonly choices: readonly string[] }
  | { readonly kind: "choices"; readonly choices: readonly string[] }
  | {
      readonly kind: "number" | "whole" | "numbers";
      readonly least: number;
      readonly most?: number;
      readonly above?: boolean;
    }
);

/**
 * The value as the setting holds it: a number where its text was given, a list where words were.
 * @param from who gives it, for the error's first words: "option", a file, "HiCo".
 * @throws Error naming the setting, its value and its rule.
 */
export function checkSetting(name: string, setting: Setting, value: unknown, from: string): unknown {
  const refuse = (rule: string): never => {
    throw new Error(`${from}: ${name} is ${JSON.stringify(value)}; it must be ${rule}`);
  };
  if (setting.kind === "text") return typeof value === "string" ? value : refuse("text");
  if (setting.kind === "choice") {
    return setting.choices.includes(value as string) ? value : refuse(`one of ${setting.choices.join(", ")}`);
  }
  if (setting.kind === "choices") {
    const words = wordsOf(value) ?? (Array.isArray(value) ? (value as unknown[]) : []);
    const rule = `one or more of ${setting.choices.join(", ")}`;
    if (words.length === 0 || !words.every((word) => setting.choices.includes(word as string))) return refuse(rule);
    return setting.choices.filter((word) => words.includes(word));
  }
  const { kind, least, most = Infinity, above } = setting;
  const rule =
    `${kind === "whole" ? "a whole number" : kind === "numbers" ? "a list of numbers" : "a number"} ` +
    `${above ? "above" : "of at least"} ${least}${most === Infinity ? "" : ` and at most ${most}`}`;
  const one = (given: unknown): number => {
    const number = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
    const fits =
      typeof number === "number" &&
      Number.isFinite(number) &&
      (above ? number > least : number >= least) &&
      number <= most;
    return fits && (kind !== "whole" || Number.isSafeInteger(number)) ? number : refuse(rule);
  };
  if (kind !== "numbers") return one(value);
  const list = wordsOf(value) ?? value;
  return Array.isArray(list) ? list.map(one) : typeof value === "number" ? [one(value)] : refuse(rule);
}

/** The words of a text with commas; undefined where the value is no text. */
function wordsOf(value: unknown): string[] | undefined {
  if (typeof value !== "string") return undefined;
  return value
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

type Range = { readonly least: number; readonly most?: number; readonly above?: boolean };

export function text(help: string): Setting<string> {
  return { kind: "text", default: "", help };
}

export function choice<T extends string>(first: T, choices: readonly T[], help: string): Setting<T> {
  return { kind: "choice", default: first, choices, help };
}

/** All of them, or fewer. */
export function choices<T extends string>(all: T[], help: string): Setting<T[]> {
  return { kind: "choices", default: all, choices: all, help };
}

export function number(value: number, range: Range, help: string): Setting<number> {
  return { kind: "number", default: value, ...range, help };
}

export function whole(value: number, least: number, help: string, most?: number): Setting<number> {
  return { kind: "whole", default: value, least, help, most };
}

export function numbers(value: number[], least: number, help: string): Setting<number[]> {
  return { kind: "numbers", default: value, least, help };
}

export function free<T>(setting: Setting<T>): Setting<T> {
  return { ...setting, free: true };
}
