/**
 * The declarations stand alone: a project that checks its libraries compiles against every entry, with the oldest
 * TypeScript promised, this one's and the newest, without any types of WebGPU or of Node.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { emptyProject, entries, link, NAME, root } from "./installed.ts";
import { keepingAll } from "./surface.ts";
import { toolFolder } from "./tools.ts";

/** What a program of several parts hands from one to the other, without a cast. */
const HANDED_ON = `
import { compile, tensor, Tensor } from "hico-webgpu";
import { Adam, Linear, readState } from "hico-webgpu/nn";
import {
  encodeNpy, encodeNpz, encodeSafetensors, encodeTorchCheckpoint, readNpyArray, readNpz, readSafetensors,
  readTorchCheckpoint, stateDictFor, stateDictOf, writeTorchCheckpoint,
} from "hico-webgpu/io";

// Where the dtype is named, read() gives its array.
const floats: Float32Array = await tensor([1, 2]).read("f32");
const whole: Int32Array = await tensor(Int32Array.of(1)).read("i32");
const truths: Uint8Array = await tensor([[true, false]]).read("bool");
const sum: number = floats.reduce((a, b) => a + b, 0) + whole.length + truths.length;

// tensor() takes what readers, state dictionaries and programs have.
const model = new Linear(2, 1);
const state = await readState(model.stateDict());
const npy = readNpyArray(encodeNpy(state.get("weight")!));
const read = [...readNpz(encodeNpz(state)).values(), ...readSafetensors(encodeSafetensors(state)).tensors.values(), npy];
const rows: readonly (readonly number[])[] = [[1, 2], [3, 4]];
export const tensors: Tensor[] = [...model.stateDict().values(), ...state.values(), ...read].map((one) => tensor(one));
export const made = [tensor(rows), tensor(true), tensor(5)];

// A checkpoint takes what an optimizer and a model have, and both take it back.
const optimizer = new Adam(model.parameters(), { lr: 0.1 });
const saved = { model: state, optimizer: await optimizer.torchState(), epoch: 3 };
const checkpoint = readTorchCheckpoint(encodeTorchCheckpoint(saved));
export const write = (path: string): void => writeTorchCheckpoint(path, saved);
model.loadStateDict(stateDictOf(checkpoint, "model"));
model.loadStateDict(readTorchCheckpoint(encodeTorchCheckpoint(stateDictFor(state))) as ReturnType<typeof stateDictOf>);
optimizer.loadTorchState((checkpoint as Map<string, unknown>).get("optimizer"));
export const step = compile((x: Tensor) => model.forward(x).mean());
export const loss: number = (await (await step(tensor(rows))).item()) + sum;
`;

let project: string;
before(() => {
  project = emptyProject();
  writeFileSync(join(project, "handed-on.ts"), HANDED_ON);
  const lines = entries.map((entry, i) => `import * as entry${i} from "${entry}";\nexport { entry${i} };\n`);
  writeFileSync(join(project, "all.ts"), lines.join(""));
});
after(() => rmSync(project, { recursive: true, force: true }));

const CHECKED = {
  target: "ES2022",
  module: "NodeNext",
  lib: ["ES2022", "DOM"],
  types: [] as string[],
  strict: true,
  noEmit: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
};

/** What a compiler finds wrong; "" where all is well. */
function errors(tsc: string, options: object, file = "all.ts"): string {
  writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: [file] }));
  try {
    return execFileSync(process.execPath, [tsc, "-p", project, "--pretty", "false"], { encoding: "utf8" });
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout ?? error);
  }
}

const own = join(root, "node_modules/typescript/lib/tsc.js");

describe("the declarations stand alone", () => {
  for (const [what, name] of [
    ["the oldest", "ts-5.4"],
    ["the newest", "ts-7"],
  ]) {
    test(`with ${what} TypeScript`, async (context) => {
      const found = await toolFolder("typescript");
      if ("unavailable" in found) return context.skip(found.unavailable);
      const tsc = join(found.folder, "node_modules", name, "lib/tsc.js");
      assert.equal(errors(tsc, CHECKED), "");
      assert.equal(errors(tsc, CHECKED, "handed-on.ts"), "");
    });
  }

  test("with this project's TypeScript, as a bundler resolves too", () => {
    assert.equal(errors(own, CHECKED), "");
    assert.equal(errors(own, { ...CHECKED, module: "ESNext", moduleResolution: "bundler" }), "");
    assert.equal(errors(own, CHECKED, "handed-on.ts"), "");
  });

  test("and name every type that a program keeps without naming it, so that its own declarations can", () => {
    const file = "keeping.ts";
    writeFileSync(join(project, file), keepingAll(join(project, "node_modules", NAME)));
    const kept = { ...CHECKED, noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: "kept" };
    const options = { ...kept, exactOptionalPropertyTypes: false, skipLibCheck: true };
    assert.equal(errors(own, options, file), "");
  });

  test("and take WebGPU's types where a project has them", () => {
    link(project, "@webgpu/types");
    writeFileSync(
      join(project, "device.ts"),
      'import { WebGpuDevice } from "hico-webgpu";\n' +
        "const { gpu } = await WebGpuDevice.open();\nexport const device: GPUDevice = gpu.device;\n",
    );
    assert.equal(errors(own, { ...CHECKED, types: ["@webgpu/types"] }, "device.ts"), "");
    assert.match(errors(own, CHECKED, "device.ts"), /Cannot find name 'GPUDevice'/);
  });
});
