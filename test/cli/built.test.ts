/** The package as it is installed: the compiled command finds every one of its files. */
import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { generatedSource } from "../../src/data/sources/generated.ts";
import { prepareStore } from "../../src/data/sources/prepare.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
mkdirSync(join(root, ".cache"), { recursive: true });
// Inside the project, so that its dependencies are found.
const folder = mkdtempSync(join(root, ".cache", "built-"));
after(() => rmSync(folder, { recursive: true }));
const main = join(folder, "dist/cli/main.js");
before(() => {
  execFileSync(
    process.execPath,
    ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--outDir", join(folder, "dist")],
    { cwd: root },
  );
  cpSync(join(root, "package.json"), join(folder, "package.json"));
});

test("every command of the compiled package explains itself", () => {
  const run = (...args: string[]): string =>
    execFileSync(process.execPath, args, { cwd: root, encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
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

test("a machine's limits end a command in words that name them, with code 1", {
  skip: process.platform === "linux" ? false : "limits of Linux's shells",
}, async () => {
  await prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), join(folder, "tiny.clips"));
  const sizes = { encoder: "gru", hidden: 8, projection: 4, queue: 16, granularity: 1, batch: 4, frames: 8 };
  const flags = Object.entries({ ...sizes, "min-frames": 8, workers: 0, epochs: 1, device: "cpu", threads: 1 });
  const words = flags.map(([name, value]) => `--${name}=${value}`).join(" ");
  for (const [limit, said] of [
    ["-n 64", /^hico: .*too few files open at once; raise the limit \(ulimit -n 1024/m],
    ["-v 6000000", /^hico: the cpu device got no WebAssembly memory: .*ulimit -v unlimited/m],
  ] as const) {
    const line = `ulimit ${limit} && exec ${process.execPath} ${main} pretrain --data tiny.clips --run r${limit.replaceAll(" ", "")} ${words}`;
    const { status, stdout, stderr } = spawnSync("bash", ["-c", line], { cwd: folder, encoding: "utf8" });
    // A limit that this runtime can live with is none.
    if (status === 0) continue;
    assert.deepEqual([status, stdout], [1, ""], `${limit}: ${stderr}`);
    assert.match(stderr, said);
    assert.ok(!/^\s+at /m.test(stderr), stderr);
  }
});
