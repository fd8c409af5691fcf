/**
 * What a pretraining step costs at the paper's size, by the plan's own account: batch 64, d 512, K 2048, 64 frames of 2
 * persons with 25 joints. Plans are made for an adapter with no more than the storage buffers that all have.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { bytesKeptBeyond } from "../../../src/compiler/plan.ts";
import { planOf } from "../../../src/device/webgpu/planner.ts";
import type { PlanReport } from "../../../src/device/webgpu/planner.ts";
import { WebGpuDevice } from "../../../src/device/webgpu/webgpu-device.ts";
import type { EncoderName } from "../../../src/hico/index.ts";
import { HiCo, HiCoTrainer } from "../../../src/hico/index.ts";
import type { AdapterProfile } from "../../../src/shaders/kernel.ts";
import { describeKernel, printMatmulsProgram } from "../../../src/shaders/print/program.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { zeros } from "../../../src/tensor/create.ts";
import { realize } from "../../../src/tensor/program/realize.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { documentedTable } from "../../docs/documented.ts";
import { testAdapter } from "../../environments/test-gpu.ts";
import { batchOf, small } from "../helpers.ts";

const gpu: AdapterProfile = {
  kind: "gpu",
  maxStorageBuffers: 10,
  maxInvocations: 256,
  maxWorkgroupBytes: 16384,
  maxBindingBytes: 1 << 30,
  subgroups: false,
  f16: false,
};
const software: AdapterProfile = { ...gpu, kind: "cpu", maxStorageBuffers: 12 };

function planned(encoder: EncoderName, profile: AdapterProfile, hidden = 512): PlanReport {
  const trainer = new HiCoTrainer(new HiCo({ encoder, hidden }));
  const step = (queryTemporal: Tensor, querySpatial: Tensor, keyTemporal: Tensor, keySpatial: Tensor) => {
    const { loss, parts } = trainer.update({ queryTemporal, querySpatial, keyTemporal, keySpatial });
    return { loss, parts };
  };
  return planOf(
    step,
    [zeros([64, 64, 150]), zeros([64, 50, 192]), zeros([64, 64, 150]), zeros([64, 50, 192])] as const,
    profile,
  );
}

describe("a step at the paper's size", () => {
  const stated = documentedTable("encoder", "dispatches");
  for (const [label, encoder] of Object.entries({ GRU: "gru", LSTM: "lstm", Transformer: "transformer" } as const)) {
    for (const profile of [gpu, software]) {
      test(`${label} on a ${profile.kind === "gpu" ? "GPU" : "software driver"}: as documented`, () => {
        const { plan, dispatches, copies, memory } = planned(encoder, profile);
        const kept = bytesKeptBeyond(plan, plan.graph.outputs[0]);
        const [counted, held, left] = stated.get(label)!.map((cell) => cell.split(" / ")[profile === gpu ? 0 : 1]);
        const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
        assert.deepEqual(
          { dispatches: `${dispatches.length}`, held: megabytes(memory.held), kept: megabytes(kept) },
          { dispatches: counted, held: held.replace(" MB", ""), kept: left.replace(" MB", "") },
          "docs/benchmarks.md, A HiCo step at the paper's size",
        );
        assert.equal(copies, 0);
        assert.ok(memory.held <= 1.5 * kept, `${memory.held} bytes held, ${kept} kept for the backward pass`);
        assert.ok(memory.held <= 1.2 * memory.needed, `${memory.held} bytes held, ${memory.needed} needed`);
      });
    }
  }
});

test("in steady state a step is one submit, and makes no buffer, bind group or pipeline", async () => {
  const device = await WebGpuDevice.open({ adapter: testAdapter });
  setDefaultDevice(device);
  try {
    const trainer = new HiCoTrainer(new HiCo(small({ encoder: "gru", dropout: 0.1 })));
    const batch = batchOf(3);
    // The batch in the device's memory, as a loader leaves it.
    await realize(Object.values(batch));
    for (let n = 0; n < 3; n++) await trainer.step(batch);
    const before = { ...device.counters };
    for (let n = 0; n < 4; n++) {
      trainer.optimizer.lr = 0.01 / (n + 1);
      await trainer.step(batch);
    }
    const after = device.counters;
    assert.equal(after.submits - before.submits, 4);
    for (const made of ["buffersCreated", "bindGroupsCreated", "pipelinesCreated", "reads"] as const) {
      assert.equal(after[made] - before[made], 0, made);
    }
    const pointers = await trainer.model.c_queue_ptr.read();
    assert.deepEqual([...pointers], [(7 * 9) % 24]);
  } finally {
    device.close();
    setDefaultDevice(undefined);
  }
});

test("products that share a dispatch take no more workgroup memory than the adapter has", () => {
  const profile = { ...gpu, maxWorkgroupBytes: 49152 };
  let shared = 0;
  for (const { kernels } of planned("gru", profile, 128).plan.steps) {
    const products = kernels.filter((kernel) => kernel.kind === "matmul");
    if (products.length < 2) continue;
    const { name, wgsl } = printMatmulsProgram(
      kernels.map(describeKernel).join(" + "),
      products,
      [],
      profile,
      (node) => node,
    );
    const vectors = [...wgsl.matchAll(/var<workgroup> \w+: array<vec4<f32>, (\d+)>/g)].map(([, size]) => Number(size));
    const bytes = 16 * vectors.reduce((sum, size) => sum + size, 0);
    assert.ok(bytes > 0 && bytes <= profile.maxWorkgroupBytes, `${name}: ${bytes} bytes`);
    shared++;
  }
  assert.ok(shared > 10, `${shared} dispatches of several products`);
});
