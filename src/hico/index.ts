/**
 * HiCo: hierarchical contrastive learning of human-action representations from 3D skeletons.
 *
 * ```ts
 * import { HiCo, HiCoTrainer } from "hico-webgpu/hico";
 * ```
 *
 * @module hico-webgpu/hico
 */
export { HiCo } from "./model/model.ts";
export type { HiCoBatch, HiCoResult } from "./model/model.ts";
export { HICO_DEFAULTS } from "./model/config.ts";
export type { HiCoConfig, HiCoOptions, Variant } from "./model/config.ts";
export { ENCODER_NAMES } from "./model/encoder-names.ts";
export type { EncoderName } from "./model/encoder-names.ts";
export type { EncoderFactory, EncoderSettings, SequenceEncoder } from "./model/encoders.ts";
export { HiCoNetwork, HierarchicalEncoder } from "./model/network.ts";
export type { Features, Projections } from "./model/network.ts";
export type { DepthwiseConvolution, Downsample } from "./model/downsample.ts";
export { CONTRAST_LEVELS } from "./model/contrast-levels.ts";
export {
  LOSS_PARTS,
  contrastiveAccuracy,
  contrasts,
  hierarchicalLosses,
  logitsOf,
  normalizeProjections,
  partsOfLevels,
} from "./model/loss.ts";
export type { ContrastLevel } from "./model/contrast-levels.ts";
export type { Contrast, LossPart } from "./model/loss.ts";
export { HiCoTrainer, PRETRAIN_SETTINGS } from "./model/trainer.ts";
export type { StepLosses } from "./model/trainer.ts";
export { hicoState, loadCheckpoint, loadModel, saveCheckpoint } from "./model/checkpoint.ts";
export { SETTINGS, SETTING_NAMES, inputSettings, resolveSettings } from "./run/settings.ts";
export type { Setting } from "./model/setting.ts";
export type { GivenSettings, RunSettings } from "./run/settings.ts";
export { PRESETS, PRESET_NAMES, presetNamed } from "./run/presets.ts";
export type { PresetName } from "./run/presets.ts";
export { pretrain } from "./run/pretrain.ts";
export { NonFiniteError } from "../train/non-finite.ts";
export type { PretrainEvent, PretrainOptions, PretrainReport } from "./run/pretrain.ts";
export type { Measures } from "./run/measures.ts";
export type { Pace } from "./run/log.ts";
export { RunFolder, readConfig } from "./run/folder.ts";
export type { MetricsLine } from "./run/folder.ts";
export type { RunStore } from "./run/folder.ts";
export { loadRun, loadRunModel, readRunState, writeRun } from "./run/state.ts";
export { DamagedCheckpointError } from "../train/checkpoint/checksum.ts";
export type { RunProgress } from "./run/state.ts";
export { modelFor } from "./run/run-model.ts";
export { StepGenerator } from "./run/step-generator.ts";
export { clipsOf, labelledClips } from "./run/clips.ts";
export { encodeClips, rawFeatures } from "./judge/features.ts";
export type { FeatureOptions, FeatureTable } from "./judge/features.ts";
export { knnAccuracy, nearest, vote } from "./judge/knn.ts";
export type { KnnResult, Neighbours } from "./judge/knn.ts";
export { PROBE_SETTINGS, linearProbe } from "./judge/linear-probe.ts";
export type { ProbeOptions, ProbeResult, ProbeSettings } from "./judge/linear-probe.ts";
export { scoresOf } from "./judge/scores.ts";
export type { Interval, RankedScores, Scores } from "./judge/scores.ts";
export { evaluateKnn, evaluateLinear } from "./judge/evaluate.ts";
export type { EvaluationHead } from "./judge/evaluation-head.ts";
export type {
  EvaluationOptions,
  EvaluationProgress,
  KnnEvaluation,
  LinearEvaluation,
  Subject,
} from "./judge/evaluate.ts";
export { evaluateFinetune } from "./judge/evaluate-finetune.ts";
export type { FinetuneEvaluation, FinetuneOptions } from "./judge/evaluate-finetune.ts";
export { CLASSIFIERS } from "./judge/classifier.ts";
export type { Classifier, ClassifierKind } from "./judge/classifier.ts";
export { FINETUNE_SETTINGS, Finetuner } from "./judge/finetune.ts";
export type { FinetuneResult, FinetuneSettings, FinetuneTask, Start } from "./judge/finetune.ts";
export { evaluateSemi, FRACTIONS } from "./judge/semi.ts";
export type { SemiEvaluation, SemiOptions, SemiProgress, SemiScores } from "./judge/semi.ts";
export { drawLabelled, LABEL_DRAWS } from "./judge/label-draws.ts";
export type { LabelDraw } from "./judge/label-draws.ts";
export { ENSEMBLE_METHODS, evaluateEnsemble } from "./judge/fusion/ensemble.ts";
export type { EnsembleEvaluation, EnsembleMethod, EnsembleOptions } from "./judge/fusion/ensemble.ts";
export { evaluatePairings, pairings } from "./judge/folds.ts";
export type { FoldsEvaluation, Pairing } from "./judge/folds.ts";
export { openRun } from "./run/open-run.ts";
export type { OpenedRun, OpenOptions } from "./run/open-run.ts";
export { importCheckpoint } from "./exchange/import.ts";
export type { ImportOptions, ImportReport } from "./exchange/import.ts";
export { EXPORT_FORMATS, exportRun } from "./exchange/export.ts";
export type { ExportFormat, ExportOptions, ExportReport } from "./exchange/export.ts";
export { search } from "./judge/search.ts";
export type { FoundClip, SearchedQuery, SearchOptions, SearchReport, SearchResult } from "./judge/search.ts";
export { embed } from "./exchange/embed.ts";
export type { EmbedOptions, EmbedReport } from "./exchange/embed.ts";
