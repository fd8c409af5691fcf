/** The battery's report as one HTML page: a line a part, then every part with its tables; shares are drawn as bars. */
import { adapterName } from "../../src/device/webgpu/gpu/describe.ts";
import { htmlPage } from "../../src/report/page/html-page.ts";
import { escapeMarkup } from "../../src/report/page/markup.ts";
import { PAGE_STYLE } from "../../src/report/page/page-style.ts";
import { duration } from "../../src/train/progress.ts";
import type { BatteryReport, Column, PartRecord, Table } from "./results.ts";

const STYLE = `
header, main { max-width: 1240px; }
.scroll { overflow: auto; max-height: 640px; margin: 0 0 18px; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th { position: sticky; top: 0; background: var(--paper); text-align: left; font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: 3px 14px 3px 0; vertical-align: top; } td { border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
.number { text-align: right; white-space: nowrap; }
.share { white-space: nowrap; width: 150px; } .share i { display: inline-block; height: 9px; border-radius: 2px; background: var(--accent); margin-right: 6px; }
h3 { font-size: 15px; margin: 14px 0 2px; } .parts td:first-child { white-space: nowrap; font-weight: 600; }
.failed { color: var(--bad); } .notes { font-size: 13px; color: var(--soft); margin: 6px 0 0; padding-left: 18px; }
a { color: var(--accent); text-decoration: none; }
@media print { .scroll { max-height: none; } }
`;

/** Four digits that count, whole numbers whole. */
function digits(value: number): string {
  if (value === 0 || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(1);
  return size >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}

function cell({ key, kind }: Column, row: Table["rows"][number]): string {
  const value = row[key] ?? null;
  if (value === null) return `<td class="${kind === "text" ? "" : "number"}">–</td>`;
  if (typeof value === "string") return `<td${kind === "text" ? "" : ' class="number"'}>${escapeMarkup(value)}</td>`;
  if (kind !== "share") return `<td class="number">${digits(value)}</td>`;
  const width = Math.round(80 * Math.min(1, Math.max(0, value)));
  return `<td class="share"><i style="width:${width}px"></i>${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %</td>`;
}

function tableMarkup({ title, note, columns, rows }: Table): string {
  const heads = columns.map(
    ({ label, kind }) => `<th${kind === "number" ? ' class="number"' : ""}>${escapeMarkup(label)}</th>`,
  );
  const lines = rows.map((row) => `<tr>${columns.map((column) => cell(column, row)).join("")}</tr>`);
  return (
    `<h3>${escapeMarkup(title)}</h3>${note ? `<p class="note">${escapeMarkup(note)}</p>` : ""}` +
    (rows.length === 0
      ? `<p class="note">Nothing was measured.</p>`
      : `<div class="scroll"><table><thead><tr>${heads.join("")}</tr></thead><tbody>${lines.join("\n")}</tbody></table></div>`)
  );
}

/** What a part came to, in words. */
function outcome({ state, reason, result }: PartRecord): string {
  if (state === "done") return result!.summary;
  if (state === "running") return "the process ended in the middle of it; running the battery again goes on here";
  return `${state}: ${reason}`;
}

function partMarkup(part: PartRecord): string {
  const { result } = part;
  const notes = result?.notes ?? [];
  return `<section id="${part.name}"><h2>${escapeMarkup(part.title)}</h2>
<p class="note${part.state === "failed" ? " failed" : ""}">${escapeMarkup(outcome(part))}</p>
${(result?.tables ?? []).map(tableMarkup).join("\n")}
${notes.length > 0 ? `<ul class="notes">${notes.map((note) => `<li>${escapeMarkup(note)}</li>`).join("")}</ul>` : ""}
</section>`;
}

export function batteryPage(report: BatteryReport): string {
  const { adapter, parts, small } = report;
  const seconds = parts.reduce((sum, part) => sum + part.seconds, 0);
  const rows = parts.map(
    (part) =>
      `<tr><td><a href="#${part.name}">${escapeMarkup(part.title)}</a></td>` +
      `<td${part.state === "failed" ? ' class="failed"' : ""}>${escapeMarkup(outcome(part))}</td>` +
      `<td class="number">${part.state === "done" ? `${part.seconds.toFixed(part.seconds < 10 ? 1 : 0)} s` : ""}</td></tr>`,
  );
  return htmlPage({
    title: `GPU battery: ${adapterName(adapter)}`,
    heading: adapterName(adapter),
    summary:
      `${[adapter.description, adapter.backend].filter(Boolean).join(", ")} · hico-webgpu ${report.version}, ` +
      `${report.runtime} · ${small ? "small sizes" : "full sizes"} · ${parts.filter(({ state }) => state === "done").length} of ` +
      `${parts.length} parts, ${duration(seconds)} · ${report.begun.slice(0, 10)}`,
    styles: [PAGE_STYLE, STYLE],
    sections: `<section><h2>At a glance</h2><table class="parts"><tbody>${rows.join("\n")}</tbody></table></section>
${parts.map(partMarkup).join("\n")}`,
    data: report,
    scripts: [],
  });
}
