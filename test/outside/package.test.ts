/** The package as npm installs it: its size, its source maps, and life without the optional dependency. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { emptyProject, manifest, NAME, root } from "./installed.ts";

let project: string;
before(() => {
  project = emptyProject({ optional: false });
});
after(() => rmSync(project, { recursive: true, force: true }));

/** Bytes of a package and of what it depends on, each once, as `du -sb` counts: folders take room too. */
function installedBytes(folder: string, seen = new Set<string>()): number {
  const real = realpathSync(folder);
  if (seen.has(real)) return 0;
  seen.add(real);
  const own = readdirSync(real, { recursive: true, encoding: "utf8" })
    .filter((file) => !file.split("/").includes("node_modules"))
    .reduce((sum, file) => sum + statSync(join(real, file)).size, statSync(real).size);
  const { dependencies = {} } = JSON.parse(readFileSync(join(real, "package.json"), "utf8")) as {
    dependencies?: Record<string, string>;
  };
  const beside = real.slice(0, real.lastIndexOf("node_modules") + "node_modules".length);
  return Object.keys(dependencies)
    .map((name) => installedBytes(join(beside, name), seen))
    .reduce((sum, bytes) => sum + bytes, own);
}

/** The API reference, some 960 kB, is in a tarball of `npm pack` and in a working tree only where it was built. */
const REFERENCE = existsSync(join(root, "docs/api")) ? 0 : 1_000_000;

test("without its optional dependency the package takes at most 6 MB", () => {
  const bytes = installedBytes(join(project, "node_modules", NAME)) + REFERENCE;
  assert.ok(bytes < 6_000_000, `${bytes} bytes`);
});

test("a stack trace names a file of src and the line that throws", () => {
  const program = `import { tensor } from "${NAME}";\ntry { tensor([1, 2]).reshape([3]); } catch (error) { console.log(error.stack); }\n`;
  writeFileSync(join(project, "trace.mjs"), program);
  const said = execFileSync(process.execPath, ["--enable-source-maps", "trace.mjs"], {
    cwd: project,
    encoding: "utf8",
  });
  const places = [...said.matchAll(/\(.*node_modules\/hico-webgpu\/(src\/\S+\.ts):(\d+):\d+\)/g)];
  const lines = places.map(([, file, line]) => readFileSync(join(root, file), "utf8").split("\n")[Number(line) - 1]);
  assert.match(lines[0] ?? said, /throw new|throw |Error\(/);
  assert.match(lines[1] ?? said, /build\.reshape\(this\.node, shape\)/);
});

test("declarations that entries lead to are there, and no others", () => {
  const installed = join(project, "node_modules", NAME);
  const { exports } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
    exports: Record<string, { types?: string }>;
  };
  const entries = Object.values(exports).flatMap(({ types }) => (types ? [join(installed, types)] : []));
  assert.ok(entries.length >= 10);
  const reached = new Set(entries);
  for (const file of reached)
    for (const [, name] of readFileSync(file, "utf8").matchAll(/(?:from |import |import\()"(\.[^"]+)"/g))
      reached.add(join(dirname(file), name.replace(/\.[jt]s$/, ".d.ts")));
  const dist = readdirSync(join(installed, "dist"), { recursive: true, encoding: "utf8" });
  const there = dist.filter((file) => file.endsWith(".d.ts")).map((file) => join(installed, "dist", file));
  assert.deepEqual([...reached].sort(), there.sort());
});

test("every compiled file has its map, and what was taken in from other packages its licence", () => {
  const dist = join(project, "node_modules", NAME, "dist");
  const files = readdirSync(dist, { recursive: true, encoding: "utf8" });
  const compiled = files.filter(
    (file) => file.endsWith(".js") && existsSync(join(root, "src", file.replace(/js$/, "ts"))),
  );
  assert.ok(compiled.length > 400);
  assert.deepEqual(
    compiled.filter((file) => !files.includes(`${file}.map`)),
    [],
  );
  assert.match(
    readFileSync(join(dist, "report/charts/d3-scale.LICENSES"), "utf8"),
    /^d3-array[^]*Copyright[^]*\nd3-scale\n/,
  );
  assert.match(readFileSync(join(dist, "report/page/uPlot.LICENSE"), "utf8"), /MIT/);
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

test("a software driver that is named and missing says how to add it, also where the device is left to auto", {
  skip: (process.platform !== "linux" || process.arch !== "x64") && "SwiftShader from npm is for Linux x64",
}, () => {
  const program = `import { useDevice } from "${NAME}";\nconsole.log(await useDevice().catch((error) => error.message));\n`;
  writeFileSync(join(project, "driver.mjs"), program);
  const environment = { ...process.env, HICO_DEVICE: "", HICO_ADAPTER: "swiftshader" };
  const said = execFileSync(process.execPath, ["driver.mjs"], { cwd: project, encoding: "utf8", env: environment });
  assert.match(said, /npm install --save-dev @sparticuz\/chromium@/);
});
