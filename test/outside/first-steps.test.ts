/**
 * From a download to a report in four commands, as docs/data/first-steps.md prints them: run by the installed package on
 * small folders of each form. Only the network is made small and short, by options that any user has.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { emptyProject, manifest, NAME, root } from "./installed.ts";
import { makeRecordings } from "./recordings.ts";

const SMALL = ["--encoder", "gru", "--hidden", "8", "--epochs", "2"];

interface Section {
  readonly title: string;
  readonly commands: readonly (readonly string[])[];
}

const page = readFileSync(join(root, "docs/data/first-steps.md"), "utf8");
const sections: Section[] = page
  .split(/^## /m)
  .slice(1)
  .map((text) => {
    const [, block] = /```sh\n([\s\S]*?)```/.exec(text) ?? [];
    assert.ok(block, "a section has a block of commands");
    const commands = block
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/));
    return { title: text.split("\n")[0], commands };
  });

let project: string;
before(() => (project = emptyProject()));
after(() => rmSync(project, { recursive: true, force: true }));

/** `npx hico …`, by the file that the installed package names as its command. */
function hico(args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { bin } = manifest as unknown as { readonly bin: Readonly<Record<string, string>> };
  const main = join(project, "node_modules", NAME, bin.hico);
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: "1", HICO_DEVICE: "cpu" };
    const child = spawn(process.execPath, [main, ...args], { cwd: project, env });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
    child.stderr.on("data", (text: Buffer) => (stderr += text.toString()));
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

describe("docs/data/first-steps.md", () => {
  test("has seven forms, each of at most four commands from preparing to the report", () => {
    assert.equal(sections.length, 7);
    for (const { title, commands } of sections) {
      assert.ok(commands.length <= 4, title);
      assert.ok(commands.every(([npx, command]) => npx === "npx" && command === "hico"));
      assert.deepEqual(commands[0].slice(2, 4), ["data", "prepare"], title);
      assert.deepEqual(commands.at(-1)!.slice(2, 3), ["report"], title);
    }
  });

  for (const { title, commands } of sections) {
    test(title, async () => {
      makeRecordings(project, commands[0][4]);
      for (const command of commands) {
        const args = [...command.slice(2), ...(command[2] === "pretrain" ? SMALL : [])];
        const { code, stdout, stderr } = await hico(args);
        assert.equal(code, 0, `${args.join(" ")}\n${stderr}`);
        if (args[0] === "data") {
          assert.match(stdout, /: 16 clips of \d+ classes/);
          assert.match(stdout, /: 8 train, 8 test/);
          assert.doesNotMatch(stdout, /skipped|nothing to/);
        }
        if (args[0] === "eval") assert.match(stdout, /8 training and 8 test clips[\s\S]*pretrained +\d/);
        if (args[0] !== "report") continue;
        const html = readFileSync(join(project, args[1], "report.html"), "utf8");
        assert.match(html, /1-NN/);
        assert.ok(statSync(join(project, args[1], "report.html")).size > 20_000);
      }
    });
  }
});
