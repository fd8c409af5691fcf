/**
 * Layers, optimizers and losses, with PyTorch's names, shapes and defaults.
 *
 * ```ts
 * import { Linear, Sequential, SGD } from "hico-webgpu/nn";
 * ```
 *
 * @module hico-webgpu/nn
 */
export { Module } from "./module.ts";
export type { TensorModule } from "./module.ts";
export { loadState, readState } from "./state.ts";
export type { LoadOptions, LoadReport, ShapedArray, StateSource, StateValue } from "./state.ts";
export { Optimizer } from "./optim/optimizer.ts";
export type { CommonSettings, OptimizerState, ParameterGroup } from "./optim/optimizer.ts";
export { SGD } from "./optim/sgd.ts";
export type { SgdSettings } from "./optim/sgd.ts";
export { Adam, AdamW } from "./optim/adam.ts";
export type { AdamSettings } from "./optim/adam.ts";
export { copyParameters, emaUpdate } from "./optim/moving-average.ts";
export type { Parameters } from "./optim/parameters.ts";
export type { ClipOptions } from "./optim/clip.ts";
export { clipGradNorm } from "./optim/clip.ts";
export { LAMB } from "./optim/lamb.ts";
export type { LambSettings } from "./optim/lamb.ts";
export { Lion } from "./optim/lion.ts";
export type { LionSettings } from "./optim/lion.ts";
export { Muon } from "./optim/muon.ts";
export type { MuonSettings } from "./optim/muon.ts";
export { RMSprop } from "./optim/rmsprop.ts";
export type { RmsPropSettings } from "./optim/rmsprop.ts";
export { GradScaler } from "./optim/grad-scaler.ts";
export type { GradScalerOptions } from "./optim/grad-scaler.ts";
export { autocast } from "../ops/autocast.ts";
export type { AutocastOptions } from "../ops/autocast.ts";
export { PlateauSchedule } from "./optim/plateau.ts";
export type { PlateauOptions, PlateauState } from "./optim/plateau.ts";
export {
  cosineSchedule,
  exponentialSchedule,
  oneCycleSchedule,
  polynomialSchedule,
  sequentialSchedule,
  stepSchedule,
  warmUp,
} from "./optim/schedules.ts";
export type { OneCycleOptions, Schedule } from "./optim/schedules.ts";
export type { LayerOptions } from "./initialize.ts";
export {
  calculateGain,
  dirac,
  kaimingNormal,
  kaimingUniform,
  orthogonal,
  truncatedNormal,
  xavierNormal,
  xavierUniform,
} from "./initializers.ts";
export type {
  KaimingOptions,
  Nonlinearity,
  OrthogonalOptions,
  TruncatedNormalOptions,
  XavierOptions,
} from "./initializers.ts";
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
export * from "../ops/losses/index.ts";
export * from "./spatial/index.ts";
export * from "./sequence/index.ts";
export * from "./containers/index.ts";
