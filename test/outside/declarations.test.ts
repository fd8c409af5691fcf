/**
 * The declarations stand alone: a project that checks its libraries compiles against every entry, with the oldest
 * TypeScript promised, this one's and the newest, without any types of WebGPU or of Node.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { emptyProject, entries, link, root } from "./installed.ts";
import { toolFolder } from "./tools.ts";

let project: string;
before(() => {
  project = emptyProject();
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
      assert.equal(errors(join(found.folder, "node_modules", name, "lib/tsc.js"), CHECKED), "");
    });
  }

  test("with this project's TypeScript, as a bundler resolves too", () => {
    assert.equal(errors(own, CHECKED), "");
    assert.equal(errors(own, { ...CHECKED, module: "ESNext", moduleResolution: "bundler" }), "");
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
