/**
 * JSON (RFC 8259) for untrusted headers: refuses what `JSON.parse` lets through unseen.
 *
 * `JSON.parse` keeps the last of two equal keys, turns the key `__proto__` into something special, and recurses as
 * deep as the input says. A file header with two entries for one tensor is an attack or a defect, so here duplicate
 * keys and nesting past a limit are faults. Objects become `Map`s, in the order of the text.
 */
export type JsonValue = null | boolean | number | string | JsonValue[] | Map<string, JsonValue>;

/** Thrown with the fault alone; the reader adds the file's name. */
export class JsonFault extends Error {}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
/** Longer than any number that a float64 needs (17 digits, sign, point, exponent); bounds what the pattern sees. */
const LONGEST_NUMBER = 64;

/**
 * Parses one JSON value that is all of `text` but surrounding white space. Throws {@link JsonFault}.
 *
 * @param quick reads a member of the outermost object that stands at a character in the usual spelling, and gives what
 * becomes of it and where it ends; undefined leaves it to the parser. It must read nothing that the parser would refuse.
 * @param member what becomes of a member of the outermost object, when it is read: a header may have a million, and a
 * Map for each costs more than everything else where all are kept. The default keeps it as it is.
 */
export function parseStrictJson<Member = JsonValue>(
  text: string,
  maxDepth = 8,
  member?: (key: string, value: JsonValue) => Member,
  quick?: (key: string, at: number) => { readonly value: Member; readonly end: number } | undefined,
): Exclude<JsonValue, Map<string, JsonValue>> | Map<string, Member> {
  let at = 0;

  function fail(expected: string): never {
    const found = at < text.length ? JSON.stringify(text[at]) : "the end";
    throw new JsonFault(`expected ${expected} at character ${at}, found ${found}`);
  }

  // Scanned by hand: a regular expression backtracks on a stack of its own, which a long enough input overflows.
  function skipSpace(): void {
    for (;;) {
      const code = text.charCodeAt(at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      at++;
    }
  }

  function take(character: string): boolean {
    skipSpace();
    if (text[at] !== character) return false;
    at++;
    return true;
  }

  function word(literal: string): void {
    if (!text.startsWith(literal, at)) fail(literal);
    at += literal.length;
  }

  function string(): string {
    if (text[at] !== '"') fail("a string");
    const start = at;
    let escaped = false;
    for (let i = start + 1; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code === 0x22) {
        at = i + 1;
        if (!escaped) return text.slice(start + 1, i);
        try {
          return JSON.parse(text.slice(start, at)) as string;
        } catch {
          throw new JsonFault(`malformed escape in the string at character ${start}`);
        }
      }
      if (code < 0x20) throw new JsonFault(`control character in the string at character ${start}`);
      if (code === 0x5c) {
        escaped = true;
        i++;
      }
    }
    throw new JsonFault(`unterminated string at character ${start}`);
  }

  function number(): number {
    // Whole numbers below 10^15 first: they are most of a header, and exact as sums.
    let [end, whole] = [at, 0];
    for (let code = text.charCodeAt(end); code >= 0x30 && code <= 0x39; code = text.charCodeAt(++end))
      whole = whole * 10 + (code - 0x30);
    const next = text[end];
    if (end > at && end - at <= 15 && (text[at] !== "0" || end - at === 1) && (next === "," || next === "]")) {
      at = end;
      return whole;
    }
    end = at;
    while (end < text.length && end - at <= LONGEST_NUMBER && "+-.0123456789eE".includes(text[end])) end++;
    const digits = text.slice(at, end);
    if (!NUMBER.test(digits) || digits.length > LONGEST_NUMBER) fail("a value");
    at = end;
    return Number(digits);
  }

  function object(depth: number): Map<string, JsonValue> {
    const result = new Map<string, JsonValue>();
    const kept = depth === 1 ? member : undefined;
    if (take("}")) return result;
    do {
      skipSpace();
      const key = string();
      if (!take(":")) fail('":"');
      skipSpace();
      const known = result.size;
      const read = depth === 1 ? quick?.(key, at) : undefined;
      if (read !== undefined) {
        at = read.end;
        result.set(key, read.value as JsonValue);
      } else {
        const found = value(depth);
        result.set(key, kept === undefined ? found : (kept(key, found) as JsonValue));
      }
      // Counted rather than asked for before: of a million keys, each question costs as much as reading one.
      if (result.size === known) throw new JsonFault(`key ${JSON.stringify(key.slice(0, 120))} appears twice`);
    } while (take(","));
    if (!take("}")) fail('"," or "}"');
    return result;
  }

  function array(depth: number): JsonValue[] {
    const result: JsonValue[] = [];
    if (take("]")) return result;
    do result.push(value(depth));
    while (take(","));
    if (!take("]")) fail('"," or "]"');
    return result;
  }

  function value(depth: number): JsonValue {
    if (depth > maxDepth) throw new JsonFault(`nested deeper than ${maxDepth} levels at character ${at}`);
    skipSpace();
    switch (text[at]) {
      case "{":
        at++;
        return object(depth + 1);
      case "[":
        at++;
        return array(depth + 1);
      case '"':
        return string();
      case "t":
        word("true");
        return true;
      case "f":
        word("false");
        return false;
      case "n":
        word("null");
        return null;
      default:
        return number();
    }
  }

  const result = value(0);
  skipSpace();
  if (at < text.length) fail("the end");
  return result as Exclude<JsonValue, Map<string, JsonValue>> | Map<string, Member>;
}
