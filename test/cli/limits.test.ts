/** Machines with limits, and inputs that are no files: every command ends at once, in words that name the thing and what helps. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { printable } from "../../src/cli/process-life.ts";
import { generatedSource } from "../../src/data/sources/generated.ts";
import { prepareStore } from "../../src/data/sources/prepare.ts";
import { resolveConfig } from "../../src/hico/model/config.ts";
import { parseGrid } from "../../src/sweep/index.ts";
import { HICO } from "./run-hico.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-limits-"));
after(() => rmSync(folder, { recursive: true }));
before(() => prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), join(folder, "tiny.clips")));

/** A class's name that would set a terminal's title, clear its line and colour what follows. */
const EVIL = "walk\x1b]0;title\x07\x1b[2Jing\x00\x9b31m";

const posix = process.platform === "win32" ? "needs a POSIX shell" : false;

test("a pipe in place of a file is refused by every command that opens one, and waits for nobody", {
  skip: posix,
}, () => {
  execFileSync("mkfifo", [join(folder, "pipe")]);
  const commands = [
    ["data", "info", "pipe"],
    ["pretrain", "--data", "pipe", "--run", "r"],
    ["import", "pipe", "--run", "r", "--data", "tiny.clips"],
    ["verify", "pipe"],
    ["sweep", "pipe"],
    ["pretrain", "--data", "tiny.clips", "--config", "pipe", "--run", "r"],
  ];
  for (const words of commands) {
    const { status, stderr } = spawnSync(HICO[0]!, [...HICO.slice(1), ...words], {
      cwd: folder,
      env: { ...process.env, HICO_DEVICE: "reference" },
      encoding: "utf8",
      timeout: 60_000,
      killSignal: "SIGKILL",
    });
    assert.equal(status, 1, `hico ${words.join(" ")}: ${stderr}`);
    assert.match(stderr, /pipe.*(is a pipe, not a regular file)/, words.join(" "));
  }
});

test("where the system gives no addresses for WebAssembly, the error names the limit", { skip: posix }, () => {
  // A program that takes the addresses first; the limit itself would stop the runtime's own loaders as well.
  const words = `
    import { CpuDevice } from ${JSON.stringify(new URL("../../src/index.ts", import.meta.url).href)};
    WebAssembly.Memory = function () { throw new RangeError("WebAssembly.Memory(): could not allocate memory"); };
    await CpuDevice.open({ threads: 1 }).catch((error) => console.log(error.message));`;
  const args = ["--import", import.meta.resolve("tsx"), "--input-type=module", "-e", words];
  const out = execFileSync(process.execPath, args, { encoding: "utf8" });
  assert.match(out, /reserves about 10 GB of addresses.*ulimit -v unlimited/);
});

test("a size that is a slip of the hand is refused before any work", () => {
  assert.throws(() => resolveConfig({ layers: 1_000_000 }), /layers is 1000000; .*at most 256/);
});

test("a run's name fits a file system, however long its case's is, and names stay apart", () => {
  const [a, b] = ["x".repeat(400) + "a", "x".repeat(400) + "b"];
  const { runs } = parseGrid({ cases: { [a]: {}, [b]: { lr: 0.5 } }, seeds: [0, 1] }, "g.json", {});
  assert.equal(new Set(runs.map(({ name }) => name)).size, 4);
  for (const { name } of runs) {
    assert.ok(name.length <= 200 && /_seed=[01]$/.test(name), name);
    writeFileSync(join(folder, `${name}.log`), "");
  }
});

test("names out of data do not command the terminal", async () => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for.
  assert.ok(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(printable(EVIL)), JSON.stringify(printable(EVIL)));
  const source = generatedSource({ subjects: 2, repetitions: 1 });
  const classes = source.classes.map((name, i) => (i === 0 ? EVIL : name));
  await prepareStore({ ...source, classes }, join(folder, "evil.clips"));
  const { stdout } = spawnSync(HICO[0]!, [...HICO.slice(1), "data", "info", "evil.clips"], {
    cwd: folder,
    encoding: "utf8",
  });
  assert.match(stdout, /classes: walk\ufffd/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it looks for.
  assert.ok(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(stdout), JSON.stringify(stdout));
  const plain = "ä\t1\n\r\x1b[2K\x1b[31mred\x1b[0m";
  assert.equal(printable(plain), plain);
});
