/**
 * Charts as SVG text, made without a browser: lines, points and grouped bars over linear, logarithmic or named axes, one
 * chart or several panels a file. Scales and ticks are d3-scale's; the drawing is plain SVG, so that a figure opens
 * anywhere, scales, and can be told from another by a text comparison.
 *
 * Colours are Okabe and Ito's, which the colour-blind can tell apart (M. Okabe, K. Ito, "Color Universal Design", 2008);
 * past their number hues follow steps of the golden angle.
 */
import { scaleBand, scaleLinear, scaleLog } from "d3-scale";
import { escapeMarkup } from "../page/markup.ts";
import { FONT, LINE, px, svgDocument, text, textWidth } from "./document.ts";

/** [x, y]; points that are not finite are left out, and a line is broken there. */
export type Point = readonly [number, number];

interface Named {
  /** As the legend has it; "" for none. */
  readonly name: string;
  /** CSS; else the next of the palette. */
  readonly color?: string;
}

/** Points joined by a line. */
export interface LineSeries extends Named {
  readonly kind: "line";
  readonly points: readonly Point[];
  readonly dashed?: boolean;
  /** Whether each point has a dot; default true. */
  readonly dots?: boolean;
  /** Half the length of each point's whisker, such as a standard deviation. */
  readonly errors?: readonly number[];
}

/** Points on their own. */
export interface ScatterSeries extends Named {
  readonly kind: "scatter";
  readonly points: readonly Point[];
  /** Shown when a point is pointed at; default its coordinates. */
  readonly labels?: readonly string[];
  /** In px; default 3. */
  readonly radius?: number;
}

/** A bar a category of the x axis, beside those of the other bar series. */
export interface BarSeries extends Named {
  readonly kind: "bars";
  /** One for every category, NaN for none. */
  readonly values: readonly number[];
  readonly errors?: readonly number[];
}

/** What a chart shows: lines, points or bars. */
export type Series = LineSeries | ScatterSeries | BarSeries;

/** An axis of a chart. */
export interface Axis {
  readonly label?: string;
  /** Base of a logarithmic axis; linear where left out. */
  readonly log?: 2 | 10;
  /** Where ticks are; default round numbers. [] draws none, and no line, as for the coordinates of a t-SNE map. */
  readonly ticks?: readonly number[];
  /** Lowest and highest value shown; default all data, and 0 on a linear y axis with bars. */
  readonly range?: readonly [number, number];
}

/** A chart as data: axes and series. */
export interface Chart {
  readonly title?: string;
  readonly x?: Axis;
  readonly y?: Axis;
  /** Names along the x axis, which then counts 0, 1, …; bars need them. */
  readonly categories?: readonly string[];
  readonly series: readonly Series[];
  /** Writes a bar's value above it. */
  readonly barText?: (value: number) => string;
  /** In px; default 560 × 360. */
  readonly width?: number;
  readonly height?: number;
}

const [WIDTH, HEIGHT] = [560, 360];
/** Space around everything, and between a tick's label and its axis. */
const [PAD, GAP] = [12, 6];
const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f"];

/** Colour of the i-th series, or class. */
export function seriesColor(i: number): string {
  return PALETTE[i] ?? `hsl(${((i * 137.508) % 360).toFixed(0)} 65% ${i % 2 ? 42 : 56}%)`;
}

/**
 * The SVG document of a chart, or of several, `options.columns` a row (default all in one).
 *
 * @throws RangeError where a value cannot lie on a logarithmic axis, or bars do not fit the categories
 */
export function svgChart(charts: Chart | readonly Chart[], options: { readonly columns?: number } = {}): string {
  const panels = Array.isArray(charts) ? (charts as readonly Chart[]) : [charts as Chart];
  const columns = Math.max(1, Math.min(options.columns ?? panels.length, panels.length));
  const cell = { width: Math.max(...panels.map(widthOf)), height: Math.max(...panels.map(heightOf)) };
  const [width, height] = [cell.width * columns, cell.height * Math.ceil(panels.length / columns)];
  const drawn = panels.map(
    (panel, i) =>
      `<g transform="translate(${(i % columns) * cell.width} ${Math.floor(i / columns) * cell.height})">\n${draw(panel)}</g>\n`,
  );
  return svgDocument(width, height, drawn.join(""));
}

function widthOf(chart: Chart): number {
  return chart.width ?? WIDTH;
}

function heightOf(chart: Chart): number {
  return chart.height ?? HEIGHT;
}

/** A place on an axis for every value, and the ticks with their labels. */
interface Placed {
  at(value: number): number;
  readonly ticks: readonly { readonly value: number; readonly label: string }[];
  readonly low: number;
}

function draw(chart: Chart): string {
  check(chart);
  const legend = legendOf(chart);
  const legendRows = legend.length === 0 ? 0 : legend[legend.length - 1].row + 1;
  const top = PAD + (chart.title ? LINE + GAP : 0) + legendRows * LINE + GAP;
  const room = heightOf(chart) - top - PAD;
  const bottomSpace = LINE + (chart.x?.label ? LINE : 0);
  const bottom = top + room - bottomSpace;
  const y = placeY(chart, bottom, top);
  const widest = Math.max(0, ...y.ticks.map(({ label }) => textWidth(label)));
  const left = PAD + (chart.y?.label ? LINE + GAP : 0) + widest + GAP;
  const right = widthOf(chart) - PAD - GAP;
  const x = placeX(chart, left, right);

  const parts: string[] = [];
  if (chart.title) parts.push(text(PAD, PAD + 14, chart.title, `class="title"`));
  for (const { row, at, name, color } of legend) {
    const middle = top - GAP - legendRows * LINE + row * LINE + LINE / 2;
    parts.push(
      `<rect x="${px(PAD + at)}" y="${px(middle - 5)}" width="10" height="10" rx="2" fill="${color}"/>`,
      text(PAD + at + 15, middle + 4, name),
    );
  }
  for (const { value, label } of y.ticks) {
    parts.push(
      line(left, y.at(value), right, y.at(value), `class="grid"`),
      text(left - GAP, y.at(value) + 4, label, `class="soft" text-anchor="end"`),
    );
  }
  let labelled = -Infinity;
  for (const { value, label } of x.ticks) {
    const [place, half] = [x.at(value), textWidth(label) / 2];
    if (!chart.categories) parts.push(line(place, top, place, bottom, `class="grid"`));
    // Labels that would run into each other are left out.
    if (place - half < labelled) continue;
    labelled = place + half + 4;
    parts.push(text(place, bottom + LINE - 3, label, `class="soft" text-anchor="middle"`));
  }
  if (chart.x?.ticks?.length !== 0) parts.push(line(left, bottom, right, bottom, `class="axis"`));
  if (chart.x?.label) {
    parts.push(text((left + right) / 2, bottom + 2 * LINE - 2, chart.x.label, `text-anchor="middle"`));
  }
  if (chart.y?.label) {
    const middle = (top + bottom) / 2;
    parts.push(
      text(
        PAD + FONT,
        middle,
        chart.y.label,
        `text-anchor="middle" transform="rotate(-90 ${px(PAD + FONT)} ${px(middle)})"`,
      ),
    );
  }
  const bars = chart.series.filter(({ kind }) => kind === "bars");
  chart.series.forEach((series, i) => {
    const color = series.color ?? seriesColor(i);
    if (series.kind === "bars") {
      const width = barWidth(chart, right - left) / bars.length;
      parts.push(
        ...drawBars(chart, series, color, x, y, width, (bars.indexOf(series) - (bars.length - 1) / 2) * width),
      );
    } else if (series.kind === "line") {
      parts.push(...drawLine(series, color, x, y));
    } else {
      parts.push(...drawScatter(series, color, x, y));
    }
  });
  if (!chart.series.some((series) => values(series).length > 0)) {
    parts.push(text((left + right) / 2, (top + bottom) / 2, "no data", `class="soft" text-anchor="middle"`));
  }
  return parts.map((part) => `${part}\n`).join("");
}

function check(chart: Chart): void {
  for (const series of chart.series) {
    if (series.kind === "bars" && series.values.length !== chart.categories?.length) {
      throw new RangeError(
        `svgChart: "${series.name}" has ${series.values.length} bars for ` +
          `${chart.categories?.length ?? 0} categories; a bar series needs a value for each`,
      );
    }
    for (const [axis, k] of [
      ["x", 0],
      ["y", 1],
    ] as const) {
      const wrong = chart[axis]?.log && values(series).find((point) => !(point[k] > 0));
      if (wrong) {
        throw new RangeError(
          `svgChart: "${series.name}" has ${axis} = ${wrong[k]}; a logarithmic axis takes values above 0`,
        );
      }
    }
  }
}

/** The finite points of a series; a bar stands at the number of its category. */
function values(series: Series): Point[] {
  const points = series.kind === "bars" ? series.values.map((value, i): Point => [i, value]) : series.points;
  return points.filter((point) => point.every(Number.isFinite));
}

function placeX(chart: Chart, left: number, right: number): Placed {
  if (!chart.categories)
    return place(
      chart.x ?? {},
      chart.series.flatMap((series) => values(series).map(([x]) => x)),
      left,
      right,
      90,
    );
  const band = scaleBand<number>(
    chart.categories.map((_, i) => i),
    [left, right],
  );
  return {
    at: (value) => left + (value + 0.5) * band.bandwidth(),
    ticks: chart.categories.map((label, value) => ({ value, label })),
    low: 0,
  };
}

function barWidth({ categories }: Chart, space: number): number {
  return (0.8 * space) / categories!.length;
}

function placeY(chart: Chart, bottom: number, top: number): Placed {
  const shown = chart.series
    .flatMap((series) => {
      const errors = series.kind === "scatter" ? undefined : series.errors;
      const own = series.kind === "bars" ? series.values : series.points.map(([, y]) => y);
      return own.flatMap((y, i) => [y, y - (errors?.[i] ?? 0), y + (errors?.[i] ?? 0)]);
    })
    .filter((y) => Number.isFinite(y) && (!chart.y?.log || y > 0));
  if (!chart.y?.log && chart.series.some(({ kind }) => kind === "bars")) shown.push(0);
  // The text above the highest bar needs room as well.
  return place(chart.y ?? {}, shown, bottom, chart.barText ? top + LINE : top, chart.y?.log ? 25 : 45);
}

/** @param apart how far ticks may be from each other at least, in px */
function place(axis: Axis, shown: readonly number[], from: number, to: number, apart: number): Placed {
  let [low, high] = axis.range ?? [least(shown), -least(shown.map((value) => -value))];
  if (!Number.isFinite(low)) [low, high] = axis.log ? [1, 10] : [0, 1];
  if (low === high)
    [low, high] = axis.log ? [low / 2, high * 2] : [low - (Math.abs(low) / 10 || 1), high + (Math.abs(high) / 10 || 1)];
  const count = Math.max(2, Math.round(Math.abs(to - from) / apart));
  const scale = axis.log ? scaleLog([low, high], [from, to]).base(axis.log) : scaleLinear([low, high], [from, to]);
  if (!axis.range && axis.ticks?.length !== 0 && !axis.log)
    (scale as ReturnType<typeof scaleLinear<number>>).nice(count);
  // A bar on a logarithmic axis needs some length at its lowest.
  if (!axis.range && axis.log) scale.domain([low / 1.25, high * 1.1]);
  const format = axis.log === 2 || axis.ticks ? (value: number) => String(value) : scale.tickFormat(count);
  const ticks = (axis.ticks ?? scale.ticks(count))
    .map((value) => ({ value, label: format(value) }))
    .filter(({ label }) => label !== "");
  return { at: (value) => scale(value), ticks, low: scale.domain()[0] };
}

/** Not `Math.min(...)`: a map may have more points than a call has arguments. */
function least(all: readonly number[]): number {
  return all.reduce((low, value) => Math.min(low, value), Infinity);
}

function drawLine(series: LineSeries, color: string, x: Placed, y: Placed): string[] {
  let path = "";
  let pen = false;
  for (const point of series.points) {
    const drawn = point.every(Number.isFinite);
    if (drawn) path += `${pen ? "L" : "M"}${px(x.at(point[0]))} ${px(y.at(point[1]))}`;
    pen = drawn;
  }
  const dash = series.dashed ? ` stroke-dasharray="6 4"` : "";
  const parts = [`<path d="${path}" fill="none" stroke="${color}" stroke-width="2" stroke-linejoin="round"${dash}/>`];
  series.points.forEach((point, i) => {
    if (!point.every(Number.isFinite)) return;
    const error = series.errors?.[i];
    if (error) parts.push(whisker(x.at(point[0]), point[1], error, color, y));
    if (series.dots !== false) parts.push(dot(x.at(point[0]), y.at(point[1]), 3, color, pointText(series, point)));
  });
  return parts;
}

/** A group of dots, which has the colour of all, and their title where that is the same: thousands of them may lie in a page. */
function drawScatter(series: ScatterSeries, color: string, x: Placed, y: Placed): string[] {
  const { points, labels, radius = 3 } = series;
  const common = labels && labels.length > 0 && new Set(labels).size === 1 ? labels[0] : undefined;
  const dots = points.flatMap((point, i) => {
    if (!point.every(Number.isFinite)) return [];
    const title = common === undefined ? (labels?.[i] ?? pointText(series, point)) : undefined;
    return [dot(x.at(point[0]), y.at(point[1]), radius, undefined, title)];
  });
  return [`<g fill="${color}">${common === undefined ? "" : titled(common)}`, ...dots, "</g>"];
}

function drawBars(
  chart: Chart,
  series: BarSeries,
  color: string,
  x: Placed,
  y: Placed,
  width: number,
  offset: number,
): string[] {
  const base = chart.y?.log ? y.low : Math.max(0, y.low);
  return series.values.flatMap((value, i) => {
    if (!Number.isFinite(value)) return [];
    const [middle, from, to] = [x.at(i) + offset, y.at(base), y.at(value)];
    const error = series.errors?.[i];
    const title = [series.name, chart.categories![i], number(value) + (error ? ` ± ${number(error)}` : "")].filter(
      Boolean,
    );
    const parts = [
      `<rect x="${px(middle - width * 0.45)}" y="${px(Math.min(from, to))}" width="${px(width * 0.9)}" ` +
        `height="${px(Math.abs(from - to))}" fill="${color}"><title>${escapeMarkup(title.join(", "))}</title></rect>`,
    ];
    if (error) parts.push(whisker(middle, value, error, "var(--ink)", y));
    if (chart.barText) {
      const above = Math.min(from, y.at(value + (value > 0 ? (error ?? 0) : 0)), to) - 4;
      parts.push(text(middle, above, chart.barText(value), `text-anchor="middle" font-size="10"`));
    }
    return parts;
  });
}

function whisker(x: number, value: number, error: number, color: string, y: Placed): string {
  const [low, high] = [y.at(value - error), y.at(value + error)];
  // Half of a whisker may not lie on a logarithmic axis: it ends at the point.
  const from = Number.isFinite(low) ? low : y.at(value);
  return (
    `<path d="M${px(x)} ${px(from)}L${px(x)} ${px(high)}M${px(x - 4)} ${px(high)}h8M${px(x - 4)} ${px(from)}h8" ` +
    `stroke="${color}" fill="none"/>`
  );
}

interface LegendEntry {
  readonly row: number;
  readonly at: number;
  readonly name: string;
  readonly color: string;
}

/** Entries in rows as wide as the chart. */
function legendOf(chart: Chart): LegendEntry[] {
  const entries: LegendEntry[] = [];
  let [row, at] = [0, 0];
  chart.series.forEach(({ name, color }, i) => {
    if (!name) return;
    const width = 15 + textWidth(name) + 14;
    if (at > 0 && at + width > widthOf(chart) - 2 * PAD) [row, at] = [row + 1, 0];
    entries.push({ row, at, name, color: escapeMarkup(color ?? seriesColor(i)) });
    at += width;
  });
  return entries;
}

function pointText({ name }: Named, [x, y]: Point): string {
  return `${name ? `${name}: ` : ""}${number(x)}, ${number(y)}`;
}

function number(value: number): string {
  return String(Number(value.toPrecision(5)));
}

/** Without a colour or a title it has those of the group that it stands in. */
function dot(x: number, y: number, radius: number, color: string | undefined, title: string | undefined): string {
  const fill = color === undefined ? "" : ` fill="${color}"`;
  const circle = `<circle cx="${px(x)}" cy="${px(y)}" r="${radius}"${fill}`;
  return title === undefined ? `${circle}/>` : `${circle}>${titled(title)}</circle>`;
}

function titled(text: string): string {
  return `<title>${escapeMarkup(text)}</title>`;
}

function line(x1: number, y1: number, x2: number, y2: number, attributes: string): string {
  return `<path d="M${px(x1)} ${px(y1)}L${px(x2)} ${px(y2)}" ${attributes}/>`;
}
