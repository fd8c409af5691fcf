/**
 * Lines of tables as cells, however a program or a spreadsheet wrote them.
 *
 * Cells may be quoted, with quotes doubled inside. The delimiter is the one that the first line has outside quotes: a
 * semicolon, else a tab, else a comma. Spreadsheets of half the world write decimal commas, and then semicolons between
 * cells: where the delimiter is no comma, "1,5" is 1.5.
 */

/** What stands between the cells of a line, by the first one. */
export function delimiterOf(line: string): string {
  const bare = line.replace(/"(?:[^"]|"")*"/g, "");
  return [";", "\t"].find((mark) => bare.includes(mark)) ?? ",";
}

/** The cells of a line, without quotes and outer blanks. */
export function cellsOf(line: string, delimiter = ","): string[] {
  // Most lines of numbers have no quotes, and there are many.
  if (!line.includes('"')) return line.split(delimiter).map((cell) => cell.trim());
  const found: string[] = [];
  let [text, quoted] = ["", false];
  for (const char of line) {
    if (char === '"') quoted = !quoted;
    if (char === delimiter && !quoted) {
      found.push(text);
      text = "";
    } else text += char;
  }
  return [...found, text].map((cell) => {
    const bare = cell.trim();
    return /^".*"$/.test(bare) && bare.length > 1 ? bare.slice(1, -1).replaceAll('""', '"').trim() : bare;
  });
}

/** A number as it is written beside such a delimiter, with a point. */
export function withPoint(cell: string, delimiter: string): string {
  return delimiter !== "," && /^[+-]?\d*,\d+(?:e[+-]?\d+)?$/i.test(cell) ? cell.replace(",", ".") : cell;
}
