/** Tables and charts of a sweep: means and deviations, what is not there yet, sorting, quoting. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RunResult, SweepSummary } from "../../src/sweep/index.ts";
import {
  csvTable,
  markdownTable,
  parseGrid,
  spreadOf,
  summarize,
  sweepChart,
  tableRows,
} from "../../src/sweep/index.ts";

const grid = parseGrid({ cases: { 'a "b", c|d': {} }, axes: { granularity: [1, 2, 4] }, seeds: [0, 1, 2] }, "try.json");
const accuracies: readonly (readonly number[])[] = [[0.5, 0.6, 0.7], [0.8], []];
const results = grid.runs.map(({ name, seed, configuration }): RunResult => {
  const linear = accuracies[configuration][seed];
  const head = { name, folder: name, seed, configuration };
  return linear === undefined
    ? { ...head, state: "waiting" }
    : { ...head, state: "done", linear, loss: 10 + configuration };
});
const summary: SweepSummary = summarize(grid, results, "s");

describe("a sweep's table", () => {
  test("has the sample's mean and standard deviation, no deviation of one, and a dash for none", () => {
    assert.deepEqual(spreadOf([2, 4, 9]), { mean: 5, std: Math.sqrt((9 + 1 + 16) / 2), count: 3 });
    assert.deepEqual(spreadOf([2]), { mean: 2, count: 1 });
    assert.deepEqual(tableRows(summary), [
      ["#", "case", "granularity", "runs", "linear %", "loss"],
      ["1", 'a "b", c|d', "1", "3/3", "60.0 ± 10.0", "10.000 ± 0.000"],
      ["2", 'a "b", c|d', "2", "1/3", "80.0", "11.000"],
      ["3", 'a "b", c|d', "4", "0/3", "–", "–"],
    ]);
    assert.deepEqual(
      tableRows(summary, "linear").map(([number]) => number),
      ["#", "2", "1", "3"],
    );
    assert.deepEqual(
      tableRows(summary, "loss").map(([number]) => number),
      ["#", "1", "2", "3"],
    );
  });

  test("keeps its columns in Markdown and CSV whatever labels hold", () => {
    const rows = markdownTable(summary).split("\n").slice(0, 5);
    for (const row of rows) assert.equal(row.replace(/\\\|/g, "").split("|").length, 8, row);
    const [head, first] = csvTable(summary).split("\n");
    assert.ok(first.startsWith('1,"a ""b"", c|d",1,3,,,0,0.6,0.0999'), first);
    assert.equal(first.replace(/"[^"]*(""[^"]*)*"/, "x").split(",").length, head.split(",").length);
  });

  test("becomes bars, and lines along an axis of numbers; an empty one too is a chart", () => {
    const chart = sweepChart(summary);
    assert.equal(chart.match(/<title>linear %, /g)!.length, 2);
    assert.match(chart, /linear % by granularity/);
    assert.match(chart, /<title>linear %, a &quot;b&quot;, c\|d, 1, 60 ± 10<\/title>/);
    const empty = sweepChart(
      summarize(
        grid,
        results.map((result) => ({ ...result, linear: undefined, loss: undefined })),
        "s",
      ),
    );
    assert.match(empty, /no data/);
  });
});
