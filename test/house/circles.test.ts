import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { circles, importsOf, readSources } from "./house.ts";

/** Circles that are real, by their first file, with what ties them. */
const REAL: Readonly<Record<string, string>> = {
  "src/tensor/backend.ts":
    "a row of the elementwise table has its derivative as an expression of tensors, and a tensor's methods build nodes of that table",
};

describe("circles of imports", () => {
  test("files do not import each other, but for those that must", () => {
    const found = circles(importsOf(readSources()));
    const unknown = found.filter(([first]) => !(first in REAL));
    assert.deepEqual(unknown, [], "break the circle: move what both need into a file of its own");
    const gone = Object.keys(REAL).filter((first) => !found.some((circle) => circle[0] === first));
    assert.deepEqual(gone, [], "these circles are no more; take them off the list");
  });

  test("a planted circle is found, over types and over several files", () => {
    const planted = new Map([
      ["src/x/a.ts", 'import type { B } from "./b.ts";'],
      ["src/x/b.ts", 'import { c } from "./c.ts";\nimport { d } from "./d.ts";'],
      ["src/x/c.ts", 'export { a } from "./a.ts";'],
      ["src/x/d.ts", "export const d = 1;"],
    ]);
    assert.deepEqual(circles(importsOf(planted)), [["src/x/a.ts", "src/x/b.ts", "src/x/c.ts"]]);
  });
});
