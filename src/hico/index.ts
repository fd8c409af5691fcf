/**
 * HiCo: hierarchical contrastive learning of human-action representations from 3D skeletons.
 *
 * ```ts
 * import { HiCo, HiCoTrainer } from "hico-webgpu/hico";
 * ```
 */
export { HiCo } from "./model.ts";
export type { HiCoBatch, HiCoResult } from "./model.ts";
export { HICO_DEFAULTS } from "./config.ts";
export type { HiCoConfig, HiCoOptions, Variant } from "./config.ts";
export { ENCODER_NAMES } from "./encoders.ts";
export type { EncoderFactory, EncoderName, EncoderSettings, SequenceEncoder } from "./encoders.ts";
export { HiCoNetwork, HierarchicalEncoder } from "./network.ts";
export type { Features, Projections } from "./network.ts";
export { LOSS_PARTS, contrasts, hierarchicalLosses, logitsOf, normalizeProjections } from "./loss.ts";
export type { Contrast, LossPart } from "./loss.ts";
export { HiCoTrainer, PRETRAIN_SETTINGS } from "./trainer.ts";
export type { StepLosses } from "./trainer.ts";
export { hicoState, loadCheckpoint, loadModel, saveCheckpoint } from "./checkpoint.ts";
