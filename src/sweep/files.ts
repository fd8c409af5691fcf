/**
 * A sweep's files, written again whenever a run has ended:
 *
 *     runs/NAME/       the run, as hico pretrain and hico eval leave it
 *     logs/NAME.log    what its commands said
 *     sweep.json       the results of every run, and their mean and spread
 *     table.md, table.csv, plot.svg
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeTextAtomic } from "../io/byte-sink.ts";
import { sweepChart } from "./plot.ts";
import type { SweepSummary } from "./results.ts";
import { csvTable, markdownTable } from "./table.ts";

export function writeSweepFiles(summary: SweepSummary): void {
  mkdirSync(summary.folder, { recursive: true });
  for (const [name, text] of [
    ["sweep.json", `${JSON.stringify(summary, null, 2)}\n`],
    ["table.md", markdownTable(summary)],
    ["table.csv", csvTable(summary)],
    ["plot.svg", sweepChart(summary)],
  ])
    writeSweepFile(summary.folder, name, text);
}

/** @returns the file's path. */
export function writeSweepFile(folder: string, name: string, text: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeTextAtomic(path, text);
  return path;
}
