/**
 * The literals of Python that an npy header is written in: dicts, tuples, lists, strings, integers, True, False, None.
 *
 * NumPy reads them with `ast.literal_eval`; this is that function for the subset that `numpy.lib.format` writes, with
 * a limit on nesting. Dicts become `Map`s; duplicate keys, which Python lets the last win, are a fault. Tuples and
 * lists become arrays.
 */
export type LiteralValue = null | boolean | number | string | LiteralValue[] | Map<LiteralValue, LiteralValue>;

/** Thrown with the fault alone; the reader adds the file's name. */
export class LiteralFault extends Error {}

const MAX_DEPTH = 8;
const MAX_DIGITS = 20;

/** Parses a literal that is all of `text` but surrounding white space. Throws {@link LiteralFault}. */
export function parsePythonLiteral(text: string): LiteralValue {
  let at = 0;

  function fail(expected: string): never {
    const found = at < text.length ? JSON.stringify(text[at]) : "the end";
    throw new LiteralFault(`expected ${expected} at character ${at}, found ${found}`);
  }

  function skipSpace(): void {
    while (at < text.length && " \t\r\n".includes(text[at])) at++;
  }

  function take(character: string): boolean {
    skipSpace();
    if (text[at] !== character) return false;
    at++;
    return true;
  }

  function word(literal: string): boolean {
    if (!text.startsWith(literal, at)) return false;
    at += literal.length;
    return true;
  }

  function string(): string {
    const quote = text[at];
    const end = text.indexOf(quote, at + 1);
    if (end < 0) fail("a closing quote");
    const content = text.slice(at + 1, end);
    if (content.includes("\\") || content.includes("\n")) fail("a string without escapes");
    at = end + 1;
    return content;
  }

  function integer(): number {
    let end = at + (text[at] === "-" ? 1 : 0);
    const first = end;
    while (end < text.length && text[end] >= "0" && text[end] <= "9") end++;
    if (end === first || end - first > MAX_DIGITS) fail("a value");
    const result = Number(text.slice(at, end));
    // Python 2 wrote long integers as `3L`.
    at = text[end] === "L" ? end + 1 : end;
    return result;
  }

  function items(close: string, depth: number): { values: LiteralValue[]; comma: boolean } {
    const values: LiteralValue[] = [];
    let comma = false;
    while (!take(close)) {
      if (values.length > 0 && !comma) fail(`"," or "${close}"`);
      values.push(value(depth));
      comma = take(",");
    }
    return { values, comma };
  }

  function dict(depth: number): Map<LiteralValue, LiteralValue> {
    const result = new Map<LiteralValue, LiteralValue>();
    let comma = true;
    while (!take("}")) {
      if (!comma) fail('"," or "}"');
      const key = value(depth);
      if (result.has(key)) throw new LiteralFault(`key ${JSON.stringify(String(key).slice(0, 120))} appears twice`);
      if (!take(":")) fail('":"');
      result.set(key, value(depth));
      comma = take(",");
    }
    return result;
  }

  function value(depth: number): LiteralValue {
    if (depth > MAX_DEPTH) throw new LiteralFault(`nested deeper than ${MAX_DEPTH} levels at character ${at}`);
    if (take("{")) return dict(depth + 1);
    if (take("[")) return items("]", depth + 1).values;
    if (take("(")) {
      const { values, comma } = items(")", depth + 1);
      return values.length === 1 && !comma ? values[0] : values;
    }
    if (text[at] === "'" || text[at] === '"') return string();
    if (word("True")) return true;
    if (word("False")) return false;
    if (word("None")) return null;
    return integer();
  }

  const result = value(0);
  skipSpace();
  if (at < text.length) fail("the end");
  return result;
}
