import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { heaps, longFiles, readSources } from "./house.ts";

const MOST_FILES = 18;
const MOST_LINES = 500;

describe("sizes of folders and files", () => {
  test("no folder is a heap", () => {
    assert.deepEqual(heaps(readSources(), MOST_FILES), []);
  });

  test("no file is longer than a person reads at once", () => {
    assert.deepEqual([...longFiles(readSources(), MOST_LINES)], [], "give each idea a file of its own");
  });

  test("a planted heap and a planted long file are found", () => {
    const planted = new Map([
      ["src/x/a.ts", "1;\n2;\n3;\n"],
      ["src/x/b.ts", "1;\n2;\n"],
      ["src/x/deep/c.ts", ""],
    ]);
    assert.deepEqual(heaps(planted, 1), ["src/x: 2 files"]);
    assert.deepEqual(heaps(planted, 2), []);
    assert.deepEqual([...longFiles(planted, 2)], [["src/x/a.ts", 3]]);
  });
});
