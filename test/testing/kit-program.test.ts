/** The kit's program: on the engine as it is it finds nothing, and a planted error it finds. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runChecks } from "../../scripts/kit/checks.ts";
import { outside } from "../../scripts/kit/plan.ts";
import { MUTATIONS } from "../../scripts/mutations.ts";
import { CpuDevice, setDefaultDevice } from "../../src/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("a slice of the kit's checks finds nothing", async () => {
  const device = await CpuDevice.open();
  setDefaultDevice(device);
  const only = ["broadcast sums", "largest where", "gradient of matmul", "softmax of", "SGD", "layer Linear", "kinks"];
  const passed = new Set<string>();
  const { checks, found } = await runChecks({ device, seed: 1, only, told: (name) => passed.add(name) });
  // What has passed does not run again.
  const again = await runChecks({ device, seed: 1, only, passed: (name) => passed.has(name) });
  setDefaultDevice(undefined);
  device.close();
  assert.equal(found, undefined);
  assert.ok(checks >= 12, `${checks} checks`);
  assert.equal(again.checks, 0);
});

test("a wrong gradient of products is found by the kit alone", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "hico-kit-"));
  context.after(() => rmSync(folder, { recursive: true }));
  // The whole kit has passed on the tree as it is: here one error is planted.
  const tally = join(folder, "tally");
  writeFileSync(tally, `${JSON.stringify("passes: cpu")}\n`);
  const args = ["--import", "tsx", "scripts/kit-mutations.ts", "--tally", tally, "--only", "dy.matmul(b.transpose())"];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  assert.match(stdout, /^caught .*[^]*gradient of matmul: checkGradient: [^]*^1 caught, 0 survived$/m, stderr);
  assert.equal(status, 0);
});

test("what the kit cannot see is named with why", () => {
  const reasons = MUTATIONS.map((m) => outside(m)).filter((why) => why !== undefined);
  for (const why of reasons) assert.match(why, /^(memory|sizes of \w+|speed|unreached): |^a race /);
  assert.ok(reasons.length < MUTATIONS.length / 20, `${reasons.length} of ${MUTATIONS.length}`);
});
