/** Layers on signals and images, [N, C, L] and [N, C, H, W]. */
export { Conv2d } from "./convolution.ts";
export type { Conv2dSettings } from "./convolution.ts";
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
  MaxPool2d,
} from "./pooling.ts";
export { BatchNorm1d, BatchNorm2d } from "./batch-norm.ts";
export type { BatchNormSettings } from "./batch-norm.ts";
