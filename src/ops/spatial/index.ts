/** Ops on signals and images, [N, C, L] and [N, C, H, W]. */
export { conv2d } from "./conv.ts";
export type { Conv2dOptions } from "./conv.ts";
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
