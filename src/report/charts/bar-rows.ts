/** Horizontal bars as SVG, a group of them for every named row: where names are too long to stand below bars. */
import { escapeMarkup } from "../page/markup.ts";
import { seriesColor } from "./chart.ts";
import { LINE, px, svgDocument, text, textWidth } from "./document.ts";

interface BarRows {
  readonly title: string;
  readonly series: readonly string[];
  readonly rows: readonly {
    readonly name: string;
    /** Shares from 0 to 1, one a series; undefined where there is none. */
    readonly shares: readonly (number | undefined)[];
    /** Behind the bars. */
    readonly note?: string;
  }[];
}

const [PAD, BAR, GAP, SPACE] = [12, 10, 8, 420];

export function svgBarRows({ title, series, rows }: BarRows): string {
  const left = PAD + Math.max(0, ...rows.map(({ name }) => textWidth(name))) + 8;
  const top = PAD + 2 * LINE + 12;
  const step = series.length * BAR + GAP;
  const bottom = top + rows.length * step;
  const parts = [text(PAD, PAD + 14, title, `class="title"`)];
  let at = PAD;
  series.forEach((name, i) => {
    parts.push(
      `<rect x="${px(at)}" y="${PAD + LINE + 5}" width="10" height="10" rx="2" fill="${seriesColor(i)}"/>`,
      text(at + 15, PAD + LINE + 14, name),
    );
    at += 15 + textWidth(name) + 14;
  });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const x = px(left + share * SPACE);
    parts.push(
      `<path d="M${x} ${top - GAP / 2}V${bottom}" class="grid"/>`,
      text(left + share * SPACE, bottom + LINE - 3, `${100 * share} %`, `class="soft" text-anchor="middle"`),
    );
  }
  rows.forEach(({ name, shares, note }, r) => {
    const y = top + r * step;
    parts.push(text(left - 6, y + (series.length * BAR) / 2 + 4, name, `class="soft" text-anchor="end"`));
    shares.forEach((share, i) => {
      if (share === undefined) return;
      const hint = `${name}, ${series[i]}: ${(100 * share).toFixed(1)} %`;
      parts.push(
        `<rect x="${px(left)}" y="${px(y + i * BAR)}" width="${px(share * SPACE)}" height="${BAR - 1}" fill="${seriesColor(i)}"><title>${escapeMarkup(hint)}</title></rect>`,
      );
    });
    if (note) parts.push(text(left + SPACE + 10, y + (series.length * BAR) / 2 + 4, note));
  });
  const notes = Math.max(0, ...rows.map(({ note }) => textWidth(note ?? "")));
  const width = Math.max(left + SPACE + Math.max(24, 20 + notes), at, PAD + 1.2 * textWidth(title));
  return svgDocument(Math.ceil(width) + PAD, Math.ceil(bottom + LINE + PAD), parts.map((part) => `${part}\n`).join(""));
}
