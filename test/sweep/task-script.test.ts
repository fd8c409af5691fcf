/** A task's script where it runs: which program it starts, that it fetches none, and that it waits for a command to save. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseGrid, slurmScripts, taskScript } from "../../src/sweep/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-task-"));
const at = (...names: string[]): string => join(folder, ...names);
after(() => rmSync(folder, { recursive: true }));
const posix = process.platform === "win32" ? "needs a POSIX shell" : false;

const grid = parseGrid({ seeds: [0], eval: { linear: false } }, "g.json", {});

/** A program of a few shell lines. */
function program(path: string, ...lines: string[]): string {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, ["#!/bin/bash", ...lines, ""].join("\n"));
  chmodSync(path, 0o755);
  return path;
}

function script(words: readonly string[]): string {
  const path = at("sweep.tasks.sh");
  writeFileSync(path, taskScript(grid, { folder: "sweeps/g", program: words }));
  return path;
}

/** Words that look for hico: the shell's own programs, and an npx that tells of being called. */
const PATH = `${at("bin")}:/usr/bin:/bin`;

test("a task starts the node that emitted it, else the folder's package, else the machine's; never the registry's", {
  skip: posix,
}, () => {
  program(at("bin/npx"), `touch ${at("fetched")}`);
  const run = (words: readonly string[]) =>
    spawnSync("bash", [script(words), "0"], { cwd: folder, env: { PATH }, encoding: "utf8" });
  const absent = run([at("no node"), at("main.js")]);
  assert.deepEqual([absent.status, absent.stdout], [127, ""]);
  assert.match(absent.stderr, /hico-webgpu is installed neither in .* nor on this machine: npm i hico-webgpu/);

  for (const [path, name] of [
    ["bin/hico", "machine"],
    ["node_modules/.bin/hico", "folder"],
  ]) {
    program(at(path), `echo ${name} "$1"`);
    assert.equal(run([at("no node"), at("main.js")]).stdout, `${name} pretrain\n${name} eval\n`);
  }
  writeFileSync(at("main file.js"), "");
  assert.match(
    run([program(at("own node"), 'echo own "$2"'), at("main file.js")]).stdout,
    /^own pretrain\nown eval\n$/,
  );
  assert.ok(!existsSync(at("fetched")), "npx was not asked");
  for (const text of [readFileSync(at("sweep.tasks.sh"), "utf8"), ...slurmScripts(grid, { folder, program: ["x"] })])
    assert.ok(!/\bnpx\b(?! --no\b)/.test(text));
});

test("told to stop, the script waits until the command has saved, starts no other, and ends with 143", {
  skip: posix,
}, async () => {
  writeFileSync(at("main.js"), "");
  const saves = program(
    at("saves"),
    `trap 'sleep 0.5; echo "$2" >> ${at("saved")}; exit 143' TERM`,
    `echo begun`,
    "while :; do sleep 0.1; done",
  );
  const child = spawn("bash", [script([saves, at("main.js")]), "0"], { cwd: folder, env: { PATH } });
  child.stdout.once("data", () => child.kill("SIGTERM"));
  const code = await new Promise((done) => child.on("close", done));
  assert.deepEqual([code, readFileSync(at("saved"), "utf8")], [143, "pretrain\n"]);
});

test("the script of an array names a number that is none, and one that it has not", { skip: posix }, () => {
  const text = taskScript(grid, { folder, program: [program(at("tells"), "echo ran"), at("main.js")] });
  writeFileSync(at("sweep.tasks.sh"), text);
  writeFileSync(at("main.js"), "");
  writeFileSync(at("array.sh"), slurmScripts(grid, { folder, program: ["x"] })[0]);
  const { SLURM_ARRAY_TASK_ID: _, ...env } = process.env;
  const run = (task: object) => spawnSync("bash", [at("array.sh")], { env: { ...env, ...task }, encoding: "utf8" });
  assert.deepEqual(run({ SLURM_ARRAY_TASK_ID: "0" }).stdout, "ran\nran\n");
  for (const number of [undefined, "", "-1", "x", `a[$(touch ${at("ran")})]`, "99999999999999999999"]) {
    const { status, stdout, stderr } = run(number === undefined ? {} : { SLURM_ARRAY_TASK_ID: number });
    assert.deepEqual([status, stdout], [2, ""]);
    assert.match(stderr, /SLURM_ARRAY_TASK_ID is '.*', not a task's number: submit this script with sbatch/);
  }
  assert.match(run({ SLURM_ARRAY_TASK_ID: "1" }).stderr, /there is no task 1; there are 0 to 0/);
  assert.ok(!existsSync(at("ran")));
});
