/**
 * The package in browsers: esbuild, Vite, rollup and webpack each bundle a program that loads weights (safetensors,
 * a deflated npz, a PyTorch checkpoint; from bytes, a Blob, a Response and a stream) and trains, and Chromium comes to
 * the same bits as Node.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import type { BuildOptions } from "esbuild";
import { startChromium } from "../environments/chromium.ts";
import { encodeNpz, encodeSafetensors, encodeTorchCheckpoint, hostTensor } from "../../src/io/index.ts";
import { emptyProject } from "./installed.ts";
import { toolFolder } from "./tools.ts";

/** A program as a user writes it; `run` gives a checksum of the bits of all losses and weights. */
const PROGRAM = `
import { compile, crossEntropy, CpuDevice, setDefaultDevice, tensor } from "hico-webgpu";
import { Linear, Sequential, SGD } from "hico-webgpu/nn";
import { readNpz, readSafetensors, readTorchCheckpoint, encodeSafetensors } from "hico-webgpu/io";

const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

export async function run({ safetensors, npz, torch }) {
  setDefaultDevice(await CpuDevice.open({ threads: 1 }));
  const model = new Sequential(new Linear(2, 8), (x) => x.tanh(), new Linear(8, 2));
  const fromBlob = await readSafetensors(new Blob([bytesOf(safetensors)]));
  model.loadStateDict(fromBlob.tensors);
  const same = [
    readSafetensors(bytesOf(safetensors)).tensors,
    (await readSafetensors(new Response(bytesOf(safetensors)))).tensors,
    (await readSafetensors(new Blob([bytesOf(safetensors)]).stream())).tensors,
    await readNpz(new Response(bytesOf(npz))),
    await readTorchCheckpoint(new Blob([bytesOf(torch)])),
  ];
  const optimizer = new SGD(model.parameters(), { lr: 0.5, momentum: 0.9 });
  const [x, labels] = [tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), tensor(Int32Array.of(0, 1, 1, 0))];
  const step = compile(() => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(x), labels);
    loss.backward();
    optimizer.step();
    return loss;
  });
  const losses = [];
  for (let i = 0; i < 40; i++) losses.push(await (await step()).item());
  for (const state of same) {
    for (const [name, { data }] of fromBlob.tensors) {
      const other = state.get(name).data;
      if (data.length !== other.length || data.some((value, i) => value !== other[i])) throw new Error("not " + name);
    }
  }
  const weights = [];
  for (const parameter of model.parameters()) weights.push(...(await parameter.read()));
  let hash = 0;
  for (const word of new Uint32Array(Float32Array.from([...losses, ...weights]).buffer)) {
    hash = Math.imul(hash ^ word, 0x01000193) >>> 0;
  }
  return { hash, first: losses[0], last: losses[39] };
}
`;

let project: string;
let given: Record<string, string>;
let wanted: { hash: number; first: number; last: number };

before(() => {
  project = emptyProject({ optional: false });
  writeFileSync(join(project, "program.js"), PROGRAM);
  const values = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(1 + 7 * i) / 2);
  const state = new Map([
    ["0.weight", hostTensor("f32", [8, 2], values(16))],
    ["0.bias", hostTensor("f32", [8], values(8))],
    ["2.weight", hostTensor("f32", [2, 8], values(16))],
    ["2.bias", hostTensor("f32", [2], values(2))],
  ]);
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  given = {
    safetensors: base64(encodeSafetensors(state)),
    npz: base64(encodeNpz(state, { compress: true })),
    torch: base64(encodeTorchCheckpoint(state)),
  };
  const script = `import { run } from "./program.js";\nconsole.log(JSON.stringify(await run(${JSON.stringify(given)})));\nprocess.exit();\n`;
  writeFileSync(join(project, "node.js"), script);
  wanted = JSON.parse(execFileSync(process.execPath, ["node.js"], { cwd: project, encoding: "utf8" }));
  assert.ok(wanted.last < wanted.first / 2, "the program trains");
});
after(() => rmSync(project, { recursive: true, force: true }));

/** The tool's packages are found from the project as if they were installed there. */
function useTools(folder: string): void {
  const place = join(project, "tools");
  if (existsSync(place)) return;
  mkdirSync(place);
  symlinkSync(join(folder, "node_modules"), join(place, "node_modules"));
}

/** Runs a build script of the project; what it prints is shown where it fails. */
function build(name: string, script: string): string {
  const file = join(project, "tools", `${name}.mjs`);
  mkdirSync(join(project, "tools"), { recursive: true });
  writeFileSync(file, script);
  execFileSync(process.execPath, [file], { cwd: project, stdio: "pipe", encoding: "utf8" });
  return join(project, `${name}-out`, "program.js");
}

const BUILDS: Readonly<Record<string, string>> = {
  vite: `import { build } from "vite";
    await build({ configFile: false, root: process.cwd(), logLevel: "error", build: {
      outDir: "vite-out", lib: { entry: "program.js", formats: ["es"], fileName: () => "program.js" } } });`,
  rollup: `import { rollup } from "rollup"; import { nodeResolve } from "@rollup/plugin-node-resolve";
    const bundle = await rollup({ input: "program.js", plugins: [nodeResolve({ browser: true })],
      onwarn: ({ code, message }) => { if (code !== "CIRCULAR_DEPENDENCY") throw new Error(message); } });
    await bundle.write({ file: "rollup-out/program.js", format: "es", inlineDynamicImports: true });`,
  webpack: `import webpack from "webpack"; import { join } from "node:path";
    const stats = await new Promise((resolve, reject) => webpack({ mode: "production", target: "web",
      context: process.cwd(), entry: "./program.js", experiments: { outputModule: true }, performance: false,
      output: { path: join(process.cwd(), "webpack-out"), filename: "program.js", library: { type: "module" } },
    }, (error, stats) => error ? reject(error) : resolve(stats)));
    if (stats.hasErrors()) throw new Error(stats.toString("errors-only"));`,
};

async function bundleWithEsbuild(contents: string, settings: BuildOptions = {}): Promise<string> {
  const esbuild = await import("esbuild");
  const { outputFiles } = await esbuild.build({
    stdin: { contents, resolveDir: project },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    logLevel: "silent",
    ...settings,
    write: false,
  });
  return outputFiles[0].text;
}

describe("bundles", () => {
  for (const name of ["esbuild", ...Object.keys(BUILDS)]) {
    test(`${name} bundles training and files for Chromium, which comes to Node's bits`, async (context) => {
      let bundle = join(project, "esbuild-out.js");
      if (name === "esbuild") writeFileSync(bundle, await bundleWithEsbuild(PROGRAM));
      else {
        const found = await toolFolder("bundlers");
        if ("unavailable" in found) return context.skip(found.unavailable);
        useTools(found.folder);
        bundle = build(name, BUILDS[name]);
      }
      assert.ok(!/\bfrom\s*["']node:/.test(readFileSync(bundle, "utf8")), "no module of Node is imported");
      const browser = await startChromium();
      if ("unavailable" in browser) return context.skip(browser.unavailable);
      try {
        assert.deepEqual(await browser.run(pathToFileURL(bundle), "run", given), wanted);
      } finally {
        await browser.close();
      }
    });
  }
});

describe("a server's bundle", () => {
  const PROGRAM_OF_SERVER = `import { tensor, useDevice } from "hico-webgpu";
    async function main() {
      const device = await useDevice("cpu", { threads: 2 });
      console.log(device.name, await tensor([1, 2]).sum().item());
      await useDevice("webgpu", { adapter: "swiftshader" }).catch(({ message }) => console.log(message));
    }
    main();`;
  for (const [format, ending] of [
    ["esm", "mjs"],
    ["cjs", "cjs"],
  ] as const) {
    test(`as ${format} opens threads, and looks for a driver where it was started`, async () => {
      const file = `server.${ending}`;
      writeFileSync(join(project, file), await bundleWithEsbuild(PROGRAM_OF_SERVER, { format, platform: "node" }));
      const said = execFileSync(process.execPath, [file], { cwd: project, encoding: "utf8" });
      assert.match(said, /^cpu \(2 threads\) 3\n.*(?:which is not installed|is built for linux-x64)/);
    });
  }
});

describe("sizes", () => {
  const gzipped = async (contents: string): Promise<number> => gzipSync(await bundleWithEsbuild(contents)).length;

  test("what is not used is left out", async () => {
    const all = await gzipped('export * from "hico-webgpu"; export * from "hico-webgpu/io";');
    const cpu = await gzipped('export { CpuDevice, setDefaultDevice, tensor } from "hico-webgpu";');
    const graph = await gzipped('export { tensor } from "hico-webgpu";');
    const files = await gzipped('export { readSafetensors } from "hico-webgpu/io";');
    assert.ok(files <= 8_000, `${files} bytes for safetensors alone`);
    assert.ok(cpu <= 61_000, `${cpu} bytes for tensors and the device cpu`);
    assert.ok(graph <= 20_000, `${graph} bytes for tensors alone`);
    assert.ok(graph < cpu && cpu < all);
  });

  test("what is used is there: gradients of a variable, kernels of a fused op", async () => {
    const source = `import { attention, CpuDevice, setDefaultDevice, tensor, variable } from "hico-webgpu";
      const device = await CpuDevice.open({ threads: 1 });
      setDefaultDevice(device);
      const w = variable(tensor([2, 3]));
      w.square().sum().backward();
      const q = tensor(new Float32Array(16), { shape: [1, 2, 1, 8] });
      device.timing = true;
      await attention(q, q, q).read();
      console.log(JSON.stringify([[...(await w.grad.read())], device.kernelTimes().map(({ name }) => name)]));
      process.exit();`;
    writeFileSync(join(project, "gradients.mjs"), await bundleWithEsbuild(source));
    const said = execFileSync(process.execPath, ["gradients.mjs"], { cwd: project, encoding: "utf8" });
    assert.deepEqual(JSON.parse(said)[0], [4, 6]);
    assert.ok(JSON.parse(said)[1].includes("attention.forward"), said);
  });

  test("a bundle that names no device says how to open one", async () => {
    const source = 'import { tensor } from "hico-webgpu"; await tensor([1]).read();';
    writeFileSync(join(project, "none.mjs"), await bundleWithEsbuild(source));
    assert.throws(
      () => execFileSync(process.execPath, ["none.mjs"], { cwd: project, encoding: "utf8", stdio: "pipe" }),
      /no device is open: call await useDevice\(\)/,
    );
  });
});
