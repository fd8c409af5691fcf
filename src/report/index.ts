/** Reports of runs as single HTML files. */
export { writeReport } from "./report.ts";
export type { WrittenReport } from "./report.ts";
export { collectReport } from "./collect.ts";
export type { ReportData, ReportOptions } from "./collect.ts";
export type { GalleryData, PlayableClip, ShownSkeleton } from "./gallery.ts";
export { reportPage } from "./page.ts";
export { writeSearchReport } from "./search-page.ts";
export { reportFigures } from "./figures.ts";
export type { FigureName } from "./figures.ts";
export { compareRuns } from "./compare.ts";
export type { ComparedRun, Comparison } from "./compare.ts";
export { daviesBouldin } from "./davies-bouldin.ts";
export type { LevelMap, LevelMaps } from "./levels.ts";
export { tsne } from "./tsne.ts";
export type { TsneOptions } from "./tsne.ts";
export { seriesColor, svgChart } from "./svg-chart.ts";
export type { Axis, BarSeries, Chart, LineSeries, Point, ScatterSeries, Series } from "./svg-chart.ts";
