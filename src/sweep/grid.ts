/**
 * A grid of runs as a JSON file, and the runs it stands for.
 *
 *     {
 *       "preset": "nw-ucla",                                settings that every run has,
 *       "settings": { "data": "nw-ucla.clips", "holdOut": [9, 10] },
 *       "cases": [{ "name": "tuned", "lr": 0.03, "temperature": 0.1 }, {}],   settings that go together,
 *       "axes": {
 *         "granularity": [1, 4],                            every value of a setting with every other,
 *         "augmentation": { "strong": {}, "mild": { "amplitude": 0.25, "minScale": 0.7 } }
 *       },
 *       "seeds": [0, 1, 2],                                 and everything once for each seed;
 *       "eval": { "knn": { "k": 1 }, "linear": { "batch": 1024 }, "checkpoint": "last", "baselines": false }
 *     }
 *
 * Only the names of settings mean anything; `cases` are an axis as well. Every key may be left out.
 */
import { existsSync } from "node:fs";
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { readConfig } from "../hico/run/folder.ts";
import { layeredSettings } from "../hico/run/setting-layers.ts";
import type { GivenSettings, RunSettings } from "../hico/run/settings.ts";
import { SETTING_NAMES } from "../hico/run/settings.ts";
import type { EvaluationPlan } from "./evaluation-plan.ts";
import { parseEvaluationPlan } from "./evaluation-plan.ts";

/** One way in which runs differ. */
interface GridAxis {
  readonly name: string;
  readonly values: readonly { readonly label: string; readonly given: GivenSettings }[];
}

export interface SweepRun {
  /** What its folder is called. */
  readonly name: string;
  /** Of all runs that differ by their seed alone. */
  readonly configuration: number;
  readonly seed: number;
  /** What the grid gives beyond the preset, for the command line. */
  readonly given: GivenSettings;
  readonly settings: RunSettings;
}

export interface Configuration {
  /** One label an axis. */
  readonly labels: readonly string[];
  readonly given: GivenSettings;
}

export interface Grid {
  readonly name: string;
  readonly preset?: string;
  readonly axes: readonly GridAxis[];
  readonly configurations: readonly Configuration[];
  readonly seeds: readonly number[];
  readonly evaluation: EvaluationPlan;
  /** All configurations with the first seed, then with the next: stopped early, a sweep has something of everything. */
  readonly runs: readonly SweepRun[];
}

const KEYS = ["preset", "settings", "cases", "axes", "seeds", "eval"];
/** Labels longer than this are numbered instead: they become names of folders. */
const LONGEST_LABEL = 60;

/**
 * Reads a grid.
 * @param over settings that stand over the grid's, for all runs
 * @throws Error naming the file, the key and the rule
 */
export function readGrid(path: string, over: GivenSettings = {}): Grid {
  if (!existsSync(path)) throw new Error(`${path}: there is no such file`);
  return parseGrid(readConfig(path), path, over);
}

export function parseGrid(source: Readonly<Record<string, unknown>>, path: string, over: GivenSettings = {}): Grid {
  const strange = Object.keys(source).find((key) => !KEYS.includes(key));
  if (strange !== undefined) throw new Error(`${path}: a grid has no "${strange}"; it has ${KEYS.join(", ")}`);
  const { preset } = source;
  if (preset !== undefined && typeof preset !== "string") throw new Error(`${path}: "preset" must be a name`);
  const common = { ...settingsUnder(source.settings ?? {}, `${path}: settings`), ...over };
  const axes = axesOf(source, path);
  const owner = new Map<string, string>();
  for (const axis of axes) {
    for (const name of new Set(axis.values.flatMap(({ given }) => Object.keys(given)))) {
      const other = owner.get(name) ?? (name in over ? "options" : undefined);
      if (other !== undefined)
        throw new Error(`${path}: ${name} is set by ${other} and by ${axis.name}; let one of them set it`);
      owner.set(name, axis.name);
    }
  }
  if ("seed" in over) throw new Error(`${path}: a grid has its seeds under "seeds"; no option stands over them`);
  const seeds = seedsOf(source.seeds ?? [0], path);
  const configurations = axes.reduce<Configuration[]>(
    (found, { values }) =>
      found.flatMap(({ labels, given }) =>
        values.map((value) => ({ labels: [...labels, value.label], given: { ...given, ...value.given } })),
      ),
    [{ labels: [], given: {} }],
  );
  const runs = seeds.flatMap((seed) =>
    configurations.map(({ labels, given: own }, configuration): SweepRun => {
      const given = { ...common, ...own, seed };
      const words = [...axes.map((axis, i) => `${axis.name}=${labels[i]}`), `seed=${seed}`].map(forFile);
      const name = shortened(words.join("_"), `_seed=${seed}`);
      const settings = layeredSettings({ preset, given, from: `${path}, ${name}` });
      return { name, configuration, seed, given, settings };
    }),
  );
  const twice = runs.find(({ name }, i) => runs.findIndex((run) => run.name === name) !== i);
  if (twice)
    throw new Error(`${path}: two runs would be called ${twice.name}; give cases and values names that differ`);
  const evaluation = parseEvaluationPlan(source.eval ?? {}, `${path}: eval`);
  return { name: basename(path).replace(/\.json$/, ""), preset, axes, configurations, seeds, evaluation, runs };
}

/** Axes by name: of a list, the name is a setting and the list its values; of an object, labels and settings. */
function axesOf({ cases, axes = {} }: Readonly<Record<string, unknown>>, path: string): GridAxis[] {
  const found: GridAxis[] = [];
  if (Array.isArray(cases)) {
    const values = cases.map((entry, i) => {
      const { name, ...rest } = objectUnder(entry, `${path}: cases[${i}]`);
      const given = settingsUnder(rest, `${path}: cases[${i}]`);
      return { label: typeof name === "string" ? name : labelOf(given, i), given };
    });
    found.push({ name: "case", values });
  } else if (cases !== undefined) found.push({ name: "case", values: namedValues(cases, `${path}: cases`) });
  for (const [name, values] of Object.entries(objectUnder(axes, `${path}: axes`))) {
    const at = `${path}: axes.${name}`;
    if (Array.isArray(values)) {
      settingsUnder({ [name]: undefined }, at);
      found.push({
        name,
        values: values.map((value: unknown) => ({ label: textOf(value), given: { [name]: value } })),
      });
    } else found.push({ name, values: namedValues(values, at) });
  }
  const empty = found.find(({ values }) => values.length === 0);
  if (empty) throw new Error(`${path}: the axis ${empty.name} has no values`);
  return found;
}

function namedValues(source: unknown, at: string): GridAxis["values"] {
  return Object.entries(objectUnder(source, at)).map(([label, given]) => ({
    label,
    given: settingsUnder(given, `${at}.${label}`),
  }));
}

/** A case without a name is called by its settings. */
function labelOf(given: GivenSettings, place: number): string {
  const label = Object.entries(given)
    .map(([name, value]) => `${name}=${textOf(value)}`)
    .join(" ");
  return label === "" ? "as is" : label.length > LONGEST_LABEL ? `case ${place + 1}` : label;
}

/** A setting's value as an option has it. */
export function textOf(value: unknown): string {
  return Array.isArray(value) ? value.join(",") : String(value);
}

function forFile(label: string): string {
  return label.replace(/[^A-Za-z0-9.,=+-]+/g, "-");
}

/** Letters of a run's name: the folder and `NAME.log` must be names that a file system takes (255 bytes). */
const LONGEST_NAME = 200;

/** A name that a file system takes; a long one is cut, with a hash that keeps it apart from others. */
function shortened(name: string, end: string): string {
  if (name.length <= LONGEST_NAME) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 12);
  return `${name.slice(0, LONGEST_NAME - end.length - hash.length - 1)}-${hash}${end}`;
}

function seedsOf(value: unknown, path: string): number[] {
  const seeds = Array.isArray(value) ? (value as unknown[]) : [];
  const fit = seeds.filter((seed): seed is number => Number.isSafeInteger(seed) && (seed as number) >= 0);
  if (seeds.length > 0 && new Set(fit).size === seeds.length) return fit;
  throw new Error(
    `${path}: "seeds" is ${JSON.stringify(value)}; it must be a list of different whole numbers of at least 0`,
  );
}

function settingsUnder(source: unknown, at: string): GivenSettings {
  const given = objectUnder(source, at);
  const strange = Object.keys(given).find((name) => !(SETTING_NAMES as readonly string[]).includes(name));
  if (strange !== undefined)
    throw new Error(`${at}: there is no setting "${strange}"; there is ${SETTING_NAMES.join(", ")}`);
  if ("seed" in given) throw new Error(`${at}: a grid has its seeds under "seeds"`);
  return given;
}

function objectUnder(source: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof source === "object" && source !== null && !Array.isArray(source)) return source as Record<string, unknown>;
  throw new Error(`${at} is ${JSON.stringify(source)}; it must be an object`);
}
