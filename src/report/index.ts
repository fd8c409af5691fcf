/**
 * Reports of runs as single HTML files.
 *
 * @module hico-webgpu/report
 */
export { writeReport } from "./report.ts";
export type { WrittenReport } from "./report.ts";
export { collectReport } from "./collect.ts";
export type { ReportData, ReportOptions } from "./collect.ts";
export type { GalleryData, PlayableClip, ShownSkeleton } from "./page/gallery.ts";
export { reportPage } from "./page/page.ts";
export { writeSearchReport } from "./page/search-page.ts";
export { writeLook } from "./page/look-page.ts";
export type { LookOptions, LookReport } from "./page/look-page.ts";
export { reportFigures } from "./figures.ts";
export type { FigureName } from "./figures.ts";
export { compareRuns } from "./compare.ts";
export type { ComparedRun, Comparison } from "./compare.ts";
export { daviesBouldin } from "./measures/davies-bouldin.ts";
export type { LevelMap, LevelMaps } from "./measures/levels.ts";
export { tsne } from "./measures/tsne.ts";
export type { TsneOptions } from "./measures/tsne.ts";
export { seriesColor, svgChart } from "./charts/chart.ts";
export type { Axis, BarSeries, Chart, LineSeries, Point, ScatterSeries, Series } from "./charts/chart.ts";
