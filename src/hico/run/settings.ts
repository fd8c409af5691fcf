/**
 * Settings of a pretraining run: one table from which checks, defaults, command-line flags and help all follow. Those
 * of the model are rows of its own table.
 *
 * A run's settings are resolved in layers (defaults, preset, `hico.config.json`, flags) and written whole beside the
 * run, so that every run can be repeated from its folder.
 */
import type { InputSettings } from "../../data/batches/inputs.ts";
import type { Stream } from "../../data/skeleton/streams.ts";
import { STREAMS } from "../../data/skeleton/streams.ts";
import type { Variant } from "../model/config.ts";
import { MODEL_SETTINGS } from "../model/config.ts";
import type { EncoderName } from "../model/encoder-names.ts";
import type { ContrastLevel } from "../model/contrast-levels.ts";
import type { Setting } from "../model/setting.ts";
import { checkSetting, choice, free, number, numbers, text, whole } from "../model/setting.ts";

/** Every setting of a run; `SETTINGS` says what each means. */
export interface RunSettings {
  data: string;
  protocol: string;
  holdOut: number[];
  holdOutCameras: number[];
  stream: Stream;
  encoder: EncoderName;
  hidden: number;
  heads: number;
  layers: number;
  dropout: number;
  granularity: number;
  contrast: ContrastLevel[];
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
  rotation: number;
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

/** What every setting means: its default, its bounds, its description. */
export const SETTINGS: { readonly [Name in keyof RunSettings]: Setting<RunSettings[Name]> } = {
  data: free(text("Clip store made by hico data prepare")),
  protocol: text("Protocol of the store whose training clips are used; default its first"),
  holdOut: numbers([], 0, "Training subjects held out to choose settings by: they test, and the test clips rest"),
  holdOutCameras: numbers([], 0, "Training cameras held out likewise"),
  stream: choice("joint", STREAMS, "Input stream"),
  encoder: MODEL_SETTINGS.encoder,
  hidden: MODEL_SETTINGS.hidden,
  heads: MODEL_SETTINGS.heads,
  layers: MODEL_SETTINGS.layers,
  dropout: MODEL_SETTINGS.dropout,
  granularity: MODEL_SETTINGS.granularity,
  contrast: MODEL_SETTINGS.contrast,
  projection: MODEL_SETTINGS.projection,
  queue: MODEL_SETTINGS.queue,
  temperature: MODEL_SETTINGS.temperature,
  keyMomentum: MODEL_SETTINGS.momentum,
  variant: MODEL_SETTINGS.variant,
  frames: whole(64, 1, "Frames that every clip is resampled to"),
  minScale: number(0.1, { least: 0, most: 1 }, "Least part of a clip that a temporal crop keeps"),
  minFrames: whole(64, 1, "Least frames that a temporal crop keeps"),
  corruptJoints: whole(0, 0, "Joints that corruption touches; 0: three fifths of them"),
  amplitude: number(1, { least: 0 }, "Range of the entries of shear and corruption matrices"),
  rotation: number(0, { least: 0, most: 180 }, "Range of turns about the upright axis, in degrees; the paper has none"),
  epochs: whole(451, 1, "Passes over the training clips"),
  batch: whole(64, 1, "Clips in a step"),
  lr: number(0.01, { least: 0, above: true }, "Learning rate"),
  momentum: number(0.9, { least: 0, most: 0.9999 }, "Momentum of SGD"),
  weightDecay: number(1e-4, { least: 0 }, "Weight decay of SGD"),
  schedule: choice("step", ["step", "cosine"], "How the learning rate falls"),
  drops: numbers([0.78], 0, "Where a step schedule takes a tenth of the rate: epochs, or parts of the run below 1"),
  warmup: number(0, { least: 0 }, "Epochs over which the rate rises from 0"),
  seed: whole(0, 0, "Seed of first values, order, augmentation and dropout"),
  saveEvery: free(whole(5, 1, "Epochs between checkpoints")),
  keep: free(whole(2, 1, "Last checkpoints kept, besides the best; one that a stop asked for goes with the next")),
  logEvery: free(whole(10, 1, "Steps between readings of the losses")),
  workers: free(whole(-1, -1, "Loader threads; 0: none, -1: by the number of cores")),
  prefetch: free(whole(4, 1, "Batches made ahead of time")),
};

/** The names of `SETTINGS`. */
export const SETTING_NAMES = Object.keys(SETTINGS) as readonly (keyof RunSettings)[];

/** A setting's option: `queue` → `queue`, `keyMomentum` → `key-momentum`. */
export function flagOf(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Settings as a user gives them: values, or their text. */
export type GivenSettings = Readonly<Record<string, unknown>>;

/**
 * The settings with defaults, later layers over earlier ones; undefined leaves what is there.
 * @throws Error naming the setting, its rule and where it came from.
 */
export function resolveSettings(
  ...layers: readonly { readonly from: string; readonly given: GivenSettings }[]
): RunSettings {
  const settings = Object.fromEntries(SETTING_NAMES.map((name) => [name, SETTINGS[name].default])) as unknown as Record<
    string,
    unknown
  >;
  for (const { from, given } of layers) {
    for (const [name, value] of Object.entries(given)) {
      if (value === undefined) continue;
      if (!Object.hasOwn(SETTINGS, name))
        throw new Error(`${from}: there is no setting "${name}"; there is ${SETTING_NAMES.join(", ")}`);
      settings[name] = checkSetting(name, SETTINGS[name as keyof RunSettings] as Setting, value, from);
    }
  }
  const resolved = settings as unknown as RunSettings;
  if (resolved.encoder !== "transformer" && resolved.hidden % 2 !== 0) {
    throw new Error(
      `hidden is ${resolved.hidden}; the encoder ${resolved.encoder} needs an even number, half for each direction`,
    );
  }
  if (resolved.encoder === "transformer" && resolved.hidden % resolved.heads !== 0) {
    throw new Error(
      `hidden is ${resolved.hidden}; a Transformer of ${resolved.heads} heads needs a multiple of ${resolved.heads}`,
    );
  }
  if (resolved.variant === "released" && resolved.queue % resolved.batch !== 0) {
    throw new Error(
      `batch is ${resolved.batch}; the variant "released" needs one that divides the queue, ${resolved.queue}`,
    );
  }
  return resolved;
}

/** How clips become inputs under these settings. */
export function inputSettings(settings: RunSettings): InputSettings {
  const { stream, frames: size, minScale, minFrames, corruptJoints, amplitude, rotation } = settings;
  const joints = corruptJoints || undefined;
  return { stream, augmentation: { size, minScale, minFrames, corruptJoints: joints, amplitude, rotation } };
}

/**
 * Settings of a run that goes on for more epochs than it was begun with: the rate has fallen, and falls, in the epochs in
 * which it was to fall.
 */
export function extendedSettings(begun: RunSettings, asked: RunSettings): RunSettings {
  if (asked.epochs <= begun.epochs || JSON.stringify(asked.drops) !== JSON.stringify(begun.drops)) return asked;
  return { ...asked, drops: begun.drops.map((at) => (at < 1 ? Math.round(at * begun.epochs) : at)) };
}

/** Names of settings that decide what is computed and differ between two runs. */
export function differingSettings(a: RunSettings, b: RunSettings): (keyof RunSettings)[] {
  return SETTING_NAMES.filter((name) => !SETTINGS[name].free && JSON.stringify(a[name]) !== JSON.stringify(b[name]));
}

/** The settings that decide what is computed. */
export function decidingSettings(settings: RunSettings): Partial<RunSettings> {
  return Object.fromEntries(SETTING_NAMES.filter((name) => !SETTINGS[name].free).map((name) => [name, settings[name]]));
}
