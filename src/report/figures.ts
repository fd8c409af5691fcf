/** The figures of a report as SVG documents, by name: in its page where a script is not needed, and as files. */
import type { ReportData } from "./collect.ts";
import type { ComparedRun } from "./compare.ts";
import { sharesOf } from "./compare.ts";
import type { Chart, ScatterSeries } from "./charts/chart.ts";
import { svgChart } from "./charts/chart.ts";
import { svgBarRows } from "./charts/bar-rows.ts";
import type { MatrixCell } from "./charts/matrix.ts";
import { svgMatrix } from "./charts/matrix.ts";

/** The name of a report's figure. */
export type FigureName = "map" | "levels" | "loss" | "confusion" | "classes" | "compare-classes" | "compare-confusion";

/** Classes that a legend has room for. */
const MOST_NAMED = 30;

/** The figures that the data have something for. */
export function reportFigures(data: ReportData): ReadonlyMap<FigureName, string> {
  const figures = new Map<FigureName, string>();
  const { map, levels, curves, confusion, comparison, classes } = data;
  if (map.clips.length > 0) {
    const labels = map.clips.map((clip) => data.clips[clip].label);
    figures.set(
      "map",
      svgChart(
        mapChart(`t-SNE of the features of the ${data.shownOf} clips`, labels, classes, map, {
          width: 720,
          height: 560,
        }),
      ),
    );
  }
  if (levels) {
    const panels = levels.levels.map((level, i) => {
      const index = level.daviesBouldin === undefined ? "" : `, Davies–Bouldin ${level.daviesBouldin.toFixed(2)}`;
      return mapChart(`Level ${i + 1} of ${levels.levels.length}${index}`, levels.labels, classes, level, {
        width: 480,
        height: 420,
      });
    });
    figures.set("levels", svgChart(panels, { columns: 2 }));
  }
  if (curves.epoch.length > 0) {
    const lines = (title: string, names: readonly string[]): Chart => ({
      title,
      x: { label: "epoch" },
      series: names.map((name) => ({
        kind: "line",
        name: names.length > 1 ? name : "",
        dots: curves.epoch.length < 30,
        points: curves.epoch.map((epoch, i) => [epoch, curves.series[name][i]]),
      })),
    });
    const parts = Object.keys(curves.series).filter(
      (name) => name !== "loss" && name !== "accuracy" && curves.series[name].some((value) => value !== 0),
    );
    figures.set(
      "loss",
      svgChart([lines("Loss", ["loss"]), lines("Its parts", parts), lines("Contrastive accuracy", ["accuracy"])], {
        columns: 2,
      }),
    );
  }
  if (confusion) {
    const { counts, from } = confusion;
    figures.set(
      "confusion",
      svgMatrix({
        title: `Confusion matrix: ${from}`,
        note: "rows: the action; columns: the answer; shade: share of the row",
        names: classes,
        cells: cellsOf(counts, classes, (share, r, c) => ({
          text: counts[r][c] > 0 ? String(counts[r][c]) : "",
          shade: r === c ? share : -share,
          hint: String(counts[r][c]),
        })),
      }),
    );
    const shares = counts.map(sharesOf);
    figures.set(
      "classes",
      svgBarRows({
        title: `Accuracy by class: ${from}`,
        series: ["pretrained"],
        rows: classes.map((name, c) => ({
          name,
          shares: [shares[c]?.[c]],
          note: shares[c] === undefined ? "no clips" : `${(100 * shares[c][c]).toFixed(1)} %`,
        })),
      }),
    );
  }
  if (comparison) {
    const { own, other, from } = comparison;
    const [ours, theirs] = [own, other].map(({ confusion: counts }) => counts.map(sharesOf));
    const title = (run: ComparedRun): string => `${run.name}: ${(100 * run.accuracy).toFixed(1)} %`;
    figures.set(
      "compare-classes",
      svgBarRows({
        title: `Accuracy by class: ${from}`,
        series: [title(own), title(other)],
        rows: comparison.classes.map((name, c) => ({
          name,
          shares: [ours[c]?.[c], theirs[c]?.[c]],
          note: ours[c] === undefined ? "no clips" : points(ours[c][c] - theirs[c]![c]),
        })),
      }),
    );
    figures.set(
      "compare-confusion",
      svgMatrix({
        title: `Confusion of ${own.name} less that of ${other.name}`,
        note: `percentage points of the row, ${from}; blue: better, red: worse`,
        names: comparison.classes,
        cells: cellsOf(own.confusion, comparison.classes, (share, r, c) => {
          const their = theirs[r]?.[c] ?? 0;
          const difference = share - their;
          return {
            text: Math.abs(difference) >= 0.005 ? points(difference, 0) : "",
            shade: r === c ? difference : -difference,
            hint: `${(100 * share).toFixed(1)} % against ${(100 * their).toFixed(1)} %`,
          };
        }),
      }),
    );
  }
  return figures;
}

/** "+3.2": percentage points. */
function points(difference: number, digits = 1): string {
  return `${difference > 0 ? "+" : difference < 0 ? "−" : ""}${Math.abs(100 * difference).toFixed(digits)}`;
}

function cellsOf(
  counts: readonly (readonly number[])[],
  names: readonly string[],
  cell: (share: number, row: number, column: number) => MatrixCell,
): MatrixCell[][] {
  return counts.map((row, r) =>
    (sharesOf(row) ?? row).map((share, c) => {
      const { hint, ...rest } = cell(share, r, c);
      return { ...rest, hint: `${names[r]} answered ${names[c]}: ${hint}` };
    }),
  );
}

/** Points of a map, a series a class, in the colours that the page's own map has. */
function mapChart(
  title: string,
  labels: readonly number[],
  classes: readonly string[],
  { x, y }: { readonly x: readonly number[]; readonly y: readonly number[] },
  size: { readonly width: number; readonly height: number },
): Chart {
  const present = [...new Set(labels)].sort((a, b) => a - b);
  const series = present.map((label): ScatterSeries => {
    const name = classes[label] ?? "no label";
    const own = labels.flatMap((each, i) => (each === label ? [i] : []));
    return {
      kind: "scatter",
      name: present.length <= MOST_NAMED ? name : "",
      color: `hsl(${((label * 137.508) % 360).toFixed(0)} 65% ${label % 2 ? 42 : 56}%)`,
      points: own.map((i) => [x[i], y[i]]),
      labels: own.map(() => name),
    };
  });
  return { title, x: { ticks: [], range: withMargin(x) }, y: { ticks: [], range: withMargin(y) }, series, ...size };
}

/** Least and greatest, with some room for the points themselves. */
function withMargin(values: readonly number[]): [number, number] {
  const [low, high] = values.reduce(
    ([least, greatest], value) => [Math.min(least, value), Math.max(greatest, value)],
    [Infinity, -Infinity],
  );
  const margin = (high - low) / 30 || 1;
  return [low - margin, high + margin];
}
