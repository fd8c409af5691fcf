/** What the documents print must be true: the README's example runs as printed, and the op table is the code's. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { opsTable } from "../../scripts/ops-table.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("the README's example trains as printed", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const [, example] = /## A program that trains\s+```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  assert.ok(example, "README.md has the example");
  // The package's own name resolves to the built files; the sources stand in for them here.
  const source = example.replace('"hico-webgpu"', JSON.stringify(pathToFileURL(join(root, "src/index.ts")).href));
  const folder = mkdtempSync(join(tmpdir(), "hico-readme-"));
  try {
    writeFileSync(join(folder, "example.mts"), source);
    for (const environment of [{ HICO_DEVICE: "reference" }, { HICO_DEVICE: "webgpu", HICO_ADAPTER: "swiftshader" }]) {
      const output = execFileSync(process.execPath, ["--import", "tsx", join(folder, "example.mts")], {
        cwd: root,
        encoding: "utf8",
        env: { ...process.env, ...environment },
      });
      const losses = output
        .trim()
        .split("\n")
        .map((line) => Number(line.split(" ")[1]));
      assert.equal(losses.length, 4);
      assert.ok(losses[3] < 0.1 && losses[3] < losses[0], `the loss falls: ${losses.join(", ")}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/ops.md is what the table says", () => {
  assert.equal(readFileSync(join(root, "docs/ops.md"), "utf8"), opsTable());
});
