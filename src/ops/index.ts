/** Ops above the primitives: fused ops and compositions that users expect by name. */
export { logSoftmax, logSumExp, softmax } from "./softmax.ts";
export { groupNorm, instanceNorm, l2Normalize, layerNorm, rmsNorm } from "./normalization.ts";
export type { GroupNormOptions, LayerNormOptions, RmsNormOptions } from "./normalization.ts";
export { gruScan, lstmScan } from "./scan.ts";
export type { GruScanInputs, LstmScanInputs } from "./scan.ts";
export { scan } from "./scan-cell.ts";
export type { ScanCell, ScanOptions, ScanResult } from "./scan-cell.ts";
export { attention, packedAttention } from "./attention.ts";
export type { AttentionOptions } from "./attention.ts";
export * from "./losses/index.ts";
export { depthwiseConv1d, interpolateLinear, maxPool1d } from "./convolution.ts";
export type { DepthwiseOptions } from "./convolution.ts";
export { topK } from "./top-k.ts";
export { segmentMax } from "./segment-max.ts";
export * from "./spatial/index.ts";
export * from "./sequence/index.ts";
export * from "./arrays/index.ts";
