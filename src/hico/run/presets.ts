/**
 * Settings that go together, by name: the paper's, those for data sets small enough for a CPU, and the best found. None
 * names a protocol: each store begins with the one its data set is published with, so a preset suits any store.
 */
import type { RunSettings } from "./settings.ts";

/** What a GRU of width 128 on a small data set takes. */
const SMALL: Partial<RunSettings> = {
  encoder: "gru",
  hidden: 128,
  queue: 512,
  temperature: 0.2,
  keyMomentum: 0.999,
  batch: 64,
  lr: 0.01,
  epochs: 100,
  schedule: "step",
  drops: [0.78],
  stream: "joint",
  variant: "released",
};

/**
 * Found on training clips held out by camera and by subject, never on test clips: sharper contrast, fewer joints
 * corrupted, and crops of short clips too.
 */
const TUNED: Partial<RunSettings> = {
  ...SMALL,
  variant: "corrected",
  temperature: 0.07,
  corruptJoints: 6,
  minScale: 0.5,
  minFrames: 8,
};

/** Named settings: the published ones, and the best found. */
export const PRESETS = {
  paper: {
    encoder: "transformer",
    hidden: 512,
    queue: 2048,
    temperature: 0.2,
    keyMomentum: 0.999,
    batch: 64,
    lr: 0.01,
    epochs: 451,
    schedule: "step",
    drops: [351],
    stream: "joint",
    variant: "corrected",
  },
  "nw-ucla": { ...SMALL },
  "utd-mhad": { ...SMALL, queue: 256 },
  sbu: { ...SMALL, queue: 128, batch: 32 },
  "nw-ucla-tuned": { ...TUNED, rotation: 60, epochs: 200 },
  "utd-mhad-tuned": {
    ...TUNED,
    queue: 256,
    keyMomentum: 0.99,
    corruptJoints: 3,
    amplitude: 0.5,
    minFrames: 64,
  },
  "sbu-tuned": { ...TUNED, queue: 128, batch: 32, keyMomentum: 0.99 },
} as const satisfies Record<string, Partial<RunSettings>>;

/** The name of a preset, see `PRESETS`. */
export type PresetName = keyof typeof PRESETS;
/** The names of `PRESETS`. */
export const PRESET_NAMES = Object.keys(PRESETS) as readonly PresetName[];

/** @throws Error naming the presets there are. */
/** The settings of a preset. @throws Error that lists the presets, where there is none of this name */
export function presetNamed(name: string): Partial<RunSettings> {
  if (Object.hasOwn(PRESETS, name)) return { ...PRESETS[name as PresetName] } as Partial<RunSettings>;
  throw new Error(`there is no preset "${name}"; there is ${PRESET_NAMES.join(", ")}`);
}
