/** Dispatches of the benchmark's three steps: those that docs/benchmarks.md and docs/performance.md state. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { stepOf } from "../../bench/engines/ours-models.ts";
import { workload, workloadNames } from "../../bench/workloads.ts";
import { planOf } from "../../src/device/webgpu/planner.ts";
import type { AdapterProfile } from "../../src/shaders/kernel.ts";
import { type Tensor, tensor, variable } from "../../src/tensor/index.ts";
import { documentedTable } from "./documented.ts";

/** A software driver, with the storage buffers that all adapters have. */
const software: AdapterProfile = {
  kind: "cpu",
  maxStorageBuffers: 10,
  maxInvocations: 256,
  maxWorkgroupBytes: 16384,
  maxBindingBytes: 1 << 30,
  subgroups: false,
  f16: false,
};

const planned = new Map(
  workloadNames.map((name) => {
    const data = workload(name);
    const parameters = Object.fromEntries(
      Object.entries(data.parameters).map(([key, { shape, data }]) => [key, variable(tensor(data, { shape }))]),
    );
    const inputs: [Tensor, Tensor] = [tensor(data.input.data, { shape: data.input.shape }), tensor(data.labels)];
    return [name, planOf(stepOf(data, parameters), inputs, software)];
  }),
);

const countOf = (name: string): number => planned.get(name as "mlp")!.dispatches.length;
/** Dispatches of a step whose kernels have names that begin so. */
const count = (name: string, begin: string): number =>
  planned.get(name as "mlp")!.dispatches.filter((kernel) => kernel.startsWith(begin)).length;

describe("the counts in the documentation", () => {
  test("docs/benchmarks.md: dispatches and submits of a steady step, and nothing copied after them", () => {
    const [[name, cells]] = documentedTable("WebGPU calls per steady step", ...workloadNames);
    assert.equal(name, "this engine: dispatches / submits");
    assert.deepEqual(
      cells,
      workloadNames.map((workload) => `${countOf(workload)} / 1`),
    );
    for (const [workload, { copies }] of planned) assert.equal(copies, 0, workload);
  });

  test("docs/performance.md: what they are", () => {
    const text = readFileSync(new URL("../../docs/performance.md", import.meta.url), "utf8").replace(/\s+/g, " ");
    for (const sentence of [
      `the mlp's ${countOf("mlp")} dispatches are ${count("mlp", "matmul")} of products, ${count("mlp", "reduce")} of ` +
        `reductions and ${count("mlp", "elementwise")} elementwise`,
      `of the encoder's ${countOf("encoder")}, ${count("encoder", "matmul")} are products and ` +
        `${count("encoder", "attention")} attention`,
      `of the GRU's ${countOf("gru")}, ${count("gru", "gruScan")} are the scan`,
    ])
      assert.ok(text.includes(sentence), `docs/performance.md does not say "${sentence}"`);
  });
});
