/** What the command says: no colours in a pipe, what is missing first, the whole command in usage, nothing of the system's. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { defineCommand } from "citty";
import { plainWords, runHico as runCommandLine, subcommand } from "../../src/cli/command.ts";
import { HICO, runHico } from "./run-hico.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-words-"));
after(() => rmSync(folder, { recursive: true }));
const hico = (...args: string[]) => runHico(folder, args);

test("help in a pipe has no colours and the whole command, wherever it was asked for", () => {
  const env: NodeJS.ProcessEnv = { ...process.env, FORCE_COLOR: "1" };
  delete env.NO_COLOR;
  delete env.CI;
  for (const words of [[], ["data"], ["data", "prepare", "--help"], ["eval", "knn", "-h"]]) {
    const { stdout } = spawnSync(HICO[0], [...HICO.slice(1), ...words], { env, encoding: "utf8" });
    assert.ok(!stdout.includes("\u001b"), words.join(" "));
    const path = ["hico", ...words.filter((word) => !word.startsWith("-"))].join(" ");
    assert.match(stdout, new RegExp(`USAGE ${path} `));
  }
});

test("what is missing is named in the first line, then how the command is used", async () => {
  for (const [args, first] of [
    [["pretrain"], /^hico: --run is missing: Folder of the run.*\nusage: hico pretrain --run/],
    [["eval", "knn"], /^hico: RUN is missing: .*\nusage: hico eval knn RUN\n/],
    [["export", "run"], /^hico: OUT is missing: .*\nusage: hico export RUN OUT\n/],
    [["data", "prepare"], /^hico: FOLDER is missing, .*hico data prepare \[KIND\] FOLDER STORE\n/],
    [["data", "prepare", "here"], /^hico: STORE, the clip store to write, is missing: /],
    [["data", "prepare", "csv"], /^hico: FOLDER and STORE are missing: /],
    [["evil"], /^hico: there is no command "hico evil"; there is data, pretrain, /],
    [["eval", "foo"], /^hico: there is no command "hico eval foo"; there is linear, /],
  ] as const) {
    const { code, stdout, stderr } = await hico(...args);
    assert.deepEqual([code, stdout], [1, ""], args.join(" "));
    assert.match(stderr, first);
  }
});

test("the system's errors are told in words", async () => {
  assert.equal(
    plainWords("x.clips: unreadable: ENOENT: no such file or directory, open 'x.clips'"),
    "x.clips: unreadable: no such file or directory",
  );
  assert.equal(plainWords("EACCES: permission denied, mkdir '/a/b'"), "/a/b: permission denied");
  assert.equal(plainWords("EISDIR: illegal operation on a directory, read"), "illegal operation on a directory");
  const { stderr } = await hico("data", "info", "nowhere.clips");
  assert.equal(stderr, "hico: nowhere.clips: unreadable: no such file or directory\n");
});

test("a folder is prepared without a kind; what is there is written over by force alone", async () => {
  const frame = `${Array.from({ length: 25 }, (_, v) => `0.${v + 1},0.2,2,2`).join(",")}\n`;
  for (const [name, word] of [
    ["walk/a.csv", "0.2"],
    ["sit/b.csv", "0.3"],
  ]) {
    mkdirSync(join(folder, "rec", name, ".."), { recursive: true });
    writeFileSync(join(folder, "rec", name), frame.replaceAll("0.2", word).repeat(4));
  }
  const made = await hico("data", "prepare", "rec", "own.clips");
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stderr, /rec: read as csv \(.*\), because /);
  assert.match(made.stdout, /own\.clips: 2 clips of 2 classes, ntu25/);
  assert.match(made.stdout, /missing joints: none/);
  const bytes = readFileSync(join(folder, "own.clips"));
  for (const args of [
    ["data", "prepare", "rec", "own.clips"],
    ["data", "generate", "own.clips"],
  ]) {
    const again = await hico(...args);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /own\.clips is there already; --force writes over it/);
    assert.deepEqual(readFileSync(join(folder, "own.clips")), bytes);
  }
  assert.equal((await hico("data", "prepare", "rec", "own.clips", "--force", "--no-normalize")).code, 0);
  assert.notDeepEqual(readFileSync(join(folder, "own.clips")), bytes);
  // By force neither: what is read from. A store that lies among the recordings is no recording.
  const recording = readFileSync(join(folder, "rec/walk/a.csv"));
  const over = await hico("data", "prepare", "rec", "rec/walk/a.csv", "--force");
  assert.equal(over.code, 1);
  assert.match(over.stderr, /a\.csv is one of the files of rec and no clip store: it is not written over/);
  assert.deepEqual(readFileSync(join(folder, "rec/walk/a.csv")), recording);
  for (let run = 0; run < 2; run++) {
    const among = await hico("data", "prepare", "csv", "rec", "rec/own.clips", "--force");
    assert.equal(among.code, 0, among.stderr);
  }
});

test("a system that opens too few files for a command to be loaded is told in words", async (context) => {
  const load = (): never => {
    throw Object.assign(new Error("EMFILE: too many open files, open 'x.js'"), { code: "EMFILE" });
  };
  const told = context.mock.method(console, "error", () => {});
  const root = defineCommand({ subCommands: { work: subcommand("Work", load) } });
  try {
    await runCommandLine(root, "0", ["work"]);
    assert.equal(process.exitCode, 1);
  } finally {
    process.exitCode = 0;
  }
  assert.match(String(told.mock.calls[0].arguments[0]), /^hico: .*too few files open.*ulimit -n 1024/);
});
