import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { designText, exists, importsOf, readSources, readTable, wrongImports } from "./house.ts";

const table = readTable(designText());

describe("who may import whom", () => {
  test("the source keeps to the table of docs/design.md", () => {
    assert.deepEqual(wrongImports(importsOf(readSources()), table), []);
  });

  test("every room of the table is there, and every room is in the table", () => {
    for (const room of table.keys()) assert.ok(exists(`src/${room}`), `docs/design.md names src/${room}`);
    for (const file of readSources().keys()) {
      const [, room, inside] = file.split("/");
      if (inside) assert.ok(table.has(room), `docs/design.md has no row for src/${room}`);
    }
  });

  test("the table has no way back: no room reaches itself over others", () => {
    const reach = (room: string, seen = new Set<string>()): Set<string> => {
      for (const next of table.get(room) ?? []) {
        if (table.get(room) === "all" || seen.has(next)) continue;
        seen.add(next);
        reach(next, seen);
      }
      return seen;
    };
    for (const room of table.keys()) assert.ok(!reach(room).has(room), `src/${room} reaches itself`);
  });

  test("a wrong import is told with file, line and rule", () => {
    const rules = readTable("| `src/tensor` | x | – |\n| `src/device` | x | tensor |\n| `src/cli` | x | all |");
    const planted = new Map([
      ["src/tensor/a.ts", 'import { x } from "./b.ts";\n\nimport type { D } from "../device/d.ts";\n'],
      ["src/device/d.ts", '/** as in import "../cli/m.ts" */\nexport { t } from "../tensor/a.ts";\n'],
      ["src/cli/m.ts", 'const d = () => import("../device/d.ts");\n'],
      ["src/device/e.ts", "const glob = '**/*.ts';\nexport type M = import('../cli/m.ts').M; /* end */\n"],
      ["src/attic/old.ts", 'import "../tensor/a.ts";\n'],
    ]);
    assert.deepEqual(wrongImports(importsOf(planted), rules), [
      "src/tensor/a.ts:3 imports src/device/d.ts: src/tensor may import no other room",
      "src/device/e.ts:2 imports src/cli/m.ts: src/device may import tensor",
      "src/attic/old.ts:1: the room src/attic is not in the table of docs/design.md",
    ]);
  });
});
