/** One function for kernels of equal code: those that differ in sizes, or in which host values they read, among them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CpuPlanner } from "../../src/device/cpu/planner.ts";
import { layOut } from "../../src/device/cpu/program-layout.ts";
import { tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { wasmFeatures } from "../../src/wasm/assembler/features.ts";
import { emitProgram } from "../../src/wasm/program.ts";

const features = { ...wasmFeatures(), wide: true };
const planner = new CpuPlanner(features);

const given = (...shape: number[]): Tensor => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape });

type Run = (table: number, begin: number, end: number, own: number) => void;

/** The kernels some results take, compiled. */
function compiled(...results: readonly Tensor[]) {
  const plan = planner.plan(
    planner.graph(
      results.map((r) => r.node),
      [],
    ),
  );
  const { entries } = layOut(plan, planner);
  const module = new WebAssembly.Module(emitProgram(entries, features, false));
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536 });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { entries, functions: entries.map((_, i) => exports[`kernel${i}`] as Run), memory };
}

function count(...results: readonly Tensor[]): [kernels: number, functions: number] {
  const { entries, functions } = compiled(...results);
  return [entries.length, new Set(functions).size];
}

describe("kernels of equal code are one function", () => {
  test("loops of any length, whole eights or not", () => {
    const update = (n: number) => given(n).mul(0.9).add(given(n));
    assert.deepEqual(count(...[128, 640, 1 << 16, 1 << 20].map(update)), [4, 1]);
    assert.deepEqual(count(...[125, 640].map(update)), [2, 2]);
  });

  test("loops and reductions over any number of rows", () => {
    assert.deepEqual(count(...[5, 64, 4096].map((n) => given(n, 128).mul(given(128)))), [3, 1]);
    assert.deepEqual(count(...[7, 300, 4096].map((n) => given(n, 128).square().sum(1))), [3, 1]);
    assert.deepEqual(count(...[64, 128].map((n) => given(300, n).square().sum(1))), [2, 2]);
  });

  test("host values of their own", () => {
    const scaled = (n: number) => given(n).mul(tensor(n));
    assert.deepEqual(count(...[128, 128, 512].map(scaled)), [2, 1]);
  });

  test("a last unit of fewer rows ends with them", () => {
    const rows = 301;
    const { entries, functions, memory } = compiled(given(rows, 256).square().sum(1));
    const [{ kernel, inputs, sizes }] = entries;
    const [rowsPerUnit] = kernel.sizes!;
    assert.ok(rows % rowsPerUnit > 0, `units of ${rowsPerUnit} rows`);
    const words = new Uint32Array(memory.buffer);
    const [result, source] = [1024, 2048];
    inputs.forEach((entry, k) => (words[entry] = 4 * (k === 0 ? source : result)));
    sizes!.forEach((entry, k) => (words[entry] = kernel.sizes![k]));
    words[result + rows] = 77;
    functions[0](0, 0, kernel.units, 4096 * 1024);
    assert.equal(words[result + rows], 77);
  });
});
