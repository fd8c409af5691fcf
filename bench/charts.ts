/** The benchmarks' figures: bars of an engine beside another's, on a logarithmic axis so that ratios are distances. */
import { writeFileSync } from "node:fs";
import { svgChart, type BarSeries } from "../src/report/index.ts";

/** What an engine took, NaN where it did not run, in the order of the categories. */
export interface Measured {
  readonly engine: string;
  readonly values: readonly number[];
}

export function writeBarChart(
  file: string,
  title: string,
  unit: string,
  categories: readonly string[],
  measured: readonly Measured[],
): void {
  const series = measured.map(({ engine, values }): BarSeries => ({ kind: "bars", name: engine, values }));
  writeFileSync(
    file,
    svgChart({
      title,
      categories,
      series,
      y: { label: unit, log: 10 },
      barText: (value) => String(Number(value.toPrecision(3))),
      width: Math.max(560, 90 + 46 * categories.length * measured.length),
    }),
  );
}
