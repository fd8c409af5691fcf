/** A run's report: gathered and written as one HTML file that needs no network. */
import { writeFileAtomic } from "../io/byte-sink.ts";
import type { ReportData, ReportOptions } from "./collect.ts";
import { collectReport } from "./collect.ts";
import { reportPage } from "./page.ts";

export interface WrittenReport {
  readonly path: string;
  readonly bytes: number;
  readonly data: ReportData;
}

/** Writes `out`, by default `report.html` in the run's folder. */
export async function writeReport(options: ReportOptions & { readonly out?: string }): Promise<WrittenReport> {
  const path = options.out ?? `${options.run}/report.html`;
  if (!path.endsWith(".html")) throw new Error(`report: the output ${path} must end in .html`);
  const data = await collectReport(options);
  const bytes = new TextEncoder().encode(reportPage(data));
  writeFileAtomic(path, (sink) => sink.write(bytes));
  return { path, bytes: bytes.length, data };
}
