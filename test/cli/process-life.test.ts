/** A command that is told to stop, loses its log, or is started again on finished work: what it leaves, and how it ends. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generatedSource } from "../../src/data/sources/generated.ts";
import { prepareStore } from "../../src/data/sources/prepare.ts";
import { RunFolder } from "../../src/hico/run/folder.ts";
import { shellLine } from "../../src/sweep/index.ts";
import type { CommandResult } from "./run-hico.ts";
import { HICO } from "./run-hico.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-life-"));
const at = (...names: string[]): string => join(folder, ...names);
before(async () => {
  await prepareStore(generatedSource({ subjects: 2, repetitions: 1 }), at("tiny.clips"));
});
after(() => rmSync(folder, { recursive: true }));

const TINY = shellLine(
  "--encoder gru --hidden 8 --projection 4 --queue 16 --granularity 2 --batch 4 --frames 16 --min-frames 8 --workers 0".split(
    " ",
  ),
);
const hico = shellLine(HICO);

/** Runs a line of bash in the folder; `onStderr` sees what comes, and may use the process. */
function bash(
  line: string,
  { onStderr, env }: { onStderr?: (text: string, pid: number) => void; env?: NodeJS.ProcessEnv } = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = spawn("bash", ["-c", line], {
      env: { ...process.env, NO_COLOR: "1", HICO_DEVICE: "cpu", HICO_THREADS: "1", ...env },
      cwd: folder,
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
    child.stderr.on("data", (text: Buffer) => {
      stderr += text.toString();
      onStderr?.(stderr, child.pid!);
    });
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Sends a signal once, when these words came. */
function once(words: RegExp, signal: NodeJS.Signals): (text: string, pid: number) => void {
  let sent = false;
  return (text, pid) => {
    if (!sent && words.test(text)) sent = process.kill(pid, signal);
  };
}

/** Waits until `value` gives something, which it must within a minute. */
async function until<T>(value: () => T | undefined | false): Promise<T> {
  for (let i = 0; i < 600; i++) {
    const found = value();
    if (found !== undefined && found !== false) return found;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error("nothing came within a minute");
}

const leftOver = (path = folder): string[] => readdirSync(path).filter((name) => name.endsWith(".tmp"));

describe("a signal", () => {
  for (const [signal, code] of [
    ["SIGHUP", 129],
    ["SIGTERM", 143],
  ] as const) {
    test(`${signal} saves an unsaved pretraining and exits with ${code}`, async () => {
      const run = at(signal);
      const line = `exec ${hico} pretrain --data tiny.clips --run ${signal} --epochs 100000 --save-every 100000 ${TINY}`;
      const { code: found, stdout } = await bash(line, { onStderr: once(/steps an epoch/, signal) });
      assert.equal(found, code, stdout);
      assert.equal(new RunFolder(run).checkpoints().length, 1);
    });
  }

  test("the same SIGTERM by several ways, as Slurm and npm send it, leaves the time to save", async () => {
    const line = (run: string): string =>
      `exec ${hico} pretrain --data tiny.clips --run ${run} --epochs 100000 --save-every 100000 ${TINY}`;
    let sent = 0;
    const again = (signals: readonly NodeJS.Signals[]) => (text: string, pid: number) => {
      // The next one comes when the one before was heard.
      const heard = sent === 0 ? /steps an epoch/ : /stopping after this step/;
      if (sent < signals.length && heard.test(text)) process.kill(pid, signals[sent++]);
    };
    const stopped = await bash(line("several"), { onStderr: again(["SIGTERM", "SIGTERM", "SIGHUP"]) });
    assert.equal(stopped.code, 143, stopped.stderr);
    assert.equal(new RunFolder(at("several")).checkpoints().length, 1);
  });

  test("a demo told to stop while it judges stops, with the signal's exit code, and ends when called again", async () => {
    const line = `exec ${hico} demo --folder demo --epochs 1 --subjects 2 --repetitions 5`;
    // The first loss that is told of comes after the first checkpoint of one epoch: what follows is judgement.
    let sent = false;
    const demo = new RunFolder(at("demo/run"));
    const watch = setInterval(() => {
      if (!sent && demo.pretraining() !== undefined) sent = child !== undefined && process.kill(child, "SIGTERM");
    }, 2);
    let child: number | undefined;
    const stopped = await new Promise<number | null>((resolve) => {
      const started = spawn("bash", ["-c", line], {
        cwd: folder,
        stdio: "ignore",
        env: { ...process.env, HICO_DEVICE: "cpu", HICO_THREADS: "1" },
      });
      child = started.pid;
      started.on("close", resolve);
    });
    clearInterval(watch);
    assert.deepEqual([sent, stopped, existsSync(at("demo/report.html"))], [true, 143, false]);
    assert.equal((await bash(line)).code, 0);
    assert.ok(existsSync(at("demo/report.html")));
  });

  for (const [command, line] of [
    ["generate", "data generate big.clips --subjects 200 --repetitions 20"],
    ["prepare", "data prepare csv takes big.clips"],
  ] as const) {
    test(`${command} told to stop leaves nothing, and what a killed one left goes with the next`, async () => {
      mkdirSync(at("takes/wave"), { recursive: true });
      const frame = `${Array.from({ length: 25 }, (_, v) => `0.1,${v / 10},2,2`).join(",")},\n`;
      for (let i = 0; i < 400; i++) writeFileSync(at("takes/wave", `${i}.csv`), frame.repeat(100));
      for (const [signal, code, left] of [
        ["SIGTERM", 143, 0],
        ["SIGKILL", null, 1],
        ["SIGINT", 130, 0],
      ] as const) {
        const ended = new Promise<number | null>((resolve) => {
          const child = spawn("bash", ["-c", `exec ${hico} ${line}`], { cwd: folder, stdio: "ignore" });
          child.on("close", resolve);
          // The file of this process, beside the one that a killed process left.
          void until(() => leftOver().find((name) => name.includes(`-${child.pid}.`))).then(() => child.kill(signal));
        });
        assert.equal(await ended, code, signal);
        assert.equal(leftOver().length, left, signal);
        assert.ok(!existsSync(at("big.clips")));
      }
    });
  }

  test("the end of the process that npx is reaches the command, which saves and stops", async () => {
    // npx and its shell die of SIGTERM and pass it to nobody: so does this shell.
    const line = `${hico} pretrain --data tiny.clips --run npx --epochs 100000 --save-every 100000 ${TINY}; true`;
    const { stdout } = await bash(line, {
      env: { npm_command: "exec", npm_lifecycle_event: "npx" },
      onStderr: once(/steps an epoch/, "SIGTERM"),
    });
    // The pipe closes when the orphan does.
    assert.match(stdout, /interrupted at step \d+ of/);
    assert.equal(new RunFolder(at("npx")).checkpoints().length, 1);
    assert.deepEqual(
      readdirSync(at("npx")).filter((name) => name.includes("lock")),
      [],
    );
  });
});

describe("a log that takes no more", () => {
  for (const [name, redirect] of [
    ["full", "2>/dev/full"],
    ["closed", "2> >(true)"],
    ["gone", "2>&-"],
  ] as const) {
    test(`${redirect}: pretraining goes on to its end`, async () => {
      const line = `exec ${hico} pretrain --data tiny.clips --run log-${name} --epochs 3 ${TINY} ${redirect}`;
      const { code, stdout } = await bash(line);
      assert.equal(code, 0);
      assert.match(stdout, /done at step 9 of 9/);
      const kept = at(`log-${name}`, "stderr.log");
      if (name === "full") assert.match(readFileSync(kept, "utf8"), /ENOSPC[^]*14 clips, 3 steps an epoch/);
    });
  }

  test("a reader of both streams that goes ends no training", async () => {
    const { code } = await bash(
      `(${hico} pretrain --data tiny.clips --run head --epochs 3 ${TINY}; echo $? > head.code) 2>&1 | head -1`,
    );
    assert.equal(code, 0);
    assert.equal(new RunFolder(at("head")).pretraining()!.finished, true);
    assert.equal(readFileSync(at("head.code"), "utf8"), "0\n");
  });

  test("a result that finds no room is an error in words", async () => {
    const { code, stderr } = await bash(`${hico} data info tiny.clips > /dev/full`);
    assert.equal(code, 1);
    assert.match(stderr, /the result could not be printed: .*ENOSPC/);
  });
});

test("finetune and semi on finished results print them again, with exit code 0", async () => {
  const trained = await bash(`${hico} pretrain --data tiny.clips --run judged --epochs 1 ${TINY}`);
  assert.equal(trained.code, 0, trained.stderr);
  const common = "--epochs 1 --least-steps 2 --batch 4";
  for (const command of [`finetune judged ${common}`, `semi judged ${common} --fractions 50 --draws 1`]) {
    const first = await bash(`${hico} eval ${command}`);
    const again = await bash(`${hico} eval ${command}`);
    assert.deepEqual([first.code, again.code, again.stderr], [0, 0, ""], first.stderr);
    assert.equal(again.stdout, first.stdout);
  }
});
