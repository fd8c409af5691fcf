/** Losses, with PyTorch's numbers: each function's docstring names PyTorch's. */
export { binaryCrossEntropy, binaryCrossEntropyWithLogits, focalLoss } from "./binary.ts";
export type { BinaryCrossEntropyOptions, BinaryCrossEntropyWithLogitsOptions, FocalOptions } from "./binary.ts";
export { infoNCE, ntXent } from "./contrastive.ts";
export type { ContrastiveOptions } from "./contrastive.ts";
export { crossEntropy } from "./cross-entropy.ts";
export type { CrossEntropyOptions } from "./cross-entropy.ts";
export { klDivergence, nllLoss } from "./divergence.ts";
export type { KlOptions, NllOptions } from "./divergence.ts";
export { cosineEmbeddingLoss, cosineSimilarity, marginRankingLoss, tripletMarginLoss } from "./metric.ts";
export type { MarginOptions, TripletOptions } from "./metric.ts";
export type { LossOptions, Reduction } from "./reduction.ts";
export { barlowTwins, vicReg } from "./redundancy.ts";
export type { BarlowTwinsOptions, VicRegOptions } from "./redundancy.ts";
export { huberLoss, l1Loss, meanSquaredError, smoothL1Loss } from "./regression.ts";
export type { HuberOptions, SmoothL1Options } from "./regression.ts";
