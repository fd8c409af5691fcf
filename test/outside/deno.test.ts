/**
 * The installed package under Deno with the fewest permissions: none to compute, its folder's to write a file; where one
 * is missing, the error names it.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { denoExecutable, denoUnavailable } from "../environments/deno.ts";
import { emptyProject } from "./installed.ts";

const PROGRAMS: Readonly<Record<string, string>> = {
  "cpu.ts": `import { tensor, useDevice } from "hico-webgpu";
    const device = await useDevice("cpu");
    console.log(device.kind, await tensor([1, 2, 3]).sum().item());
    device.close();`,
  "files.ts": `import { readSafetensors, writeSafetensors } from "hico-webgpu/io";
    const w = { data: Float32Array.of(5), shape: [1], dtype: "f32" as const };
    for (let i = 0; i < 2; i++) writeSafetensors("w.safetensors", new Map([["w", w]]));
    console.log(readSafetensors("w.safetensors").tensors.get("w")!.data[0]);`,
  "driver.ts": `import { useDevice } from "hico-webgpu";
    await useDevice("webgpu", { adapter: "lavapipe" });`,
};

const skip = denoUnavailable() ?? false;
let project: string;
before(() => {
  project = emptyProject({ optional: false });
  for (const [name, source] of Object.entries(PROGRAMS)) writeFileSync(join(project, name), source);
});
after(() => rmSync(project, { recursive: true, force: true }));

function deno(program: string, ...permissions: readonly string[]): { code: number | null; out: string; said: string } {
  const args = ["run", "--no-prompt", "--no-check", ...permissions, program];
  const env = { ...process.env, NO_COLOR: "1", DENO_DIR: join(project, ".deno"), DENO_NO_UPDATE_CHECK: "1" };
  const { status, stdout, stderr } = spawnSync(denoExecutable, args, { cwd: project, encoding: "utf8", env });
  return { code: status, out: stdout.trim(), said: stderr };
}

test("cpu computes without any permission", { skip }, () => {
  const { code, out, said } = deno("cpu.ts");
  assert.equal(code, 0, said);
  assert.equal(out, "cpu 6");
});

test("files need to be read and written, and nothing else; what is missing is named", { skip }, () => {
  const { code, out, said } = deno("files.ts", "--allow-read=.", "--allow-write=.");
  assert.equal(code, 0, said);
  assert.equal(out, "5");
  assert.deepEqual(
    readdirSync(project).filter((name) => name.endsWith(".tmp")),
    [],
  );
  assert.match(deno("files.ts", "--allow-read=.").said, /w\.safetensors.*--allow-write/);
  assert.match(deno("files.ts", "--allow-write=.").said, /--allow-read/);
});

test("a driver that is picked by name says which permission it lacks", { skip }, () => {
  assert.match(deno("driver.ts").said, /--allow-env .*HICO_CACHE|--allow-\w+/);
});
