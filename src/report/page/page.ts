/**
 * The report as one HTML page: data, style, script and the chart library (uPlot) are all in it, so that it opens from a
 * disk, a mail or a server, and keeps.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { ReportData } from "../collect.ts";
import type { FigureName } from "../figures.ts";
import { reportFigures } from "../figures.ts";
import { htmlPage } from "./html-page.ts";
import { PAGE_SCRIPT } from "./page-script.ts";
import { PAGE_STYLE } from "./page-style.ts";

const packageFile = createRequire(import.meta.url);

/** Chromium in the POSIX locale calls its language one that Intl, and with it the chart library, refuses. */
const VALID_LANGUAGE = `try { new Intl.NumberFormat(navigator.language); } catch { Object.defineProperty(navigator, "language", { value: "en-US" }); }`;

/** A report as one HTML page that needs no network. */
export function reportPage(data: ReportData): string {
  const chartScript = readFileSync(packageFile.resolve("uplot/dist/uPlot.iife.min.js"), "utf8");
  const chartStyle = readFileSync(packageFile.resolve("uplot/dist/uPlot.min.css"), "utf8");
  const figures = reportFigures(data);
  const figure = (name: FigureName, title: string, note: string): string => {
    const svg = figures.get(name);
    return svg === undefined
      ? ""
      : `<section id="${name}"><h2>${title}</h2><p class="note">${note}</p><div class="figure">${svg}</div></section>`;
  };
  return htmlPage({
    title: `${data.title} – HiCo report`,
    heading: data.title,
    summary: summary(data),
    styles: [chartStyle, PAGE_STYLE],
    sections: `<section id="results"><h2>What the representation is worth</h2><p class="note">Accuracy; in brackets where it lies with 95 % confidence (Wilson), by the number of test clips.</p><div class="results"></div></section>
  <section id="map"><h2>Map of the ${data.shownOf} clips</h2>
    <p class="note">t-SNE of the features (${data.map.clips.length} of ${data.shownOf === "test" ? data.testClips : data.trainClips} ${data.shownOf} clips). Point at one to see its clip; a class in the legend shows or hides it.</p>
    <div class="map"><canvas class="points" width="1120" height="880"></canvas><div class="side"><canvas class="hovered" width="440" height="440"></canvas><p class="hovered-name">&nbsp;</p><ul class="legend"></ul></div></div></section>
  ${figure("levels", "Levels of the hierarchy", "t-SNE of each level's features alone, the finest first. Davies–Bouldin index: spread of classes against the distance between them, lower is better.")}
  <section id="gallery"><h2>Retrieval</h2>
    <p class="note">A ${data.shownOf} clip, and the ${data.shownOf === "test" ? "" : "other "}training clips whose features are nearest (cosine similarity). Green: the same action.</p>
    <div class="gallery"></div></section>
  <section id="confusion"><h2>Confusion matrix</h2><p class="note"></p><div class="matrix"></div></section>
  ${figure("classes", "Accuracy by class", "")}
  ${figure("compare-classes", "Beside another run, by class", "Behind the bars: this run less the other, in percentage points.")}
  ${figure("compare-confusion", "Beside another run, by confusion", "")}
  <section id="curves"><h2>Pretraining</h2><div class="charts"></div></section>
  <section id="facts"><h2>Settings and timings</h2><div class="facts"></div></section>`,
    data,
    scripts: [VALID_LANGUAGE, chartScript, PAGE_SCRIPT],
  });
}

function summary({ data, protocol, trainClips, testClips, classes, device, settings }: ReportData): string {
  return (
    `${String(settings.encoder)} encoder, ${String(settings.stream)} stream · ${data}, ${protocol || "no protocol"}: ${trainClips} training and ` +
    `${testClips} test clips of ${classes.length} actions · features computed on ${device}`
  );
}
