/** What a check of an engine found, as a table and a list, in text and Markdown. */
import type { FaultKind } from "./judge.ts";
import { NOTES } from "./judge.ts";
import type { EngineRequest } from "./protocol.ts";
import type { Aspect } from "./suite/case.ts";
import { ASPECTS } from "./suite/case.ts";

/** One thing that differs. */
export interface Finding {
  readonly operation: string;
  readonly aspect: Aspect;
  /** Which case of the aspect. */
  readonly case: string;
  readonly kind: FaultKind;
  readonly message: string;
  /** The smallest failing program that was found, a value a line. */
  readonly code: string;
  /** The same as it was asked. */
  readonly request: EngineRequest;
}

/** Cases of one operation, by aspect. */
export interface OperationRow {
  readonly name: string;
  readonly aspects: Readonly<Partial<Record<Aspect, { readonly passed: number; readonly of: number }>>>;
}

/** What `checkEngine` gives. */
export interface ConformanceReport {
  readonly format: "hico-conformance";
  readonly engine: string;
  readonly version: string;
  readonly seed: number;
  /** Cases that were asked: all but those of absent operations. */
  readonly asked: number;
  readonly operations: readonly OperationRow[];
  /** Operations of the suite that the engine, or its adapter, lacks. */
  readonly absent: readonly string[];
  readonly findings: readonly Finding[];
}

/** Findings that are faults: all but values that are only imprecise, and other subgradients at kinks. */
export function faultsOf({ findings }: ConformanceReport): Finding[] {
  return findings.filter(({ kind }) => !NOTES.has(kind));
}

/** The table's rows: an operation and its aspects as passed/asked. */
function rowsOf(report: ConformanceReport): string[][] {
  const present = ASPECTS.filter((aspect) => report.operations.some(({ aspects }) => aspects[aspect]));
  const cell = (one: { passed: number; of: number } | undefined): string =>
    one === undefined ? "" : one.passed === one.of ? `${one.of}` : `${one.passed} of ${one.of}`;
  return [
    ["operation", ...present],
    ...report.operations.map(({ name, aspects }) => [name, ...present.map((aspect) => cell(aspects[aspect]))]),
  ];
}

/** One line: how much was asked, how much is wrong. */
function summary(report: ConformanceReport): string {
  const faults = faultsOf(report);
  const wrong = new Set(faults.map(({ operation, aspect, case: name }) => `${operation}/${aspect}/${name}`)).size;
  return (
    `${report.engine} ${report.version}: ${report.asked} cases of ${report.operations.length} operations asked, ` +
    `${wrong} answered otherwise than they should be (seed ${report.seed})`
  );
}

/**
 * Findings of one operation, aspect and kind are told by the first of them, and equal refusals once for all operations;
 * faults come before notes.
 */
function grouped(findings: readonly Finding[]): { first: Finding; more: string }[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const { operation, aspect, kind, message } = finding;
    const key =
      kind === "refusal" ? message : NOTES.has(kind) ? `${operation}/${kind}` : `${operation}/${aspect}/${kind}`;
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  const sorted = [...groups.values()].sort(([a], [b]) => Number(NOTES.has(a.kind)) - Number(NOTES.has(b.kind)));
  return sorted.map((list) => {
    const others = [...new Set(list.map(({ operation }) => operation))].slice(1);
    const more =
      list.length === 1 ? "" : ` (and ${list.length - 1} more${others.length > 0 ? ` of ${others.join(", ")}` : ""})`;
    return { first: list[0], more };
  });
}

const heading = ({ operation, aspect, case: name, kind }: Finding): string =>
  `${operation}, ${aspect}, ${name}: ${kind}`;

/** For a terminal. */
export function conformanceText(report: ConformanceReport): string {
  const rows = rowsOf(report);
  const widths = rows[0].map((_, c) => Math.max(...rows.map((row) => row[c].length)));
  const table = rows.map((row) =>
    row
      .map((word, c) => (c === 0 ? word.padEnd(widths[c]) : word.padStart(widths[c])))
      .join("  ")
      .trimEnd(),
  );
  const list = grouped(report.findings).flatMap(({ first, more }) => [
    "",
    heading(first),
    ...first.code.split("\n").map((line) => `    ${line}`),
    `  ${first.message}${more}`,
  ]);
  const absent = report.absent.length > 0 ? ["", `absent: ${report.absent.join(", ")}`] : [];
  return [...table, ...list, ...absent, "", summary(report)].join("\n");
}

/** For a file. */
export function conformanceMarkdown(report: ConformanceReport): string {
  const [head, ...rows] = rowsOf(report);
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const list = grouped(report.findings).flatMap(({ first, more }) => [
    `### ${heading(first)}`,
    "",
    "```",
    first.code,
    "```",
    "",
    `${first.message}${more}`,
    "",
  ]);
  return [
    `# Conformance of ${report.engine} ${report.version}`,
    "",
    `${summary(report)}.`,
    "",
    line(head),
    line(head.map((_, c) => (c === 0 ? "---" : "--:"))),
    ...rows.map(line),
    "",
    ...(report.absent.length > 0 ? [`Absent: ${report.absent.join(", ")}.`, ""] : []),
    ...list,
  ].join("\n");
}
