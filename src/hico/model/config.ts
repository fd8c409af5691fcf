/** Settings of a HiCo model, their defaults (those of the paper, arXiv 2212.02082), and the checks on them. */
import type { DType } from "../../tensor/dtype.ts";
import type { Generator } from "../../tensor/random.ts";
import type { EncoderFactory, EncoderName } from "./encoders.ts";
import type { ContrastLevel } from "./loss.ts";
import { CONTRAST_LEVELS } from "./loss.ts";

/**
 * `released`: the arithmetic of the published implementation, bit for bit in its bookkeeping: the clip and part queues
 * hold G·K columns, of which the write pointer, taken modulo K, reaches only some. `corrected`: it wraps at G·K, and
 * the batch need not divide K.
 */
export type Variant = "released" | "corrected";

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

export type HiCoOptions = Partial<HiCoConfig>;

export const HICO_DEFAULTS: HiCoConfig = {
  encoder: "transformer",
  temporalInput: 150,
  spatialInput: 192,
  hidden: 512,
  heads: 4,
  layers: 1,
  dropout: 0.1,
  granularity: 4,
  kernel: 5,
  stride: 1,
  padding: 2,
  factor: 2,
  contrast: CONTRAST_LEVELS,
  projection: 128,
  queue: 2048,
  temperature: 0.2,
  momentum: 0.999,
  variant: "corrected",
  dtype: "f32",
};

const COUNTS = [
  "temporalInput",
  "spatialInput",
  "hidden",
  "heads",
  "layers",
  "granularity",
  "kernel",
  "stride",
  "factor",
  "projection",
  "queue",
] as const;

/** The options with defaults, checked. @throws Error naming the option and its rule. */
export function resolveConfig(options: HiCoOptions): HiCoConfig {
  for (const key of Object.keys(options)) {
    if (key in HICO_DEFAULTS || key === "generator") continue;
    throw new Error(`HiCo: there is no option "${key}"; there is ${Object.keys(HICO_DEFAULTS).join(", ")}, generator`);
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const config: HiCoConfig = { ...HICO_DEFAULTS, ...given };
  const refuse = (name: keyof HiCoConfig, rule: string): never => {
    throw new Error(`HiCo: ${name} is ${String(config[name])}; it must be ${rule}`);
  };
  for (const name of COUNTS) {
    if (!Number.isInteger(config[name]) || config[name] < 1) refuse(name, "a whole number of at least 1");
  }
  if (!Number.isInteger(config.padding) || config.padding < 0) refuse("padding", "a whole number of at least 0");
  if (!(config.dropout >= 0 && config.dropout < 1)) refuse("dropout", "in [0, 1)");
  if (!(config.temperature > 0)) refuse("temperature", "above 0");
  if (!(config.momentum >= 0 && config.momentum <= 1)) refuse("momentum", "in [0, 1]");
  if (config.variant !== "released" && config.variant !== "corrected") refuse("variant", '"released" or "corrected"');
  if (config.contrast.length === 0 || !config.contrast.every((level) => CONTRAST_LEVELS.includes(level))) {
    refuse("contrast", `one or more of ${CONTRAST_LEVELS.join(", ")}`);
  }
  if (!config.dtype.startsWith("f")) refuse("dtype", "a floating one");
  return config;
}
