/** What bundles for browsers have in place of files (package.json's "browser") answers to the same names. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as debug from "../../src/device/browser/debug.ts";
import * as trace from "../../src/device/browser/trace.ts";
import * as wide from "../../src/device/browser/wide.ts";

const { browser } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  browser: Record<string, string>;
};
const stand: Readonly<Record<string, object>> = {
  "./dist/device/browser/debug.js": debug,
  "./dist/device/browser/trace.js": trace,
  "./dist/device/browser/wide.js": wide,
};

test("every file's stand-in has the names that are imported from it", async () => {
  assert.deepEqual(Object.values(browser).sort(), Object.keys(stand).sort());
  for (const [file, other] of Object.entries(browser)) {
    const source = new URL(`../../${file.replace("./dist", "src").replace(/\.js$/, ".ts")}`, import.meta.url);
    const names = Object.keys((await import(source.href)) as object).filter((name) => name !== "Tracer");
    assert.deepEqual(Object.keys(stand[other]).sort(), names.sort(), file);
  }
});

test("they do nothing but the work", async () => {
  assert.equal(trace.tracer(), undefined);
  assert.equal(
    trace.traced("", "", 0, {}, () => 3),
    3,
  );
  assert.equal((await wide.chooseWidth()).wide, false);
  assert.equal(debug.reportCpuPlan(), undefined);
});
