/** A sweep as a chart: accuracies of all configurations as bars, and along every axis of numbers as lines. */
import type { Chart, Series } from "../report/charts/chart.ts";
import { svgChart } from "../report/charts/chart.ts";
import type { MeasureName, SweepRow, SweepSummary } from "./results.ts";
import { measureTitle } from "./table.ts";

/** Lines that can be told apart in one panel. */
const MOST_LINES = 7;
const ACCURACIES: readonly MeasureName[] = ["knn", "linear"];

/** The SVG document; with nothing measured yet, an empty chart. */
export function sweepChart(summary: SweepSummary): string {
  const lines = summary.axes.flatMap((_, axis) => linesAlong(summary, axis));
  return svgChart([barsOf(summary), ...lines], { columns: 1 });
}

const percent = (value: number | undefined): number => (value === undefined ? NaN : 100 * value);

function barsOf(summary: SweepSummary): Chart {
  const { rows, name } = summary;
  const labels = rows.map((row) => row.labels.join(", ") || name);
  // Names where they have room; else the numbers of the table's rows.
  const room = Math.max(...labels.map((label) => label.length)) * 7.5 + 16;
  const named = room * rows.length <= 1600;
  return {
    title: name,
    width: Math.max(560, (named ? room : 44) * rows.length + 80),
    height: 380,
    y: { label: "accuracy, %" },
    x: named ? undefined : { label: "row of the table" },
    categories: named ? labels : rows.map((row) => String(row.number)),
    barText: (value) => value.toFixed(1),
    series: ACCURACIES.filter((measure) => rows.some((row) => row.measures[measure])).map((measure) => ({
      kind: "bars",
      name: measureTitle(measure, summary),
      values: rows.map((row) => percent(row.measures[measure]?.mean)),
      errors: rows.map((row) => percent(row.measures[measure]?.std ?? 0)),
    })),
  };
}

/** Where all labels of an axis are numbers: a panel for each accuracy, a line for every choice on the other axes. */
function linesAlong(summary: SweepSummary, axis: number): Chart[] {
  const { rows, axes } = summary;
  const values = new Set(rows.map((row) => Number(row.labels[axis])));
  if (values.size < 2 || [...values].some((value) => !Number.isFinite(value))) return [];
  const others = (row: SweepRow): string => row.labels.filter((_, i) => i !== axis).join(", ");
  const names = [...new Set(rows.map(others))];
  if (names.length > MOST_LINES) return [];
  return ACCURACIES.filter((measure) => rows.some((row) => row.measures[measure])).map(
    (measure): Chart => ({
      title: `${measureTitle(measure, summary)} by ${axes[axis]}`,
      x: { label: axes[axis], ticks: [...values].sort((a, b) => a - b) },
      y: { label: "accuracy, %" },
      series: names.map((name): Series => {
        const along = rows
          .filter((row) => others(row) === name && row.measures[measure])
          .sort((a, b) => Number(a.labels[axis]) - Number(b.labels[axis]));
        return {
          kind: "line",
          name,
          points: along.map((row) => [Number(row.labels[axis]), percent(row.measures[measure]!.mean)]),
          errors: along.map((row) => percent(row.measures[measure]!.std ?? 0)),
        };
      }),
    }),
  );
}
