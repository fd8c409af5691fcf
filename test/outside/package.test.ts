/** The package as npm installs it: its size, and life without the optional dependency. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { emptyProject, manifest, NAME } from "./installed.ts";

let project: string;
before(() => {
  project = emptyProject({ optional: false });
});
after(() => rmSync(project, { recursive: true, force: true }));

/** Bytes of a package and of what it depends on, each once. */
function installedBytes(folder: string, seen = new Set<string>()): number {
  const real = realpathSync(folder);
  if (seen.has(real)) return 0;
  seen.add(real);
  const own = readdirSync(real, { recursive: true, encoding: "utf8" })
    .filter((file) => !file.split("/").includes("node_modules"))
    .map((file) => statSync(join(real, file)))
    .reduce((sum, entry) => sum + (entry.isFile() ? entry.size : 0), 0);
  const { dependencies = {} } = JSON.parse(readFileSync(join(real, "package.json"), "utf8")) as {
    dependencies?: Record<string, string>;
  };
  const beside = real.slice(0, real.lastIndexOf("node_modules") + "node_modules".length);
  return Object.keys(dependencies)
    .map((name) => installedBytes(join(beside, name), seen))
    .reduce((sum, bytes) => sum + bytes, own);
}

test("without its optional dependency the package takes at most 6 MB", () => {
  const bytes = installedBytes(join(project, "node_modules", NAME));
  assert.ok(bytes < 6_000_000, `${bytes} bytes`);
});

test("no script of the package runs when it is installed, of which npm would warn", () => {
  const names = Object.keys(manifest.scripts ?? {});
  assert.deepEqual(
    names.filter((name) => ["preinstall", "install", "postinstall", "prepare"].includes(name)),
    [],
  );
});

test("without the package webgpu, auto takes cpu, and webgpu says how to add it", () => {
  const program =
    `import { device } from "${NAME}";\nconst cpu = await device("auto", { threads: 1 });\nconsole.log(cpu.kind);\n` +
    'console.log(await device("webgpu").catch((error) => error.message));\ncpu.close();\n';
  writeFileSync(join(project, "devices.mjs"), program);
  const environment = { ...process.env, HICO_DEVICE: "", HICO_ADAPTER: "" };
  const said = execFileSync(process.execPath, ["devices.mjs"], { cwd: project, encoding: "utf8", env: environment });
  assert.match(said, /^cpu\n.*"webgpu".* is not installed: npm i webgpu\./);
});
