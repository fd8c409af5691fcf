/** JSON of headers: what the reader of members sees, and whole numbers, which are read on a way of their own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonFault, parseStrictJson } from "../../src/io/strict-json.ts";

test("members of the outermost object are given as they are read, and none is kept", () => {
  const seen: string[] = [];
  const found = parseStrictJson('{"a":{"x":[1]},"b":{"y":{}},"c":2}', 4, (key, value) => {
    seen.push(`${key} ${value instanceof Map ? [...value.keys()].join() : String(value)}`);
    return seen.length;
  });
  assert.deepEqual(seen, ["a x", "b y", "c 2"]);
  assert.deepEqual(
    [...(found as Map<string, number>)],
    [
      ["a", 1],
      ["b", 2],
      ["c", 3],
    ],
  );
  // What was read before a fault has been given: a million entries are not held until the end.
  let given = 0;
  assert.throws(() => parseStrictJson('{"a":1,"b":2,"c":x}', 4, () => ++given), JsonFault);
  assert.equal(given, 2);
});

test("numbers are JSON.parse's, and what is none is refused", () => {
  const numbers = ["0", "-0", "7", "10", "999999999999999", "1000000000000000", "9007199254740993", "1.5", "2e3", "-3"];
  const text = `[${numbers.join(",")}]`;
  assert.deepEqual(parseStrictJson(text), JSON.parse(text));
  assert.deepEqual(parseStrictJson("12"), 12);
  for (const bad of ["[01]", "[00,1]", "[1 2]", "[+1]", "[1.]", "[.5]", "[1e]", "[-]", "[0x1]", "[1_0]"])
    assert.throws(() => parseStrictJson(bad), JsonFault, bad);
});
