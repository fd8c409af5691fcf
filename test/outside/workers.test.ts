/** The installed package in a worker thread that shares nothing: it picks a software adapter by name as anybody does. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { emptyProject, link, root } from "./installed.ts";

const PROGRAM = `
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { fileURLToPath } from "node:url";

if (isMainThread) {
  new Worker(fileURLToPath(import.meta.url)).on("message", (said) => {
    console.log(JSON.stringify({ ...said, left: process.env.VK_ICD_FILENAMES ?? "" }));
  });
} else {
  const { tensor, useDevice } = await import("hico-webgpu");
  try {
    const device = await useDevice("webgpu", { adapter: "swiftshader" });
    parentPort.postMessage({ name: device.name, sum: await tensor([1, 2, 3]).sum().item() });
    device.close();
  } catch (error) {
    parentPort.postMessage({ error: error.message });
  }
}
`;

const skip =
  process.platform !== "linux" || process.arch !== "x64" || !existsSync(join(root, "node_modules/webgpu"))
    ? "SwiftShader from npm and WebGPU under Node are for Linux x64"
    : false;

let project: string;
before(() => {
  project = emptyProject();
  writeFileSync(join(project, "program.mjs"), PROGRAM);
});
after(() => rmSync(project, { recursive: true, force: true }));

const run = (): Record<string, unknown> => {
  const env = { ...process.env, VK_ICD_FILENAMES: "", HICO_ADAPTER: "" };
  return JSON.parse(execFileSync(process.execPath, ["program.mjs"], { cwd: project, encoding: "utf8", env }));
};

test("without the driver's package the error has the line that installs it; with it the adapter opens", {
  skip,
}, () => {
  assert.match(String(run().error), /npm install --save-dev @sparticuz\/chromium@\d+\.\d+\.\d+/);
  link(project, "@sparticuz/chromium");
  const { name, sum, left } = run();
  assert.match(String(name), /^webgpu \(SwiftShader/);
  assert.equal(sum, 6);
  assert.equal(left, "", "the main thread's environment is as before");
});
