/**
 * Whether `hico data prepare` holds one clip at a time: thousands of generated clips in the real layouts of NTU RGB+D 120
 * and PKU-MMD, prepared a quarter of them, half, and all; clips a second, of the clock and of CPU time, peak resident
 * memory, and what of the heap is still held at the end.
 *
 *     node --import tsx scripts/prepare-memory.ts [--clips 4000] [--folder DIR] [--json]
 *
 * 4000 clips are about 2.5 GB of text in DIR (a folder of its own below the system's temporary one), removed at the end.
 */
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formatTable } from "../src/cli/progress.ts";
import type { PrepareReport } from "../src/data/sources/prepare.ts";
import { writeNtu120, writePkuMmd } from "./raw-layouts.ts";

const { values } = parseArgs({
  options: {
    clips: { type: "string", default: "4000" },
    folder: { type: "string", default: tmpdir() },
    json: { type: "boolean", default: false },
  },
});
const clips = Number(values.clips);
if (!Number.isInteger(clips) || clips < 4)
  throw new Error(`--clips is ${values.clips}; it must be a whole number of at least 4`);

/** Parts of the set, the smallest first. */
const PARTS = [1 / 4, 1 / 2, 1];
const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
/** Run within the command's process as it ends. Linux counts in KiB and microseconds. */
const TELL_USE =
  `process.on("exit",()=>{const {maxRSS,userCPUTime,systemCPUTime}=process.resourceUsage();gc();` +
  `process.stderr.write(["used",maxRSS,userCPUTime+systemCPUTime,process.memoryUsage().heapUsed].join(" ")+"\\n")})`;

interface Measured {
  readonly set: string;
  readonly inputs: number;
  readonly clips: number;
  readonly textMegabytes: number;
  readonly clipsPerSecond: number;
  readonly clipsPerCpuSecond: number;
  /** MiB */
  readonly peak: number;
  readonly held: number;
}

function measure(set: string, files: readonly string[], folder: string, options: readonly string[]): Measured {
  const source = join(folder, `${set}-${files.length}`);
  mkdirSync(source);
  for (const file of files) linkSync(file, join(source, basename(file)));
  const store = join(folder, "store.clips");
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...[
        "--import",
        import.meta.resolve("tsx"),
        "--import",
        `data:text/javascript,${encodeURIComponent(TELL_USE)}`,
        "--expose-gc",
      ],
      ...[main, "data", "prepare", set, source, store, "--on-bad", "fail", "--json", ...options],
    ],
    { encoding: "utf8", maxBuffer: 2 ** 30 },
  );
  rmSync(source, { recursive: true });
  if (status !== 0) throw new Error(stderr);
  const report = JSON.parse(stdout) as PrepareReport;
  const [peak, cpu, held] = /^used (\d+) (\d+) (\d+)$/m.exec(stderr)!.slice(1).map(Number);
  rmSync(store);
  return {
    set,
    inputs: files.length,
    clips: report.clips,
    textMegabytes: files.reduce((sum, file) => sum + statSync(file).size, 0) / 1e6,
    clipsPerSecond: report.clips / report.seconds,
    clipsPerCpuSecond: report.clips / (cpu / 1e6),
    peak: peak / 1024,
    held: held / 2 ** 20,
  };
}

const folder = mkdtempSync(join(values.folder, "hico-layouts-"));
try {
  const measured: Measured[] = [];
  const parts = (files: readonly string[]): (readonly string[])[] =>
    PARTS.map((part) => files.slice(0, Math.ceil(files.length * part)));
  const ntu = writeNtu120(join(folder, "ntu"), clips);
  for (const files of parts(ntu)) measured.push(measure("ntu120", files, folder, []));
  rmSync(join(folder, "ntu"), { recursive: true });
  const { recordings, labels, splitList } = writePkuMmd(join(folder, "pku"), clips);
  for (const files of parts(recordings)) {
    measured.push(measure("pku-mmd", files, folder, ["--labels", labels, "--split-list", splitList]));
  }
  const rows = measured.map((m) => [
    ...[m.set, String(m.inputs), String(m.clips), m.textMegabytes.toFixed(0)],
    ...[m.clipsPerSecond.toFixed(0), m.clipsPerCpuSecond.toFixed(0), m.peak.toFixed(0), m.held.toFixed(1)],
  ]);
  console.log(
    values.json
      ? JSON.stringify(measured, null, 2)
      : formatTable([
          ["set", "files", "clips", "MB of text", "clips/s", "clips/CPU s", "peak MiB", "held MiB"],
          ...rows,
        ]),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
