/** Options that several commands take, and settings as command-line options. */
import { statSync } from "node:fs";
import type { ArgsDef } from "citty";
import type { DeviceOptions } from "../device/asked.ts";
import type { Setting } from "../hico/model/setting.ts";
import type { GivenSettings, RunSettings } from "../hico/run/settings.ts";
import { flagOf, SETTING_NAMES, SETTINGS } from "../hico/run/settings.ts";
import { claimFree } from "../io/byte-sink.ts";

/** Where to compute. */
export const DEVICE_ARGS = {
  device: { type: "string", description: "Device: auto, webgpu, cpu or reference (else HICO_DEVICE)" },
  adapter: {
    type: "string",
    description: "Part of a WebGPU adapter's name, nvidia:1 for the second of them (else HICO_ADAPTER)",
  },
  threads: { type: "string", description: "Threads of the cpu device (else HICO_THREADS, else one a core)" },
} as const satisfies ArgsDef;

/** What `DEVICE_ARGS` say besides the device's name. */
export function deviceOptions(args: { readonly adapter?: string; readonly threads?: string }): DeviceOptions {
  return { adapter: args.adapter, threads: wholeOption("threads", args.threads) };
}

/** Whether what is there may be written over. */
export const FORCE_ARG = {
  force: { type: "boolean", description: "Write over what is there" },
} as const satisfies ArgsDef;

/** Refuses a file that is there already or that appears meanwhile, unless forced. @throws Error naming the way out. */
export function requireNew(path: string | undefined, force: boolean | undefined): void {
  if (path === undefined || force === true) return;
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return claimFree(path);
  throw new Error(`${path} is there already; --force writes over it, or name another file`);
}

export const JSON_ARG = {
  json: { type: "boolean", description: "Print the result as JSON" },
} as const satisfies ArgsDef;

/** Every setting as an option: its help, its choices, its default. */
export function settingArgs(): Record<string, { type: "string"; description: string; valueHint?: string }> {
  return Object.fromEntries(
    SETTING_NAMES.map((name) => {
      const setting: Setting = SETTINGS[name];
      const choices = "choices" in setting ? `: ${setting.choices.join(", ")}` : "";
      const value = Array.isArray(setting.default) ? setting.default.join(",") : String(setting.default);
      return [
        flagOf(name),
        { type: "string" as const, description: `${setting.help}${choices}${value === "" ? "" : ` (${value})`}` },
      ];
    }),
  );
}

/** The settings among parsed options. */
export function givenSettings(args: Readonly<Record<string, unknown>>): GivenSettings {
  const given: Record<string, unknown> = {};
  for (const name of SETTING_NAMES) {
    const value = args[flagOf(name)] ?? args[name satisfies keyof RunSettings];
    if (value !== undefined) given[name] = value;
  }
  return given;
}

/** A whole number, or undefined where not given. @throws Error naming the option. */
export function wholeOption(name: string, value: string | undefined, least = 1): number | undefined {
  return numberOption(name, value, least, true);
}

export function numberOption(name: string, value: string | undefined, least = 0, whole = false): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (value.trim() !== "" && Number.isFinite(number) && number >= least && (!whole || Number.isSafeInteger(number)))
    return number;
  throw new Error(`--${name} is "${value}"; it must be a ${whole ? "whole " : ""}number of at least ${least}`);
}

/** A choice, or undefined where not given. */
export function choiceOption<T extends string>(
  name: string,
  value: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (value === undefined || choices.includes(value as T)) return value as T | undefined;
  throw new Error(`--${name} is "${value}"; it must be one of ${choices.join(", ")}`);
}

/** Whole numbers separated by commas, and runs of them: "1,3,5-8". Each counts once. */
export function listOption(name: string, value: string | undefined): number[] | undefined {
  const numbers = value?.split(",").flatMap((word) => {
    const [, from, to] = /^\s*(\d+)\s*-\s*(\d+)\s*$/.exec(word) ?? [];
    if (from === undefined) return wholeOption(name, word, 0)!;
    const [first, last] = [wholeOption(name, from, 0)!, wholeOption(name, to, 0)!];
    if (last < first || last - first > 9999)
      throw new Error(`--${name} has "${word}"; a run goes upwards, such as 1-4`);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  return numbers && [...new Set(numbers)];
}
