/** Files that appear whole: what becomes of the work where another process takes the name meanwhile. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AtomicFile, claimFree, writeTextAtomic } from "../../src/io/byte-sink.ts";

describe("a path that was found free", () => {
  const folder = mkdtempSync(join(tmpdir(), "hico-sink-"));
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("is not taken from who took it meanwhile, and what was written stays", () => {
    const path = join(folder, "taken");
    claimFree(path);
    const file = new AtomicFile(path);
    file.write(Uint8Array.of(1, 2, 3));
    writeFileSync(path, "theirs");
    const beside = `${path}.${process.pid}`;
    assert.throws(() => file.commit(), /taken cannot be written: another process has made it meanwhile; .*taken\.\d+/);
    assert.equal(readFileSync(path, "utf8"), "theirs");
    assert.deepEqual([...readFileSync(beside)], [1, 2, 3]);
    assert.deepEqual(readdirSync(folder).sort(), ["taken", `taken.${process.pid}`]);
  });

  test("is written once as such, and replaced after that like any other", () => {
    const path = join(folder, "own");
    claimFree(path);
    for (const text of ["first", "second"]) {
      writeTextAtomic(path, text);
      assert.equal(readFileSync(path, "utf8"), text);
    }
    assert.ok(readdirSync(folder).every((name) => !name.endsWith(".tmp")));
  });
});
