/** Settings of a HiCo model, their defaults (those of the paper, arXiv 2212.02082), and the checks on them. */
import type { DType } from "../../tensor/dtype.ts";
import type { Generator } from "../../tensor/random.ts";
import type { EncoderName } from "./encoder-names.ts";
import { ENCODER_NAMES } from "./encoder-names.ts";
import type { EncoderFactory } from "./encoders.ts";
import type { ContrastLevel } from "./contrast-levels.ts";
import { CONTRAST_LEVELS } from "./contrast-levels.ts";
import type { Setting } from "./setting.ts";
import { checkSetting, choice, choices, number, whole } from "./setting.ts";

/**
 * `released`: the arithmetic of the published implementation, bit for bit in its bookkeeping: the clip and part queues
 * hold G·K columns, of which the write pointer, taken modulo K, reaches only some. `corrected`: it wraps at G·K, and
 * the batch need not divide K.
 */
export type Variant = "released" | "corrected";

/** Sizes and settings of the HiCo model. */
export interface HiCoConfig {
  /** The sequence-to-sequence encoder: one of three by name, or any module of that shape. Default "transformer". */
  readonly encoder: EncoderName | EncoderFactory;
  /** Features of a temporal token (M·V·C) and of a spatial one (T·C). Default 150 and 192. */
  readonly temporalInput: number;
  readonly spatialInput: number;
  /** Width d of tokens and features. Default 512. */
  readonly hidden: number;
  /** Heads of the Transformer's attention. Default 4. */
  readonly heads: number;
  /** Layers of the encoder. Default 1. */
  readonly layers: number;
  /** Dropout in the Transformer, in training. Default 0.1. */
  readonly dropout: number;
  /** Levels G of the hierarchy. Default 4. */
  readonly granularity: number;
  /** The depthwise convolution of the unified downsampling module. Defaults 5, 1, 2. */
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  /** Tokens pooled into one from level to level. Default 2. */
  readonly factor: number;
  /**
   * Levels of contrast that enter the loss. Default all four. Heads and queues of the others are there and stay as they
   * began, so that checkpoints have one form.
   */
  readonly contrast: readonly ContrastLevel[];
  /** Width of projected vectors. Default 128. */
  readonly projection: number;
  /** Negatives K of a queue; the clip and part queues hold G·K. Default 2048. */
  readonly queue: number;
  /** Temperature T of the losses. Default 0.2. */
  readonly temperature: number;
  /** Share m that the key network keeps of itself at every step. Default 0.999. */
  readonly momentum: number;
  /** Default "corrected". */
  readonly variant: Variant;
  /** Default f32; f64 computes on the reference device only. */
  readonly dtype: DType;
  /** Where first values and dropout come from; default the shared generator. */
  readonly generator?: Generator;
}

/** What of a model's configuration is given; the rest is `HICO_DEFAULTS`. */
export type HiCoOptions = Partial<HiCoConfig>;

/** A graph has a node for every op of every layer: beyond this it takes minutes to plan, and is a slip of the hand. */
const MOST_LAYERS = 256;

/**
 * Settings of a model that are plain values: a run's settings take these rows, so that defaults and rules are stated
 * once. Defaults are the paper's.
 */
export const MODEL_SETTINGS = {
  encoder: choice<EncoderName>("transformer", ENCODER_NAMES, "Sequence encoder"),
  temporalInput: whole(150, 1, "Features of a temporal token, M·V·C"),
  spatialInput: whole(192, 1, "Features of a spatial token, T·C"),
  hidden: whole(512, 1, "Width d of tokens and features"),
  heads: whole(4, 1, "Heads of the Transformer"),
  layers: whole(1, 1, "Layers of the encoder", MOST_LAYERS),
  dropout: number(0.1, { least: 0, most: 0.99 }, "Dropout of the Transformer"),
  granularity: whole(4, 1, "Levels G of the hierarchy"),
  kernel: whole(5, 1, "Width of the downsampling's depthwise convolution"),
  stride: whole(1, 1, "Stride of that convolution"),
  padding: whole(2, 0, "Padding of that convolution"),
  factor: whole(2, 1, "Tokens pooled into one from level to level"),
  contrast: choices<ContrastLevel>([...CONTRAST_LEVELS], "Levels of contrast in the loss"),
  projection: whole(128, 1, "Width of projected vectors"),
  queue: whole(2048, 1, "Negatives K in a queue"),
  temperature: number(0.2, { least: 0, above: true }, "Temperature T of the losses"),
  momentum: number(0.999, { least: 0, most: 1 }, "Share m that the key network keeps of itself"),
  variant: choice<Variant>(
    "corrected",
    ["corrected", "released"],
    "Bookkeeping of queues: as it should be, or as published",
  ),
};

const DEFAULTS = Object.fromEntries(Object.entries(MODEL_SETTINGS).map(([name, setting]) => [name, setting.default]));

/** Sizes and settings of the model where nothing else is said: those of the paper. */
export const HICO_DEFAULTS = { ...DEFAULTS, dtype: "f32" } as HiCoConfig;

/** The options with defaults, checked. @throws Error naming the option and its rule. */
export function resolveConfig(options: HiCoOptions): HiCoConfig {
  for (const key of Object.keys(options)) {
    if (key in HICO_DEFAULTS || key === "generator") continue;
    throw new Error(`HiCo: there is no option "${key}"; there is ${Object.keys(HICO_DEFAULTS).join(", ")}, generator`);
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const config = { ...HICO_DEFAULTS, ...given } as Record<string, unknown>;
  for (const [name, setting] of Object.entries(MODEL_SETTINGS)) {
    // An encoder may also be a module of the caller's.
    if (name === "encoder" && typeof config[name] !== "string") continue;
    config[name] = checkSetting(name, setting as Setting, config[name], "HiCo");
  }
  if (!String(config.dtype).startsWith("f"))
    throw new Error(`HiCo: dtype is ${config.dtype}; it must be a floating one`);
  return config as unknown as HiCoConfig;
}
