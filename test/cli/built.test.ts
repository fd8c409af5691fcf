/** The package as it is installed: the compiled command finds every one of its files. */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
mkdirSync(join(root, ".cache"), { recursive: true });
// Inside the project, so that its dependencies are found.
const folder = mkdtempSync(join(root, ".cache", "built-"));
after(() => rmSync(folder, { recursive: true }));

test("every command of the compiled package explains itself", () => {
  const run = (...args: string[]): string =>
    execFileSync(process.execPath, args, { cwd: root, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
  run("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--outDir", join(folder, "dist"));
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  const main = join(folder, "dist/cli/main.js");
  let explained = 0;
  const explain = (path: readonly string[]): void => {
    const help = run(main, ...path, "--help");
    assert.match(help, /USAGE/);
    explained++;
    const commands = /COMMANDS([\s\S]*?)\n\n\s*Use /.exec(help)?.[1] ?? "";
    for (const [, name] of commands.matchAll(/^[\s`]*([a-z-]+)[\s`]/gm)) explain([...path, name]);
  };
  explain([]);
  assert.ok(explained > 10, `${explained} commands`);
});
