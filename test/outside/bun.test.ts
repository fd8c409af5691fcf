/** The installed package under Bun: training on `cpu` on one and two threads beside Node's, files, and WebGPU on a software driver. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { cached } from "../environments/cached.ts";
import { emptyProject, link, NAME } from "./installed.ts";

const PROGRAMS: Readonly<Record<string, string>> = {
  "train.mjs": `import { createHash } from "node:crypto";
    import { compile, Generator, useDevice } from "hico-webgpu";
    import { AdamW, GRU, Linear } from "hico-webgpu/nn";
    const device = await useDevice("cpu", { threads: Number(process.argv[2]) });
    const generator = new Generator(3);
    const gru = new GRU(8, 32, { generator });
    const head = new Linear(32, 4, { generator });
    const parameters = [...gru.parameters(), ...head.parameters()];
    const optimizer = new AdamW(parameters, { lr: 1e-2 });
    const step = compile((x) => {
      const loss = head.forward(gru.forward(x).y).square().mean();
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss;
    });
    const x = generator.normal([16, 10, 8]);
    for (let i = 0; i < 20; i++) await (await step(x)).item();
    const sum = createHash("sha256");
    for (const parameter of parameters) sum.update(new Uint8Array((await parameter.read("f32")).buffer));
    console.log(JSON.stringify({ hash: sum.digest("hex"), loss: await (await step(x)).item() }));
    device.close();`,
  "files.ts": `import { readSafetensors, writeSafetensors } from "hico-webgpu/io";
    writeSafetensors("w.safetensors", new Map([["w", { data: Float32Array.of(5), shape: [1], dtype: "f32" as const }]]));
    console.log(readSafetensors("w.safetensors").tensors.get("w")!.data[0]);`,
  "webgpu.ts": `import { tensor, useDevice } from "hico-webgpu";
    const device = await useDevice("webgpu", { adapter: "swiftshader" });
    console.log(device.name, await tensor([1, 2, 3]).sum().item());
    device.close();`,
};

const bun = cached("bun/node_modules/@oven/bun-linux-x64/bin/bun");
const skip = existsSync(bun) ? false : "there is no Bun; scripts/runtime.sh bun gets it";
let project: string;
before(() => {
  project = emptyProject();
  for (const [name, source] of Object.entries(PROGRAMS)) writeFileSync(join(project, name), source);
});
after(() => rmSync(project, { recursive: true, force: true }));

function run(program: string, args: readonly string[]): string {
  const env = { ...process.env, NO_COLOR: "1", HICO_ADAPTER: "", HICO_DEVICE: "" };
  return execFileSync(program, args, { cwd: project, encoding: "utf8", env }).trim();
}

test("cpu trains to the same bits on one and two threads, and to Node's where the multiply-add is as fused as there", {
  skip,
}, () => {
  const train = (program: string, threads: number): { hash: string; loss: number } =>
    JSON.parse(run(program, ["train.mjs", String(threads)]));
  const fused = (program: string): boolean =>
    JSON.parse(run(program, [join("node_modules", NAME, "dist/cli/main.js"), "info", "--json"])).cpu.fusedMultiplyAdd;
  const [one, two, node] = [train(bun, 1), train(bun, 2), train(process.execPath, 2)];
  assert.deepEqual(one, two);
  assert.ok(Math.abs(one.loss / node.loss - 1) < 1e-3, `${one.loss} and ${node.loss}`);
  assert.equal(one.hash === node.hash, fused(bun) === fused(process.execPath));
});

test("files are written and read", { skip }, () => {
  assert.equal(run(bun, ["files.ts"]), "5");
});

test("WebGPU runs on the driver that is picked by name", { skip }, () => {
  link(project, "@sparticuz/chromium");
  assert.match(run(bun, ["webgpu.ts"]), /^webgpu \(SwiftShader.* 6$/);
});
