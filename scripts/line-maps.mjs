/**
 * Source maps small enough to be installed: of a compiler's map the places stay where the source's line changes, at most a
 * few in a line of the program. That is what a stack trace needs to name a file of src and its line; columns, which are
 * most of a map, are those of the statement's beginning. The sources themselves are not in the map.
 */

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The numbers of one segment, in base-64 variable-length quantities (ECMA-426). */
function decode(segment) {
  const numbers = [];
  let [value, shift] = [0, 0];
  for (const letter of segment) {
    const digit = DIGITS.indexOf(letter);
    value += (digit & 31) << shift;
    if (digit & 32) shift += 5;
    else {
      numbers.push(value & 1 ? -(value >> 1) : value >> 1);
      [value, shift] = [0, 0];
    }
  }
  return numbers;
}

function encode(numbers) {
  let text = "";
  for (const number of numbers) {
    let value = number < 0 ? (-number << 1) | 1 : number << 1;
    do {
      text += DIGITS[(value & 31) | (value > 31 ? 32 : 0)];
      value >>= 5;
    } while (value > 0);
  }
  return text;
}

/** The mappings of a map of one source, with the places where the line in the source changes and no others. */
export function lineMappings(mappings) {
  let [line, column] = [0, 0];
  let [keptLine, keptColumn] = [0, 0];
  return mappings
    .split(";")
    .map((row) => {
      let [at, keptAt, last] = [0, 0, -1];
      let kept = "";
      for (const segment of row === "" ? [] : row.split(",")) {
        const [step, source, lines, columns] = decode(segment);
        at += step;
        if (lines === undefined) continue;
        if (source !== 0) throw new Error("a compiled file has one source");
        line += lines;
        column += columns;
        if (line === last) continue;
        kept += (kept && ",") + encode([at - keptAt, 0, line - keptLine, column - keptColumn]);
        [keptAt, keptLine, keptColumn, last] = [at, line, column, line];
      }
      return kept;
    })
    .join(";")
    .replace(/;+$/, "");
}
