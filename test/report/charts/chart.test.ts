/** SVG charts: marks lie where their values say, text cannot break out, and impossible values are refused. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { seriesColor, svgChart, type Chart } from "../../../src/report/index.ts";
import { elements } from "./svg.ts";

const dots = (svg: string) =>
  elements(svg)
    .filter(({ name }) => name === "circle")
    .map(({ attributes }) => [Number(attributes.cx), Number(attributes.cy)]);
const bars = (svg: string, color: string) =>
  elements(svg)
    .filter(({ name, attributes }) => name === "rect" && attributes.fill === color && !attributes.rx)
    .map(({ attributes }) => Number(attributes.height));

describe("SVG charts", () => {
  test("points lie linearly on a linear axis, in equal steps on a logarithmic one", () => {
    const points = [
      [1, 10],
      [2, 20],
      [4, 40],
    ] as const;
    const linear = dots(svgChart({ series: [{ kind: "line", name: "a", points }] }));
    assert.ok(Math.abs((linear[2][0] - linear[0][0]) / (linear[1][0] - linear[0][0]) - 3) < 0.01);
    assert.ok(linear[0][1] > linear[1][1] && linear[1][1] > linear[2][1], "upwards");
    const log = dots(svgChart({ x: { log: 2 }, y: { log: 10 }, series: [{ kind: "line", name: "a", points }] }));
    for (const k of [0, 1]) assert.ok(Math.abs(log[2][k] - log[1][k] - (log[1][k] - log[0][k])) <= 0.21);
  });

  test("bars are as long as their values, from zero", () => {
    const svg = svgChart({
      categories: ["a", "b"],
      barText: (value) => `${value} ms`,
      series: [
        { kind: "bars", name: "one", values: [10, 30] },
        { kind: "bars", name: "two", values: [20, NaN] },
      ],
    });
    const [ten, thirty] = bars(svg, seriesColor(0));
    const twenty = bars(svg, seriesColor(1));
    assert.equal(twenty.length, 1);
    assert.ok(Math.abs(thirty / ten - 3) < 0.02 && Math.abs(twenty[0] / ten - 2) < 0.02);
    assert.match(svg, /30 ms/);
  });

  test("a line is broken where a point is missing", () => {
    const svg = svgChart({
      series: [
        {
          kind: "line",
          name: "a",
          points: [
            [0, 1],
            [1, NaN],
            [2, 3],
            [3, 4],
          ],
          dots: false,
        },
      ],
    });
    const path = elements(svg).find(({ attributes }) => attributes.fill === "none")!.attributes.d;
    assert.equal(path.match(/M/g)!.length, 2);
    assert.equal(path.match(/L/g)!.length, 1);
  });

  test("whatever the numbers and words, the document is whole and holds no NaN", () => {
    const value = fc.oneof(
      fc.double({ min: 1e-100, max: 1e100 }),
      fc.double({ min: -1e100, max: -1e-100 }),
      fc.constantFrom(0, NaN, Infinity, -Infinity),
    );
    const point = fc.tuple(value, value);
    fc.assert(
      fc.property(fc.string(), fc.array(point, { maxLength: 8 }), fc.boolean(), (words, points, log) => {
        const positive = log ? points.map(([x, y]) => [Math.abs(x) || 1, Math.abs(y) || 1] as const) : points;
        const chart: Chart = {
          title: words,
          x: { label: words, ...(log ? { log: 10 } : {}) },
          y: log ? { log: 2 } : {},
          series: [
            { kind: "line", name: words, points: positive },
            { kind: "scatter", name: words, points: positive, labels: points.map(() => words) },
          ],
        };
        const svg = svgChart(
          [chart, { categories: [words], series: [{ kind: "bars", name: words, values: [points[0]?.[1] ?? NaN] }] }],
          { columns: 1 },
        );
        for (const { name, attributes } of elements(svg)) {
          for (const [key, value] of Object.entries(attributes)) {
            if (!["text", "title"].includes(name)) assert.doesNotMatch(value, /NaN|Infinity/, `${name} ${key}`);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  test("values that cannot be drawn are refused by name", () => {
    const series = [{ kind: "line", name: "loss", points: [[1, 0]] }] as const;
    assert.throws(() => svgChart({ y: { log: 10 }, series }), /"loss" has y = 0; a logarithmic axis/);
    assert.throws(
      () => svgChart({ categories: ["a", "b"], series: [{ kind: "bars", name: "x", values: [1] }] }),
      /"x" has 1 bars for 2 categories/,
    );
  });
});
