import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import type { SystemDescription } from "../../src/device/info.ts";
import { usefulLimits } from "../../src/device/webgpu/gpu/describe.ts";
import { HICO } from "./run-hico.ts";

/** Runs `hico` with arguments, and without the environment's wishes about devices. */
function hico(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{
  code: number;
  stdout: string;
  stderr: string;
}> {
  const env: Record<string, string | undefined> = { ...process.env, NO_COLOR: "1" };
  for (const name of ["HICO_DEVICE", "HICO_ADAPTER", "HICO_DEBUG"]) delete env[name];
  return new Promise((resolve) => {
    execFile(HICO[0], [...HICO.slice(1), ...args], { env: { ...env, ...environment } }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

test("hico info --json tells the adapter, its profile and the choice", async () => {
  const { code, stdout } = await hico(["info", "--json", "--adapter", "swiftshader"]);
  assert.equal(code, 0);
  const system = JSON.parse(stdout) as SystemDescription;
  const [adapter] = system.adapters;
  assert.match(adapter!.device, /SwiftShader/);
  assert.ok(adapter!.isSoftware);
  assert.equal(adapter!.profile.kind, "cpu");
  assert.equal(adapter!.profile.maxStorageBuffers, adapter!.limits.maxStorageBuffersPerShaderStage);
  assert.ok(usefulLimits.every((name) => adapter!.limits[name] > 0));
  assert.equal(system.choice!.device, "webgpu");
  assert.equal(system.choice!.adapter!.device, adapter!.device);
});

test("HICO_ADAPTER is the same as --adapter; the text says what is taken and why", async () => {
  const { code, stdout } = await hico(["info"], { HICO_ADAPTER: "swiftshader" });
  assert.equal(code, 0);
  assert.match(stdout, /1\. SwiftShader Device .*computes on the CPU/);
  assert.match(stdout, /maxStorageBuffersPerShaderStage +\d+/);
  assert.match(stdout, /Device "auto" takes: webgpu, because the adapter "swiftshader" was asked for/);
});

test("without a wish, no software adapter is taken", async () => {
  const { code, stdout } = await hico(["info", "--json"]);
  assert.equal(code, 0);
  const { adapters, choice } = JSON.parse(stdout) as SystemDescription;
  assert.equal(
    choice!.device === "webgpu",
    adapters.some(({ isSoftware }) => !isSoftware),
  );
});

test("what cannot be had is said, with exit code 1", async () => {
  const absent = await hico(["info", "--adapter", "voodoo 3dfx"]);
  assert.equal(absent.code, 1);
  assert.match(absent.stdout, /no WebGPU adapter fits "voodoo 3dfx"/);
  const device = await hico(["info"], { HICO_DEVICE: "tpu" });
  assert.equal(device.code, 1);
  assert.match(device.stdout, /there is no device "tpu"; choose one of auto, /);
});

test("help has examples; an unknown option is refused and the known ones are named", async () => {
  const help = await hico(["info", "--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /USAGE hico info[^]*--adapter[^]*EXAMPLES[^]*hico info --adapter swiftshader/);
  const unknown = await hico(["info", "--jsno"]);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /^hico: unknown option --jsno; there is --device, --adapter, --threads, --json$/m);
  assert.equal(unknown.stdout, "");
  const more = await hico(["info", "cpu"]);
  assert.equal(more.code, 1);
  assert.match(more.stderr, /^hico: "cpu" has no place: no argument without an option's name is taken; see --help$/m);
});
