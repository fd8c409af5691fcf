/** A run's report: gathered and written as one HTML file that needs no network. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { requireWritable, requireWritableFolder, writeTextAtomic } from "../io/byte-sink.ts";
import type { ReportData, ReportOptions } from "./collect.ts";
import { collectReport } from "./collect.ts";
import { reportFigures } from "./figures.ts";
import { reportPage } from "./page/page.ts";

/** What `writeReport` wrote. */
export interface WrittenReport {
  readonly path: string;
  readonly bytes: number;
  /** The figures that were written as files. */
  readonly figures: readonly string[];
  readonly data: ReportData;
}

/** Writes `out`, by default `report.html` (of another protocol or store `report-NAME.html`) in the run's folder, and with `svg` its figures as SVG files into that folder. */
export async function writeReport(
  options: ReportOptions & { readonly out?: string; readonly svg?: string },
): Promise<WrittenReport> {
  const { out } = options;
  if (out !== undefined) {
    if (!out.endsWith(".html")) throw new Error(`report: the output ${out} must end in .html`);
    requireWritable(out);
  } else if (existsSync(options.run)) requireWritableFolder(options.run); // Of a folder that is none, reading tells.
  const data = await collectReport(options);
  const path = out ?? join(options.run, `${data.page}.html`);
  const bytes = writeTextAtomic(path, reportPage(data));
  const { svg } = options;
  if (svg === undefined) return { path, bytes, figures: [], data };
  mkdirSync(svg, { recursive: true });
  const figures = [...reportFigures(data)].map(([name, text]) => {
    const file = join(svg, `${name}.svg`);
    writeTextAtomic(file, text);
    return file;
  });
  return { path, bytes, figures, data };
}
