/** Ops above the primitives: fused ops and compositions that users expect by name. */
export { logSoftmax, logSumExp, softmax } from "./softmax.ts";
export { l2Normalize, layerNorm } from "./normalization.ts";
export type { LayerNormOptions } from "./normalization.ts";
export { crossEntropy, meanSquaredError } from "./losses.ts";
export type { CrossEntropyOptions, Reduction } from "./losses.ts";
export { gruScan, lstmScan } from "./scan.ts";
export type { GruScanInputs, LstmScanInputs } from "./scan.ts";
export { attention, packedAttention } from "./attention.ts";
export type { AttentionOptions } from "./attention.ts";
export { infoNCE, ntXent } from "./contrastive.ts";
export type { ContrastiveOptions } from "./contrastive.ts";
export { conv1d, depthwiseConv1d, interpolateLinear, maxPool1d } from "./convolution.ts";
export type { Conv1dOptions, DepthwiseOptions } from "./convolution.ts";
export { topK } from "./top-k.ts";
export { segmentMax } from "./segment-max.ts";
export * from "./spatial/index.ts";
