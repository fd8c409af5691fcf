/**
 * Layers, optimizers and losses, with PyTorch's names, shapes and defaults.
 *
 * ```ts
 * import { Linear, Sequential, SGD } from "hico-webgpu/nn";
 * ```
 */
export { Module } from "./module.ts";
export type { TensorModule } from "./module.ts";
export { loadState, readState } from "./state.ts";
export type { LoadOptions, LoadReport, ShapedArray, StateSource, StateValue } from "./state.ts";
export { Optimizer } from "./optimizer.ts";
export type { CommonSettings, OptimizerState, ParameterGroup } from "./optimizer.ts";
export { SGD } from "./sgd.ts";
export type { SgdSettings } from "./sgd.ts";
export { Adam, AdamW } from "./adam.ts";
export type { AdamSettings } from "./adam.ts";
export { copyParameters, emaUpdate } from "./moving-average.ts";
export type { Parameters } from "./moving-average.ts";
export type { ClipOptions } from "./clip.ts";
export { clipGradNorm } from "./clip.ts";
export { cosineSchedule, stepSchedule, warmUp } from "./schedules.ts";
export type { Schedule } from "./schedules.ts";
export type { LayerOptions } from "./initialize.ts";
export { Embedding, Linear, linear } from "./linear.ts";
export type { EmbeddingOptions, LinearOptions } from "./linear.ts";
export { Dropout, LayerNorm, MaxPool1d, Sequential, dropout } from "./layers.ts";
export type { LayerNormSettings, SequentialStep } from "./layers.ts";
export { GRU, LSTM } from "./recurrent.ts";
export type { RecurrentInputs, RecurrentSettings } from "./recurrent.ts";
export { gru, lstm } from "./recurrent-functions.ts";
export type { GruResult, LstmOptions, LstmResult, RecurrentOptions, RecurrentWeights } from "./recurrent-functions.ts";
export { MultiHeadAttention, TransformerEncoderLayer } from "./transformer.ts";
export type { AttentionInputs, AttentionSettings, EncoderLayerSettings } from "./transformer.ts";
export { crossEntropy, infoNCE, meanSquaredError, ntXent } from "../ops/index.ts";
export type { ContrastiveOptions, CrossEntropyOptions, Reduction } from "../ops/index.ts";
export * from "./spatial/index.ts";
export * from "./sequence/index.ts";
export * from "./containers/index.ts";
