/** Runs side by side have one GPU each, in turn. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseGrid, runSweep } from "../../src/sweep/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-spread-"));
after(() => rmSync(folder, { recursive: true }));

test("two runs at once get an adapter each, which their commands find in HICO_ADAPTER", async () => {
  // In place of hico: tells its adapter, waits for the other to have begun, and fails, so that nothing else is run.
  const program = join(folder, "tell.mjs");
  writeFileSync(
    program,
    'console.error("adapter", process.env.HICO_ADAPTER); setTimeout(() => process.exit(3), 500);\n',
  );
  const grid = parseGrid({ seeds: [0, 1] }, "g.json", {});
  const { failures } = await runSweep({
    grid,
    folder,
    jobs: 2,
    adapters: ["NVIDIA H200:0", "NVIDIA H200:1"],
    program: [process.execPath, program],
  });
  assert.equal(failures.length, 2);
  const told = grid.runs.map(
    ({ name }) => /adapter (.*)/.exec(readFileSync(join(folder, "logs", `${name}.log`), "utf8"))![1],
  );
  assert.deepEqual(told.sort(), ["NVIDIA H200:0", "NVIDIA H200:1"]);
});
