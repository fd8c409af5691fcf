/** A matrix by named classes as SVG: confusion counts, or the difference of two. */
import { escapeMarkup } from "../page/markup.ts";
import { LINE, px, svgDocument, text, textWidth } from "./document.ts";

interface MatrixFigure {
  readonly title: string;
  /** Below the title. */
  readonly note: string;
  readonly names: readonly string[];
  /** Rows the true class, columns the answer. */
  readonly cells: readonly (readonly MatrixCell[])[];
}

export interface MatrixCell {
  readonly text: string;
  /** Shown when the cell is pointed at. */
  readonly hint: string;
  /** From −1 (red) over 0 (none) to 1 (blue). */
  readonly shade: number;
}

const [CELL, PAD] = [28, 12];

export function svgMatrix({ title, note, names, cells }: MatrixFigure): string {
  const label = Math.max(0, ...names.map(textWidth));
  const [left, top] = [PAD + label + 8, PAD + 2 * LINE + label + 12];
  const [width, height] = [left + CELL * names.length + PAD, top + CELL * names.length + PAD];
  const parts = [text(PAD, PAD + 14, title, `class="title"`), text(PAD, PAD + 14 + LINE, note, `class="soft"`)];
  names.forEach((name, i) => {
    const middle = (i + 0.5) * CELL;
    const at = `${px(left + middle + 4)} ${px(top - 6)}`;
    parts.push(text(left - 6, top + middle + 4, name, `class="soft" text-anchor="end"`));
    parts.push(text(left + middle + 4, top - 6, name, `class="soft" transform="rotate(-90 ${at})"`));
  });
  cells.forEach((row, r) =>
    row.forEach((cell, c) => {
      const [x, y] = [left + c * CELL, top + r * CELL];
      // Never so dark that text on it cannot be read.
      const opacity = 0.8 * Math.min(1, Math.abs(cell.shade));
      const fill = cell.shade === 0 ? "none" : cell.shade > 0 ? "#2563eb" : "#dc2626";
      parts.push(
        `<rect x="${px(x)}" y="${px(y)}" width="${CELL}" height="${CELL}" class="grid" fill="${fill}" fill-opacity="${opacity.toFixed(3)}">` +
          `<title>${escapeMarkup(cell.hint)}</title></rect>`,
      );
      if (cell.text !== "")
        parts.push(
          text(x + CELL / 2, y + CELL / 2 + 4, cell.text, `text-anchor="middle" font-size="10" pointer-events="none"`),
        );
    }),
  );
  const wide = Math.max(width, 2 * PAD + textWidth(note), 2 * PAD + 1.2 * textWidth(title));
  return svgDocument(Math.ceil(wide), height, parts.map((part) => `${part}\n`).join(""));
}
