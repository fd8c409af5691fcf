/** Ops above the primitives: fused ops and compositions that users expect by name. */
export { logSoftmax, logSumExp, softmax } from "./softmax.ts";
export { l2Normalize, layerNorm } from "./normalization.ts";
export type { LayerNormOptions } from "./normalization.ts";
export { crossEntropy, meanSquaredError } from "./losses.ts";
export type { CrossEntropyOptions, Reduction } from "./losses.ts";
