/** Sweeps: grids of pretraining runs, run side by side here or handed to a cluster, and tables of what came of them. */
export { parseGrid, readGrid } from "./grid.ts";
export type { Configuration, Grid, GridAxis, SweepRun } from "./grid.ts";
export type { EvaluationPlan } from "./evaluation-plan.ts";
export { shellLine, stagesOf } from "./commands.ts";
export type { CommandOptions, RunStage } from "./commands.ts";
export { readResult, spreadOf, summarize } from "./results.ts";
export type { MeasureName, RunResult, Spread, SweepRow, SweepSummary } from "./results.ts";
export { csvTable, formatSpread, markdownTable, SORT_ORDERS, tableNote, tableRows } from "./table.ts";
export type { SortOrder } from "./table.ts";
export { sweepChart } from "./plot.ts";
export { clusterName, kubernetesJob, slurmScripts, TASKS_FILE, taskScript } from "./emit.ts";
export { writeSweepFile, writeSweepFiles } from "./files.ts";
export { runSweep } from "./run-sweep.ts";
export type { SweepEvent, SweepFailure, SweepOptions, SweepOutcome, SweepProgress } from "./run-sweep.ts";
