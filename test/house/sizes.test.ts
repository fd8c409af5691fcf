import assert from "node:assert/strict";
import { dirname } from "node:path";
import { test } from "node:test";
import { readSources } from "./house.ts";

const MOST_FILES = 18;
const MOST_LINES = 500;

/** Files above the limit that hold one idea, with the idea. */
const LONG: Readonly<Record<string, string>> = {
  "src/tensor/elementwise.ts": "the table of elementwise ops: a row an op",
  "src/tensor/tensor.ts": "the methods of a tensor: a line or two each",
  "src/compiler/schedule.ts": "the decisions of the scheduler",
  "src/wasm/print/expr.ts": "the printer of expressions as WebAssembly",
};

test("no folder is a heap", () => {
  const count = new Map<string, number>();
  for (const file of readSources().keys()) count.set(dirname(file), (count.get(dirname(file)) ?? 0) + 1);
  assert.deepEqual(
    [...count].filter(([, files]) => files > MOST_FILES),
    [],
  );
});

test("no file is longer than a person reads at once, but for tables", () => {
  const long = [...readSources()].filter(([file, text]) => text.split("\n").length > MOST_LINES + 1 && !(file in LONG));
  assert.deepEqual(
    long.map(([file, text]) => `${file}: ${text.split("\n").length} lines`),
    [],
  );
});
