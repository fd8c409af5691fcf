/** The example that trains in a page, by the command that its first comment gives, in Chromium. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startChromium } from "../environments/chromium.ts";
import { compileProject, emptyProject, root, STRICT } from "./installed.ts";

const FOLDER = "examples/in-the-browser";
let project: string;
before(() => {
  project = emptyProject({ optional: false });
  mkdirSync(join(project, "examples"));
  cpSync(join(root, FOLDER), join(project, FOLDER), { recursive: true });
});
after(() => rmSync(project, { recursive: true, force: true }));

const source = readFileSync(join(root, FOLDER, "page.ts"), "utf8");

test("a page trains and draws, by one command", { timeout: 240_000 }, async (context) => {
  assert.ok(source.split("\n").length <= 81);
  const options = { ...STRICT, types: [], noEmit: true };
  assert.deepEqual(compileProject(project, options, [FOLDER]), []);
  const browser = await startChromium();
  if ("unavailable" in browser) return context.skip(browser.unavailable);
  const command = /npx esbuild ([\s\S]*?)\n \*\n/.exec(source)![1].replaceAll(/\\\n \*/g, "");
  const esbuild = join(root, "node_modules/esbuild/bin/esbuild");
  const server = spawn(esbuild, [...command.trim().split(/\s+/), "--serve=localhost:0"], { cwd: project });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let said = "";
      server.stderr.on("data", (part) => {
        said += part;
        const found = /http:\/\/(?:localhost|127\.0\.0\.1):\d+\//.exec(said);
        if (found) resolve(found[0]);
      });
      server.once("exit", () => reject(new Error(said)));
    });
    await browser.view(url, async (page, log) => {
      await page.waitForFunction('document.title.startsWith("accuracy")', { timeout: 200_000 }).catch(async (error) => {
        throw new Error(`${await page.$eval("#said", (p) => p.textContent)}; ${log.join("; ")}`, { cause: error });
      });
      if (process.env.HICO_SCREENSHOT) await page.screenshot({ path: process.env.HICO_SCREENSHOT as `${string}.png` });
      assert.ok(Number((await page.title()).split(" ")[1]) >= Number(/Result: accuracy >= ([\d.]+)/.exec(source)![1]));
      const colors = await page.$eval("#map", (canvas) => {
        const { data } = (canvas as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, 300, 300);
        return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size;
      });
      assert.ok(colors >= 3, "every arm has its colour");
      assert.deepEqual(log, []);
    });
  } finally {
    server.kill();
    await browser.close();
  }
});
