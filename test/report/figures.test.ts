/** Figures of runs: levels of the hierarchy, the Davies–Bouldin index, two runs beside each other, files. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import fc from "fast-check";
import type { FeatureTable } from "../../src/hico/index.ts";
import { resolveSettings, RunFolder, scoresOf } from "../../src/hico/index.ts";
import { levelOf, rowsOf, unitRows } from "../../src/report/measures/feature-rows.ts";
import { layoutsOf } from "../../src/report/measures/layouts.ts";
import { levelMaps, levelsOf } from "../../src/report/measures/levels.ts";
import { tsne } from "../../src/report/measures/tsne.ts";
import type { ReportData } from "../../src/report/index.ts";
import { compareRuns, daviesBouldin, reportFigures } from "../../src/report/index.ts";
import { elements } from "./charts/svg.ts";

describe("the Davies–Bouldin index", () => {
  test("is the mean of every class's worst ratio of spreads to distance", () => {
    // On a line: means 0, 10 and 14, mean distances to them 1, 2 and 0.
    const points = Float32Array.of(-1, 1, 8, 12, 14, 99);
    const [ab, ac, bc] = [3 / 10, 1 / 14, 2 / 4];
    const expected = (Math.max(ab, ac) + Math.max(ab, bc) + Math.max(ac, bc)) / 3;
    assert.ok(Math.abs(daviesBouldin(points, [0, 0, 1, 1, 5, -1])! - expected) < 1e-12);
  });

  test("does not change with scale, place or order, and falls as classes move apart", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 16, maxLength: 16 }),
        fc.integer({ min: 1, max: 9 }),
        (values, shift) => {
          const labels = [0, 1, 0, 1, 0, 1, 0, 1];
          const index = daviesBouldin(Float32Array.from(values), labels)!;
          const moved = daviesBouldin(
            Float32Array.from(values, (value) => 4 * value + shift),
            labels,
          )!;
          const reversed = daviesBouldin(Float32Array.from(values).reverse(), [...labels].reverse())!;
          if (index === Infinity) return assert.deepEqual([moved, reversed], [Infinity, Infinity]);
          for (const other of [moved, reversed])
            assert.ok(Math.abs(other - index) <= 1e-9 * (1 + index), `${other} ${index}`);
        },
      ),
    );
    const apart = (by: number): number => daviesBouldin(Float32Array.of(0, 1, by, by + 1), [0, 0, 1, 1])!;
    assert.ok(apart(10) < apart(5) && apart(5) < apart(2));
  });

  test("has no value for one class, and refuses what are no rows", () => {
    assert.equal(daviesBouldin(Float32Array.of(1, 2), [3, 3]), undefined);
    assert.equal(daviesBouldin(Float32Array.of(1, 1), [0, 1]), Infinity);
    assert.throws(() => daviesBouldin(new Float32Array(5), [0, 1]), /5 values are not rows of 2 points/);
  });
});

/** 3 levels of 2 numbers in both domains: the number says domain, level, place and row. */
const table: FeatureTable = {
  rows: 6,
  width: 12,
  clips: [0, 1, 2, 3, 4, 5],
  labels: Int32Array.of(0, 1, 0, 1, 0, 1),
  data: Float32Array.from(
    { length: 72 },
    (_, i) => 1000 * Math.floor((i % 12) / 6) + 100 * Math.floor((i % 6) / 2) + 10 * (i % 2) + Math.floor(i / 12),
  ),
};

test("a level's features are its slices of both domains", async () => {
  const level = levelOf(table, 1, 3);
  assert.deepEqual([level.width, ...level.data.subarray(0, 8)], [4, 100, 110, 1100, 1110, 101, 111, 1101, 1111]);
  assert.throws(() => levelOf(table, 0, 5), /width 12 are not those of 5 levels/);
  const units = unitRows(level);
  for (let row = 0; row < 6; row++)
    assert.ok(Math.abs(Math.hypot(...units.data.subarray(4 * row, 4 * row + 4)) - 1) < 1e-6);
  const apart = levelsOf(table, 3, 4);
  const points = apart.tables.map((level) => rowsOf(level, apart.shown));
  const layouts = await layoutsOf(points);
  // Threads change nothing but the speed.
  assert.deepEqual(
    layouts,
    points.map(({ data, rows }) => tsne(data, rows)),
  );
  const { labels, levels } = levelMaps(apart, layouts);
  assert.deepEqual(labels, [0, 1, 1, 0]);
  assert.deepEqual(
    levels.map(({ x, y }) => [x.length, y.length]),
    [
      [4, 4],
      [4, 4],
      [4, 4],
    ],
  );
  assert.ok(Math.abs(levels[1].daviesBouldin! - daviesBouldin(units.data, table.labels)!) < 1e-4);
});

describe("two runs", () => {
  const folder = mkdtempSync(join(tmpdir(), "hico-compare-"));
  after(() => rmSync(folder, { recursive: true }));
  const classes = ["wave <b>", "kick & jump", "rest"];
  function run(name: string, answers: readonly number[], kind = "linear", names = classes): string {
    const place = new RunFolder(join(folder, name));
    place.create();
    place.writeSettings(resolveSettings({ from: "test", given: { data: "x.clips" } }));
    const scores = scoresOf(answers, [0, 0, 1, 1, 2, 2], names);
    place.writeEvaluation(kind, {
      kind,
      classes: names,
      results: { pretrained: kind === "knn" ? { k: 1, ...scores } : { last: scores } },
    });
    return place.path;
  }
  const [a, b] = [run("a", [0, 0, 1, 0, 2, 0]), run("b", [0, 1, 1, 1, 2, 0])];

  test("are compared class by class, in figures whose hints say what is behind a difference", () => {
    const comparison = compareRuns(a, b);
    assert.deepEqual(
      [comparison.own.name, comparison.own.accuracy, comparison.other.name, comparison.from],
      ["a", 4 / 6, "b", "linear classifier, last epoch"],
    );
    const empty: ReportData = {
      title: "",
      checkpoint: "",
      data: "",
      protocol: "",
      device: "",
      settings: {},
      pretraining: {},
      classes,
      page: "report",
      notes: [],
      shownOf: "test",
      trainClips: 0,
      testClips: 0,
      curves: { epoch: [], series: {} },
      results: [],
      map: { clips: [], x: [], y: [] },
      gallery: [],
      clips: {},
      skeleton: { joints: [], parents: [], up: "z" },
      comparison,
    };
    const figures = reportFigures(empty);
    assert.deepEqual([...figures.keys()], ["compare-classes", "compare-confusion"]);
    for (const svg of figures.values()) assert.ok(elements(svg).length > 20);
    assert.match(figures.get("compare-classes")!, /<title>wave &lt;b&gt;, b: 66\.7 %: 50\.0 %<\/title>/);
    const matrix = figures.get("compare-confusion")!;
    assert.match(matrix, /<title>kick &amp; jump answered wave &lt;b&gt;: 50\.0 % against 0\.0 %<\/title>/);
    // Better on the diagonal and less confused off it are blue; here "wave": 100 % against 50 %.
    const fill = (hint: string): string =>
      new RegExp(`fill="([^"]+)" fill-opacity="0\\.400"><title>${hint}`).exec(matrix)![1];
    assert.equal(fill("wave &lt;b&gt; answered wave &lt;b&gt;:"), fill("wave &lt;b&gt; answered kick &amp; jump:"));
    assert.notEqual(fill("wave &lt;b&gt; answered wave &lt;b&gt;:"), fill("kick &amp; jump answered kick &amp; jump:"));
  });

  test("a class without test clips has no accuracy", () => {
    const scores = scoresOf([0, 1], [0, 1], classes);
    const data = {
      ...{ classes, map: { clips: [] }, curves: { epoch: [] }, shownOf: "test" },
      confusion: { from: "1-NN", counts: scores.confusion },
      comparison: { from: "1-NN", classes, own: { name: "a", ...scores }, other: { name: "b", ...scores } },
    } as unknown as ReportData;
    const figures = reportFigures(data);
    for (const [name, series] of [
      ["classes", 1],
      ["compare-classes", 2],
    ] as const) {
      const svg = figures.get(name)!;
      assert.equal([...svg.matchAll(/<title>/g)].length, 2 * series, name);
      assert.match(svg, />no clips</);
      assert.doesNotMatch(svg, /rest[^<]*: 0\.0 %|>0\.0 %/);
    }
  });

  test("that were not judged alike, or on other classes, or are none, are refused", () => {
    assert.throws(
      () => compareRuns(a, run("c", [0, 0, 1, 0, 2, 0], "knn")),
      /c were not judged alike; run hico eval linear/,
    );
    assert.throws(
      () => compareRuns(a, run("d", [0, 0, 1, 0, 2, 0], "linear", ["x", "y", "z"])),
      /judged on other classes/,
    );
    assert.throws(() => compareRuns(a, join(folder, "absent")), /absent holds no run/);
  });
});
