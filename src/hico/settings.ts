/**
 * Settings of a pretraining run: one table from which checks, defaults, command-line flags and help all follow.
 *
 * A run's settings are resolved in layers (defaults, preset, `hico.config.json`, flags) and written whole beside the
 * run, so that every run can be repeated from its folder.
 */
import type { InputSettings } from "../data/inputs.ts";
import type { Stream } from "../data/streams.ts";
import { STREAMS } from "../data/streams.ts";
import type { Variant } from "./config.ts";
import type { EncoderName } from "./encoders.ts";
import { ENCODER_NAMES } from "./encoders.ts";

export interface RunSettings {
  data: string;
  protocol: string;
  holdOut: number[];
  stream: Stream;
  encoder: EncoderName;
  hidden: number;
  heads: number;
  layers: number;
  dropout: number;
  granularity: number;
  projection: number;
  queue: number;
  temperature: number;
  keyMomentum: number;
  variant: Variant;
  frames: number;
  minScale: number;
  minFrames: number;
  corruptJoints: number;
  amplitude: number;
  epochs: number;
  batch: number;
  lr: number;
  momentum: number;
  weightDecay: number;
  schedule: "step" | "cosine";
  drops: number[];
  warmup: number;
  seed: number;
  saveEvery: number;
  keep: number;
  logEvery: number;
  workers: number;
  prefetch: number;
}

/** What a setting may be, and what it is for. */
export type Setting<T = unknown> = {
  readonly default: T;
  readonly help: string;
  /** A resumed run may have another value: it changes no number that is computed. */
  readonly free?: boolean;
} & (
  | { readonly kind: "text" }
  | { readonly kind: "choice"; readonly choices: readonly string[] }
  | { readonly kind: "number" | "whole" | "numbers"; readonly least: number; readonly most?: number; readonly above?: boolean }
);

export const SETTINGS: { readonly [Name in keyof RunSettings]: Setting<RunSettings[Name]> } = {
  data: { kind: "text", default: "", help: "Clip store made by hico data prepare", free: true },
  protocol: { kind: "text", default: "", help: "Protocol of the store whose training clips are used; default its first" },
  holdOut: { kind: "numbers", default: [], least: 0, help: "Training subjects held out, to choose settings by: they test, and the test clips rest" },
  stream: { kind: "choice", default: "joint", choices: STREAMS, help: "Input stream" },
  encoder: { kind: "choice", default: "transformer", choices: ENCODER_NAMES, help: "Sequence encoder" },
  hidden: { kind: "whole", default: 512, least: 1, help: "Width d of tokens and features" },
  heads: { kind: "whole", default: 4, least: 1, help: "Heads of the Transformer" },
  layers: { kind: "whole", default: 1, least: 1, help: "Layers of the encoder" },
  dropout: { kind: "number", default: 0.1, least: 0, most: 0.99, help: "Dropout of the Transformer" },
  granularity: { kind: "whole", default: 4, least: 1, help: "Levels G of the hierarchy" },
  projection: { kind: "whole", default: 128, least: 1, help: "Width of projected vectors" },
  queue: { kind: "whole", default: 2048, least: 1, help: "Negatives K in a queue" },
  temperature: { kind: "number", default: 0.2, least: 0, above: true, help: "Temperature T of the losses" },
  keyMomentum: { kind: "number", default: 0.999, least: 0, most: 1, help: "Share m that the key network keeps of itself" },
  variant: { kind: "choice", default: "corrected", choices: ["corrected", "released"], help: "Bookkeeping of the queues: as it should be, or as published" },
  frames: { kind: "whole", default: 64, least: 1, help: "Frames that every clip is resampled to" },
  minScale: { kind: "number", default: 0.1, least: 0, most: 1, help: "Least part of a clip that a temporal crop keeps" },
  minFrames: { kind: "whole", default: 64, least: 1, help: "Least frames that a temporal crop keeps" },
  corruptJoints: { kind: "whole", default: 0, least: 0, help: "Joints that corruption touches; 0: three fifths of them" },
  amplitude: { kind: "number", default: 1, least: 0, help: "Range of the entries of shear and corruption matrices" },
  epochs: { kind: "whole", default: 451, least: 1, help: "Passes over the training clips" },
  batch: { kind: "whole", default: 64, least: 1, help: "Clips in a step" },
  lr: { kind: "number", default: 0.01, least: 0, above: true, help: "Learning rate" },
  momentum: { kind: "number", default: 0.9, least: 0, most: 0.9999, help: "Momentum of SGD" },
  weightDecay: { kind: "number", default: 1e-4, least: 0, help: "Weight decay of SGD" },
  schedule: { kind: "choice", default: "step", choices: ["step", "cosine"], help: "How the learning rate falls" },
  drops: { kind: "numbers", default: [0.78], least: 0, help: "Where a step schedule multiplies the rate by 0.1: epochs, or parts of the run below 1" },
  warmup: { kind: "number", default: 0, least: 0, help: "Epochs over which the rate rises from 0" },
  seed: { kind: "whole", default: 0, least: 0, help: "Seed of first values, order, augmentation and dropout" },
  saveEvery: { kind: "whole", default: 5, least: 1, help: "Epochs between checkpoints", free: true },
  keep: { kind: "whole", default: 2, least: 1, help: "Last checkpoints kept, besides the best", free: true },
  logEvery: { kind: "whole", default: 10, least: 1, help: "Steps between readings of the losses", free: true },
  workers: { kind: "whole", default: -1, least: -1, help: "Loader threads; 0: none, -1: by the number of cores", free: true },
  prefetch: { kind: "whole", default: 4, least: 1, help: "Batches made ahead of time", free: true },
};

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly (keyof RunSettings)[];

/** Settings as a user gives them: values, or their text. */
export type GivenSettings = Readonly<Record<string, unknown>>;

/**
 * The settings with defaults, later layers over earlier ones; undefined leaves what is there.
 * @throws Error naming the setting, its rule and where it came from.
 */
export function resolveSettings(...layers: readonly { readonly from: string; readonly given: GivenSettings }[]): RunSettings {
  const settings = Object.fromEntries(SETTING_NAMES.map((name) => [name, SETTINGS[name].default])) as unknown as Record<string, unknown>;
  for (const { from, given } of layers) {
    for (const [name, value] of Object.entries(given)) {
      if (value === undefined) continue;
      if (!Object.hasOwn(SETTINGS, name)) throw new Error(`${from}: there is no setting "${name}"; there is ${SETTING_NAMES.join(", ")}`);
      settings[name] = checkSetting(name as keyof RunSettings, value, from);
    }
  }
  const resolved = settings as unknown as RunSettings;
  if (resolved.encoder !== "transformer" && resolved.hidden % 2 !== 0) {
    throw new Error(`hidden is ${resolved.hidden}; the encoder ${resolved.encoder} needs an even number, half for each direction`);
  }
  if (resolved.encoder === "transformer" && resolved.hidden % resolved.heads !== 0) {
    throw new Error(`hidden is ${resolved.hidden}; a Transformer of ${resolved.heads} heads needs a multiple of ${resolved.heads}`);
  }
  if (resolved.variant === "released" && resolved.queue % resolved.batch !== 0) {
    throw new Error(`batch is ${resolved.batch}; the variant "released" needs one that divides the queue, ${resolved.queue}`);
  }
  return resolved;
}

function checkSetting(name: keyof RunSettings, value: unknown, from: string): unknown {
  const setting = SETTINGS[name] as Setting;
  const refuse = (rule: string): never => {
    throw new Error(`${from}: ${name} is ${JSON.stringify(value)}; it must be ${rule}`);
  };
  if (setting.kind === "text") return typeof value === "string" ? value : refuse("text");
  if (setting.kind === "choice") {
    return setting.choices.includes(value as string) ? value : refuse(`one of ${setting.choices.join(", ")}`);
  }
  const { kind, least, most = Infinity, above } = setting;
  const rule = `${kind === "whole" ? "a whole number" : kind === "numbers" ? "a list of numbers" : "a number"} ` +
    `${above ? "above" : "of at least"} ${least}${most === Infinity ? "" : ` and at most ${most}`}`;
  const one = (given: unknown): number => {
    const number = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
    const fits = typeof number === "number" && Number.isFinite(number) && (above ? number > least : number >= least) && number <= most;
    return fits && (kind !== "whole" || Number.isSafeInteger(number)) ? number : refuse(rule);
  };
  if (kind !== "numbers") return one(value);
  const list = typeof value === "string" ? value.split(",").filter((word) => word.trim() !== "") : value;
  return Array.isArray(list) ? list.map(one) : typeof value === "number" ? [one(value)] : refuse(rule);
}

/** How clips become inputs under these settings. */
export function inputSettings(settings: RunSettings): InputSettings {
  const { stream, frames: size, minScale, minFrames, corruptJoints, amplitude } = settings;
  return { stream, augmentation: { size, minScale, minFrames, corruptJoints: corruptJoints || undefined, amplitude } };
}

/** Names of settings that decide what is computed and differ between two runs. */
export function differingSettings(a: RunSettings, b: RunSettings): (keyof RunSettings)[] {
  return SETTING_NAMES.filter((name) => !SETTINGS[name].free && JSON.stringify(a[name]) !== JSON.stringify(b[name]));
}

/** The settings that decide what is computed. */
export function decidingSettings(settings: RunSettings): Partial<RunSettings> {
  return Object.fromEntries(SETTING_NAMES.filter((name) => !SETTINGS[name].free).map((name) => [name, settings[name]]));
}
