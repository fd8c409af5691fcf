import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Mutation } from "../../scripts/mutation.ts";
import { MUTATIONS } from "../../scripts/mutations.ts";
import { root } from "./house.ts";

/** Why a planted error could not be planted, or by whom it could not be found; nothing where all is well. */
function fault({ file, find, replace, tests }: Mutation): string | undefined {
  const path = join(root, file);
  if (!existsSync(path)) return `${file} does not exist`;
  const times = readFileSync(path, "utf8").split(find).length - 1;
  if (times !== 1) return `${file} holds ${JSON.stringify(find)} ${times} times: quote a text that it holds once`;
  if (find === replace) return `${file}: ${JSON.stringify(find)} is replaced by itself`;
  const missing = tests.map((name) => `test/${name.split("#")[0]}.test.ts`).filter((t) => !existsSync(join(root, t)));
  if (tests.length === 0) return `${file}: ${JSON.stringify(find)} names no test that must notice`;
  return missing.length > 0 ? `${file}: ${missing.join(", ")} does not exist` : undefined;
}

describe("planted errors", () => {
  test("each quotes a text that its file holds once, and tests that exist", () => {
    assert.ok(MUTATIONS.length > 100, `${MUTATIONS.length} planted errors`);
    assert.deepEqual(
      MUTATIONS.map(fault).filter((found) => found !== undefined),
      [],
    );
  });

  test("a text that is not there, or twice, and a test that is not there are found", () => {
    const planted = { file: "test/house/house.ts", find: "export const root", replace: "", tests: ["house/imports"] };
    assert.equal(fault(planted), undefined);
    assert.match(fault({ ...planted, find: "no such text" }) ?? "", /0 times/);
    assert.match(fault({ ...planted, find: "import" }) ?? "", /\d+ times/);
    assert.match(fault({ ...planted, file: "src/none.ts" }) ?? "", /does not exist/);
    assert.match(fault({ ...planted, tests: ["house/none"] }) ?? "", /none\.test\.ts does not exist/);
    assert.match(fault({ ...planted, tests: [] }) ?? "", /names no test/);
  });
});
