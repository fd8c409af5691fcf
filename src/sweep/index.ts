/** Sweeps: grids of pretraining runs, run side by side here or handed to a cluster, and tables of what came of them. */
export { parseGrid, readGrid } from "./grid.ts";
export type { Grid } from "./grid.ts";
export { shellLine, stagesOf } from "./commands.ts";
export type { RunStage } from "./commands.ts";
export { readResult, spreadOf, summarize } from "./results.ts";
export type { RunResult, SweepSummary } from "./results.ts";
export { csvTable, markdownTable, SORT_ORDERS, tableNote, tableRows } from "./table.ts";
export { sweepChart } from "./plot.ts";
export { arrayTasks, clusterName, kubernetesJob, slurmScripts, TASKS_FILE, taskScript } from "./emit.ts";
export { writeSweepFile, writeSweepFiles } from "./files.ts";
export { runSweep } from "./run-sweep.ts";
export type { SweepEvent, SweepOutcome, SweepProgress } from "./run-sweep.ts";
