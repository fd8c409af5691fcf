/** A sweep's results as rows of words, as Markdown, and as comma-separated numbers. */
import { INTERVAL_NOTE } from "../hico/judge/scores.ts";
import type { MeasureName, Spread, SweepRow, SweepSummary } from "./results.ts";
import { MEASURE_NAMES } from "./results.ts";

type SortOrder = "grid" | "knn" | "linear" | "loss";
export const SORT_ORDERS: readonly SortOrder[] = ["grid", "knn", "linear", "loss"];

/** Rows in the grid's order, or the best first. */
function sorted(rows: readonly SweepRow[], order: SortOrder): readonly SweepRow[] {
  if (order === "grid") return rows;
  const of = (row: SweepRow): number =>
    order === "loss" ? -(row.measures.loss?.mean ?? Infinity) : (row.measures[order]?.mean ?? -Infinity);
  return [...rows].sort((a, b) => of(b) - of(a));
}

export function measureTitle(name: MeasureName, { k }: SweepSummary): string {
  const titles: Readonly<Record<MeasureName, string>> = {
    knn: `${k}-NN %`,
    linear: "linear %",
    linearBest: "best epoch %",
    loss: "loss",
    contrastive: "contrastive %",
  };
  return titles[name];
}

/** Measures that any run has. */
function shown({ rows }: SweepSummary): MeasureName[] {
  return MEASURE_NAMES.filter((name) => rows.some((row) => row.measures[name]));
}

/** "78.0 ± 0.6 (74.1–81.5)": accuracies in per cent, losses with three digits. */
function formatSpread(name: MeasureName, spread: Spread | undefined): string {
  if (!spread) return "–";
  const [factor, digits] = name === "loss" ? [1, 3] : [100, 1];
  const mean = (factor * spread.mean).toFixed(digits);
  const [low, high] = (spread.interval ?? []).map((end) => (factor * end).toFixed(digits));
  const within = low === undefined ? "" : ` (${low}–${high})`;
  return `${mean}${spread.std === undefined ? "" : ` ± ${(factor * spread.std).toFixed(digits)}`}${within}`;
}

/** The table, its head first. */
export function tableRows(summary: SweepSummary, order: SortOrder = "grid"): string[][] {
  const { axes, seeds, rows } = summary;
  const measures = shown(summary);
  return [
    ["#", ...axes, "runs", ...measures.map((name) => measureTitle(name, summary))],
    ...sorted(rows, order).map((row) => [
      String(row.number),
      ...row.labels,
      `${row.runs.filter(({ state }) => state === "done").length}/${seeds.length}`,
      ...measures.map((name) => formatSpread(name, row.measures[name])),
    ]),
  ];
}

/** What the columns are, below a table. */
export function tableNote({ seeds, rows }: SweepSummary): string {
  const spread = seeds.length > 1 ? "mean ± standard deviation over seeds; " : "";
  const best = rows.some((row) => row.measures.linearBest)
    ? "best epoch: chosen on the clips it is measured on, so an upper bound"
    : "";
  const judged = rows.some((row) => Object.values(row.measures).some(({ interval }) => interval !== undefined));
  const within = judged ? `; ${INTERVAL_NOTE}` : "";
  return `${spread}linear: last epoch${best && `; ${best}`}${within}`;
}

export function markdownTable(summary: SweepSummary): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replace(/\|/g, "\\|")).join(" | ")} |`;
  const [head, ...rows] = tableRows(summary);
  return `${[line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n")}\n\n${tableNote(summary)}\n`;
}

/** One line a configuration: its labels, runs done, and mean, deviation and number of every measure. */
export function csvTable(summary: SweepSummary): string {
  const { axes, rows } = summary;
  const cell = (word: string): string => (/[",\n]/.test(word) ? `"${word.replace(/"/g, `""`)}"` : word);
  const lines = rows.map(({ number, labels, runs, measures }) => [
    String(number),
    ...labels,
    String(runs.filter(({ state }) => state === "done").length),
    ...MEASURE_NAMES.flatMap((name) =>
      [measures[name]?.mean, measures[name]?.std, measures[name]?.count ?? 0].map((value) => String(value ?? "")),
    ),
  ]);
  const head = ["number", ...axes, "done", ...MEASURE_NAMES.flatMap((name) => [name, `${name} std`, `${name} runs`])];
  return [head, ...lines].map((line) => `${line.map(cell).join(",")}\n`).join("");
}
