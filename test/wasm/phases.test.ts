/** What goes through a program's phases: engines compile it before anything runs, so it must stay small. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FunctionBuilder } from "../../src/wasm/assembler/function.ts";
import { i32 } from "../../src/wasm/assembler/instructions.ts";
import { ModuleBuilder } from "../../src/wasm/assembler/module.ts";
import { emitPhases } from "../../src/wasm/work-sharing.ts";

/** Bytes of a module that goes through phases of two kernels. */
function bytesOf(phases: number): number {
  const module = new ModuleBuilder();
  const kernel = module.function({ parameters: ["i32", "i32", "i32", "i32"] }, () => {}, "kernel0");
  const calls = [40, 50].map((units) => ({ kernel: 0, units, table: 64 }));
  const stages = Array.from({ length: phases }, () => ({ kernels: calls }));
  emitPhases(module, [kernel], stages, true);
  const bytes = module.encode(true);
  assert.ok(WebAssembly.validate(bytes));
  return bytes.length;
}

describe("phases of a program", () => {
  test("a phase takes as many bytes as the one before", () => {
    const [ten, twenty, hundred] = [10, 20, 100].map(bytesOf);
    // Numbers of counters and lengths take more bytes where they are larger.
    assert.ok(hundred - ten < 9.5 * (twenty - ten), `${ten}, ${twenty}, ${hundred} bytes`);
    assert.ok(hundred - ten < 90 * 350, `${(hundred - ten) / 90} bytes a phase`);
  });

  test("what scopes take is given to those after them", () => {
    const f = new FunctionBuilder({ parameters: ["i32"] });
    const [x] = f.parameters;
    for (let k = 0; k < 100; k++) {
      f.scope(() => {
        const outer = f.name(i32.add(x, i32.const(k)));
        f.scope(() => f.store(outer, f.name(i32.mul(outer, x))));
        f.store(outer, f.name(i32.sub(outer, x)));
      });
    }
    // After the length, which takes two bytes: how many runs of locals, and of each its length and type.
    assert.deepEqual([...f.encode().slice(2, 7)], [2, 1, 0x7f, 1, 0x7f]);
  });

  test("one without a first value is 0, whatever was used before", () => {
    const module = new ModuleBuilder();
    module.function(
      { parameters: [], result: "i32" },
      (f) => {
        f.scope(() => f.local("i32", i32.const(7)));
        f.result(f.local("i32"));
      },
      "zero",
    );
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.encode(false)), { env: { memory } });
    assert.equal((exports.zero as () => number)(), 0);
  });
});
