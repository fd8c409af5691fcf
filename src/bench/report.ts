/** Results of `hico bench` as a table, as JSON that a later one is compared with, and as bars. */
import { svgBarRows } from "../report/charts/bar-rows.ts";
import type { BenchResult, Measured } from "./measure.ts";

/** What `--json` writes and `--against` reads. */
export interface BenchReport {
  readonly format: "hico-bench";
  readonly version: string;
  readonly runtime: string;
  readonly quick: boolean;
  readonly results: readonly BenchResult[];
}

/** @throws Error where the text is no report, or one of other sizes */
export function parseReport(text: string, file: string, quick: boolean): BenchReport {
  let report: Partial<BenchReport> | null = null;
  try {
    report = JSON.parse(text) as Partial<BenchReport> | null;
  } catch {
    // Told below.
  }
  if (report?.format !== "hico-bench" || !Array.isArray(report.results)) {
    throw new Error(`${file} is no report of hico bench; make one with hico bench --json ${file}`);
  }
  if (report.quick !== quick) {
    const [theirs, ours] = report.quick ? ["with", "without"] : ["without", "with"];
    throw new Error(`${file} was made ${theirs} --quick and this is ${ours}: the sizes differ`);
  }
  return report as BenchReport;
}

/** The same case of the same device in an earlier report; of its only device where the names differ. */
function before(report: BenchReport | undefined, device: string, name: string): Measured | undefined {
  const results = report?.results ?? [];
  const kind = device.split(" ")[0];
  const same = results.find((r) => r.device === device) ?? results.find((r) => r.device.split(" ")[0] === kind);
  return same?.cases.find((c) => c.name === name);
}

/** Three digits that count. */
function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** A table a device. With `against`, how many times as fast as then. */
export function benchTable(results: readonly BenchResult[], against?: BenchReport): string {
  const head = ["case", "sizes", "ms", "GFLOP/s", "GB/s", "of bound", ...(against ? ["against"] : [])];
  return results
    .map(({ device, cases }) => {
      const rows = cases.map((one) => {
        const earlier = before(against, device, one.name);
        const share = one.share === undefined ? "" : `${Math.round(100 * one.share)} %`;
        const gain = earlier ? `${digits(earlier.milliseconds / one.milliseconds)} ×` : "–";
        const { name, sizes, milliseconds, gigaflops, gigabytes } = one;
        return [name, sizes, ...[milliseconds, gigaflops, gigabytes].map(digits), share, ...(against ? [gain] : [])];
      });
      const lines = [head, ...rows];
      const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
      const pad = (cell: string, i: number): string => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
      return `${device}\n${lines.map((line) => `  ${line.map(pad).join("  ")}`.trimEnd()).join("\n")}`;
    })
    .join("\n\n");
}

/** Shares of the bound as bars, a series a device. */
export function benchChart(results: readonly BenchResult[]): string {
  const devices = results.filter(({ cases }) => cases.some(({ share }) => share !== undefined));
  const names = devices[0]?.cases.map(({ name }) => name) ?? [];
  return svgBarRows({
    title: "Share of the bound: the best product's rate or the best traffic, whichever holds",
    series: devices.map(({ device }) => device),
    rows: names.map((name) => ({
      name,
      shares: devices.map(({ cases }) => cases.find((one) => one.name === name)?.share),
    })),
  });
}
