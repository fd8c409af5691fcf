/** The API reference (`npm run docs:api`): every exported name stands in it, and no link in it leads nowhere. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Application, TSConfigReader, TypeDocReader } from "typedoc";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("the reference has every exported name, and TypeDoc nothing to warn of", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hico-api-"));
  try {
    const outputs = [{ name: "markdown", path: folder }];
    const readers = [new TypeDocReader(), new TSConfigReader()];
    const app = await Application.bootstrapWithPlugins({ options: join(root, "typedoc.json"), outputs }, readers);
    const project = await app.convert();
    assert.ok(project);
    app.validate(project);
    await app.generateOutputs(project);
    assert.equal(app.logger.warningCount + app.logger.errorCount, 0);
    for (const entry of project.children ?? []) {
      const page = readFileSync(join(folder, `${entry.name}.md`), "utf8").replaceAll("\\_", "_");
      const names = (entry.children ?? []).map(({ name }) => name);
      assert.ok(names.length > 0, `${entry.name} exports something`);
      const missing = names.filter((name) => !new RegExp(`^#+ (?:.abstract. )?${name}\\b`, "mi").test(page));
      assert.deepEqual(missing, [], `names that ${entry.name}.md lacks`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
