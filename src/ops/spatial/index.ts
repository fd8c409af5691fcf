/** Ops on signals and images, [N, C, L] and [N, C, H, W]. */
export { conv1d, conv2d, convTranspose1d, convTranspose2d } from "./conv.ts";
export type {
  ConvOptions,
  ConvOptions as Conv1dOptions,
  ConvOptions as Conv2dOptions,
  ConvTransposeOptions,
} from "./conv.ts";
export { fold, unfold } from "./folding.ts";
export type { FoldOptions } from "./folding.ts";
export { interpolate } from "./resample.ts";
export type { InterpolateOptions } from "./resample.ts";
export { pad } from "./padding.ts";
export type { PadMode, PadOptions } from "./padding.ts";
export type { PerAxis } from "./sizes.ts";
export {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  avgPool1d,
  avgPool2d,
  maxPool2d,
} from "./pooling.ts";
export type { AdaptiveSize, AvgPoolOptions, MaxPoolOptions } from "./pooling.ts";
export { batchNorm, batchNormTraining } from "./batch-norm.ts";
export type { BatchNormOptions, BatchStatistics } from "./batch-norm.ts";
