/** The words of a preparation's outcome. */
import { normalizationWords } from "../../data/skeleton/upright.ts";
import type { MissingJoints, PrepareReport } from "../../data/sources/prepare.ts";

/** Bad clips that are listed; the JSON report has all of them. */
const LISTED = 10;

/** Names in a line of a remark. */
const NAMED = 5;

function missingWords({ joints, of, clips, inTime }: MissingJoints): string {
  if (joints === 0) return "missing joints: none";
  const share = `${((100 * joints) / of).toPrecision(2)} %`;
  return (
    `missing joints: ${joints} of ${of} (${share}), in ${clips} clips; ` +
    `${inTime} filled in time, ${joints - inTime} from the body`
  );
}

export function formatPrepareReport(report: PrepareReport): string {
  const lines = [
    `${report.path}: ${report.clips} clips ${report.classes === 0 ? "without labels" : `of ${report.classes} classes`}, ${report.layout} × ${report.persons}, ` +
      `${normalizationWords(report.normalization, report.normalizedPer)}, ` +
      `${(report.bytes / 1e6).toFixed(1)} MB, ${report.seconds.toFixed(1)} s`,
    ...report.protocols.map(({ name, train, test }) => `  ${name}: ${train} train, ${test} test`),
  ];
  if (report.protocols.length === 0)
    lines.push("  no split: all clips train, and nothing tests; --test-subjects, --folds or a column split makes one");
  if (report.leftOut > 0) lines.push(`  left out by the list of missing samples: ${report.leftOut}`);
  lines.push(`  ${missingWords(report.missing)}`);
  for (const { what, names } of report.remarks) {
    const more = names.length > NAMED ? `, and ${names.length - NAMED} more (--json lists all)` : "";
    lines.push(`  ${names.length} ${what}: ${names.slice(0, NAMED).join(", ")}${more}`);
  }
  if (report.bad.length > 0) {
    const counts = Object.entries(report.badByReason)
      .map(([reason, count]) => `${count} ${reason}`)
      .join(", ");
    lines.push(`  skipped ${report.bad.length}: ${counts}`);
    for (const { file, reason, detail } of report.bad.slice(0, LISTED)) lines.push(`    ${file}: ${reason}: ${detail}`);
    if (report.bad.length > LISTED) lines.push(`    and ${report.bad.length - LISTED} more (--json lists all)`);
  }
  return lines.join("\n");
}
