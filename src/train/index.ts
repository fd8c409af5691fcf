/**
 * Training: data sets and batches, the compiled step, measures, evaluation, early stopping, checkpoints, progress, and
 * `fit`, which puts them together. Each part is of use by itself. It loads in browsers; files need Node, Bun or Deno.
 *
 * ```ts
 * import { DataLoader, fit, TensorDataset } from "hico-webgpu/train";
 * ```
 *
 * @module hico-webgpu/train
 */
export { fit } from "./fit.ts";
export type { EpochReport, FitOptions, FitReport, Numbers, ScalarWriter, StepReport } from "./fit.ts";
export { trainLoop } from "./loop.ts";
export type { StepValues, TrainLoopOptions } from "./loop.ts";
export { trainStep } from "./train-step.ts";
export type { StepResult, TrainStep, TrainStepOptions } from "./train-step.ts";
export { NonFiniteError } from "./non-finite.ts";
export { collate, TensorDataset } from "./data/dataset.ts";
export type { BatchedDataset, Column, Dataset, SamplePart } from "./data/dataset.ts";
export { DataLoader } from "./data/loader.ts";
export type { DataLoaderOptions, LoaderState, PlacedBatch, Stream } from "./data/loader.ts";
export { accuracy, confusionMatrix, RunningMeans } from "./measure/metrics.ts";
export type { RunningMeansState } from "./measure/metrics.ts";
export { evaluator } from "./measure/evaluate.ts";
export type { Measures } from "./measure/evaluate.ts";
export { EarlyStopping } from "./measure/early-stopping.ts";
export type { EarlyStoppingOptions, EarlyStoppingState } from "./measure/early-stopping.ts";
export { encodeCheckpoint, loadCheckpoint, saveCheckpoint } from "./checkpoint/checkpoint.ts";
export type { CheckpointPart, CheckpointParts, Stateful } from "./checkpoint/checkpoint.ts";
export { DamagedCheckpointError } from "./checkpoint/checksum.ts";
export { FolderStore, MemoryStore } from "./checkpoint/store.ts";
export type { CheckpointStore } from "./checkpoint/store.ts";
export { ProgressTimer, progressLine } from "./progress.ts";
export type { Progress } from "./progress.ts";
export { readTensorBoard, TensorBoardWriter } from "../io/protobuf/tensorboard.ts";
export type { TensorBoardEvent } from "../io/protobuf/tensorboard.ts";
