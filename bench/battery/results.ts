/**
 * What the battery has found so far, in one JSON file that is written whole after every part: a battery that is killed
 * goes on at the part where it was.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AdapterDescription } from "../../src/device/webgpu/gpu/describe.ts";
import { adapterName } from "../../src/device/webgpu/gpu/describe.ts";
import { writeFileAtomic } from "../../src/io/byte-sink.ts";

/** A column of a table. Numbers are raw, in the unit named; `share` is from 0 to 1. */
export interface Column {
  readonly key: string;
  readonly label: string;
  readonly kind: "text" | "number" | "share";
}

export type Row = Readonly<Record<string, string | number | null>>;

export interface Table {
  readonly title: string;
  readonly note?: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

/** What a part found. */
export interface PartResult {
  /** One line for the top of the page and the terminal. */
  readonly summary: string;
  /** Numbers that later parts and readers of the JSON go by, such as `peakGflops`. */
  readonly figures?: Readonly<Record<string, number>>;
  readonly tables: readonly Table[];
  /** What was left out and why, by name. */
  readonly notes?: readonly string[];
}

export interface PartRecord {
  readonly name: string;
  readonly title: string;
  /** `running`: the process ended in the middle of it. */
  readonly state: "done" | "running" | "failed" | "left out";
  /** How often it was begun. */
  readonly attempts: number;
  readonly seconds: number;
  /** Why it failed or was left out. */
  readonly reason?: string;
  readonly result?: PartResult;
}

export interface BatteryReport {
  readonly format: "hico-gpu-battery";
  /** Reports of another generation of the battery are not gone on with. */
  readonly generation: number;
  readonly version: string;
  readonly runtime: string;
  readonly small: boolean;
  readonly adapter: AdapterDescription;
  readonly begun: string;
  readonly parts: readonly PartRecord[];
}

/** Raise it when parts measure something else than before. */
export const GENERATION = 1;

export const jsonFile = (folder: string): string => join(folder, "gpu-battery.json");
export const pageFile = (folder: string): string => join(folder, "gpu-battery.html");

/** What makes two reports one battery: the adapter, its driver, the sizes. */
function keyOf({ adapter, small, generation }: BatteryReport): string {
  return [adapterName(adapter), adapter.description, small ? "small sizes" : "full sizes", generation].join(", ");
}

/** The parts of an earlier run of the same battery in the folder; none where there is no file. @throws Error where it is another's. */
export function partsBefore(folder: string, report: BatteryReport): readonly PartRecord[] {
  const file = jsonFile(folder);
  if (!existsSync(file)) return [];
  let found: Partial<BatteryReport> | null = null;
  try {
    found = JSON.parse(readFileSync(file, "utf8")) as Partial<BatteryReport> | null;
  } catch {
    // Told below.
  }
  if (found?.format !== "hico-gpu-battery" || !Array.isArray(found.parts) || !found.adapter) {
    throw new Error(`${file} is no report of this battery; name another folder with --out, or begin anew with --again`);
  }
  const [theirs, ours] = [keyOf(found as BatteryReport), keyOf(report)];
  if (theirs !== ours) {
    throw new Error(
      `${file} is of another battery (${theirs}; this one is ${ours}); name another folder with --out, or begin anew ` +
        "with --again",
    );
  }
  return found.parts;
}

/** Writes text to a file of the folder, whole or not at all. */
export function writeText(folder: string, file: string, text: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileAtomic(file, (sink) => sink.write(new TextEncoder().encode(text)));
}

export function writeReport(folder: string, report: BatteryReport): void {
  writeText(folder, jsonFile(folder), `${JSON.stringify(report, null, 1)}\n`);
}
