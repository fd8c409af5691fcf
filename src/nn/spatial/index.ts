/** Layers on signals and images, [N, C, L] and [N, C, H, W]. */
export { Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d } from "./convolution.ts";
export type {
  ConvSettings,
  ConvSettings as Conv1dSettings,
  ConvSettings as Conv2dSettings,
  ConvTransposeSettings,
} from "./convolution.ts";
export {
  AdaptiveAvgPool1d,
  AdaptiveAvgPool2d,
  AdaptiveMaxPool1d,
  AdaptiveMaxPool2d,
  AvgPool1d,
  AvgPool2d,
  Dropout1d,
  Dropout2d,
  Flatten,
  Fold,
  MaxPool2d,
  Unfold,
  Upsample,
} from "./pooling.ts";
export { BatchNorm1d, BatchNorm2d } from "./batch-norm.ts";
export type { BatchNormSettings } from "./batch-norm.ts";
export { GroupNorm, InstanceNorm1d, InstanceNorm2d, RMSNorm } from "./norms.ts";
export type { GroupNormSettings, InstanceNormSettings, RmsNormSettings } from "./norms.ts";
