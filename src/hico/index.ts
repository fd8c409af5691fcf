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
export {
  CONTRAST_LEVELS, LOSS_PARTS, contrastiveAccuracy, contrasts, hierarchicalLosses, logitsOf, normalizeProjections, partsOfLevels,
} from "./loss.ts";
export type { Contrast, ContrastLevel, LossPart } from "./loss.ts";
export { HiCoTrainer, PRETRAIN_SETTINGS } from "./trainer.ts";
export type { StepLosses } from "./trainer.ts";
export { hicoState, loadCheckpoint, loadModel, saveCheckpoint } from "./checkpoint.ts";
export { SETTINGS, SETTING_NAMES, inputSettings, resolveSettings } from "./settings.ts";
export type { GivenSettings, RunSettings, Setting } from "./settings.ts";
export { PRESETS, PRESET_NAMES, presetNamed } from "./presets.ts";
export type { PresetName } from "./presets.ts";
export { NonFiniteError, pretrain } from "./pretrain.ts";
export type { PretrainEvent, PretrainOptions, PretrainReport } from "./pretrain.ts";
export type { Measures } from "./measures.ts";
export type { Pace } from "./run-log.ts";
export { RunFolder, readConfig } from "./run-folder.ts";
export { loadRun, loadRunModel, readRunState, writeRun } from "./run-state.ts";
export type { RunProgress } from "./run-state.ts";
export { modelFor } from "./run-model.ts";
export { StepGenerator } from "./step-generator.ts";
export { clipsOf, labelledClips } from "./clips.ts";
export { encodeClips, rawFeatures } from "./features.ts";
export type { FeatureOptions, FeatureTable } from "./features.ts";
export { knnAccuracy, nearest, vote } from "./knn.ts";
export type { KnnResult, Neighbours } from "./knn.ts";
export { PROBE_SETTINGS, linearProbe } from "./linear-probe.ts";
export type { ProbeOptions, ProbeResult, ProbeSettings } from "./linear-probe.ts";
export { scoresOf } from "./scores.ts";
export type { Scores } from "./scores.ts";
export { evaluateKnn, evaluateLinear } from "./evaluate.ts";
export type { EvaluationOptions, EvaluationProgress, KnnEvaluation, LinearEvaluation, Subject } from "./evaluate.ts";
export { evaluateFinetune } from "./evaluate-finetune.ts";
export type { FinetuneEvaluation, FinetuneOptions } from "./evaluate-finetune.ts";
export { CLASSIFIERS } from "./classifier.ts";
export type { Classifier, ClassifierKind } from "./classifier.ts";
export { FINETUNE_SETTINGS, Finetuner } from "./finetune.ts";
export type { FinetuneResult, FinetuneSettings, FinetuneTask, Start } from "./finetune.ts";
export { evaluateSemi, FRACTIONS } from "./semi.ts";
export type { SemiEvaluation, SemiOptions, SemiProgress, SemiScores } from "./semi.ts";
export { drawLabelled, LABEL_DRAWS } from "./label-draws.ts";
export type { LabelDraw } from "./label-draws.ts";
export { ENSEMBLE_METHODS, evaluateEnsemble } from "./ensemble.ts";
export type { EnsembleEvaluation, EnsembleMethod, EnsembleOptions } from "./ensemble.ts";
export { evaluatePairings, pairings } from "./folds.ts";
export type { FoldsEvaluation, Pairing } from "./folds.ts";
export { openRun } from "./open-run.ts";
export type { OpenedRun, OpenOptions } from "./open-run.ts";
export { importCheckpoint } from "./import.ts";
export type { ImportOptions, ImportReport } from "./import.ts";
export { EXPORT_FORMATS, exportRun } from "./export.ts";
export type { ExportFormat, ExportOptions, ExportReport } from "./export.ts";
export { search } from "./search.ts";
export type { FoundClip, SearchedQuery, SearchOptions, SearchReport, SearchResult } from "./search.ts";
export { embed } from "./embed.ts";
export type { EmbedOptions, EmbedReport } from "./embed.ts";
