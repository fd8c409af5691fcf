/**
 * What SVG figures share: the document with its style, text, and lengths. The style lies within the class `svg-chart`
 * and follows the reader's light or dark mode, in a page as in an image.
 */
import { escapeMarkup } from "../page/markup.ts";

/** Size of the font, and height of a line of it, in px. */
export const [FONT, LINE] = [12, 18];

const STYLE =
  `.svg-chart{--ink:#1c2330;--soft:#667085;--line:#e4e7ec;--paper:#fff;font:${FONT}px system-ui,sans-serif}` +
  "@media(prefers-color-scheme:dark){.svg-chart{--ink:#e6e9ef;--soft:#98a2b3;--line:#2a3240;--paper:#161b24}}" +
  ".svg-chart text{fill:var(--ink)}.svg-chart .soft{fill:var(--soft)}.svg-chart .grid{stroke:var(--line)}" +
  ".svg-chart .axis{stroke:var(--soft)}.svg-chart .paper{fill:var(--paper)}" +
  ".svg-chart .title{font-weight:600;font-size:14px}";

/** A document of this size, in px, on the colour of paper. */
export function svgDocument(width: number, height: number, body: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" class="svg-chart" width="${width}" height="${height}" ` +
    `viewBox="0 0 ${width} ${height}" role="img">\n<style>${STYLE}</style>\n` +
    `<rect class="paper" width="${width}" height="${height}"/>\n${body}</svg>\n`
  );
}

/** About: what digits of a wide sans-serif font take. */
export function textWidth(words: string): number {
  return words.length * FONT * 0.62;
}

export function text(x: number, y: number, words: string, attributes = ""): string {
  return `<text x="${px(x)}" y="${px(y)}"${attributes ? ` ${attributes}` : ""}>${escapeMarkup(words)}</text>`;
}

/** A tenth of a pixel is enough, and keeps files of many points small. */
export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}
