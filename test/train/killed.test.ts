/** A process that is killed (SIGKILL) in the middle of epochs, and begun again, ends with the bits of one that was not. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = mkdtempSync(join(tmpdir(), "hico-killed-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the program, and kills it where it prints step `at`. What it printed. */
async function run(name: string, at?: number): Promise<string> {
  const program = fileURLToPath(new URL("killed-program.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", program, join(folder, name)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    printed += text;
    if (at !== undefined && printed.includes(`step ${at}\n`)) child.kill("SIGKILL");
  });
  const signal = await new Promise((resolve) => child.on("close", (_, by) => resolve(by)));
  assert.equal(signal, at === undefined ? null : "SIGKILL", printed.slice(-200));
  return printed;
}

test("killed in the middle of an epoch, twice, and resumed", async () => {
  const whole = await run("whole");
  // 12 steps an epoch, a checkpoint after every fifth step and every epoch.
  await run("killed", 18);
  const second = await run("killed", 33);
  assert.doesNotMatch(second, /^step 1\n/m);
  const last = await run("killed");
  assert.ok(Number(/step (\d+)/.exec(last)![1]) > 24, "it goes on from the third epoch");
  const weights = (printed: string): string => printed.split("\n").find((line) => line.startsWith("weights"))!;
  assert.equal(weights(last), weights(whole));
});
