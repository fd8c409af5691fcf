/** The benchmark's own parts: its data are fixed, its checks reject what they should, its counter counts. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { disagreements, type LossCurve } from "../../bench/agreement.ts";
import { countWebGpuCalls } from "../../bench/count-webgpu-calls.ts";
import { jaxJs } from "../../bench/engines/jax-js.ts";
import { ours } from "../../bench/engines/ours.ts";
import { tfjs } from "../../bench/engines/tfjs.ts";
import { linearGrowth } from "../../bench/linear-growth.ts";
import { referenceLoss } from "../../bench/reference-loss.ts";
import { requestAdapter } from "../../bench/webgpu-environment.ts";
import { workload, workloadNames } from "../../bench/workloads.ts";

describe("workloads", () => {
  test("are the same bits each time, and finite", () => {
    for (const name of workloadNames) {
      const digest = () => {
        const hash = createHash("sha256");
        const { input, labels, parameters } = workload(name);
        for (const { shape, data } of [input, ...Object.values(parameters)]) {
          assert.equal(
            shape.reduce((a, b) => a * b, 1),
            data.length,
          );
          assert.ok(data.every(Number.isFinite));
          hash.update(data);
        }
        return hash.update(labels).digest("hex");
      };
      assert.equal(digest(), digest());
    }
  });

  test("use every class, and noise of unit scale", () => {
    for (const name of workloadNames) {
      const { labels, classes, input } = workload(name);
      assert.equal(new Set(labels).size, classes);
      assert.ok(labels.every((label) => label >= 0 && label < classes));
      // Unit noise plus a prototype of 0.25: the variance is 1 + 1/16.
      const mean = input.data.reduce((a, b) => a + b, 0) / input.data.length;
      const variance = input.data.reduce((a, b) => a + (b - mean) ** 2, 0) / input.data.length;
      assert.ok(Math.abs(mean) < 0.05, `${name}: mean ${mean}`);
      assert.ok(Math.abs(variance - 1.0625) < 0.05, `${name}: variance ${variance}`);
    }
  });

  test("of an unknown name are refused by name", () => {
    assert.throws(() => workload("cnn"), /"cnn" is not a workload.*mlp, encoder, gru/);
  });
});

test("peers train the mlp and the GRU to the float64 reference's loss, and downwards as this engine does", async () => {
  for (const [name, peers] of [
    ["mlp", [jaxJs("wasm", true), tfjs()]],
    ["gru", [tfjs()]],
  ] as const) {
    const data = workload(name);
    const curves: LossCurve[] = [];
    for (const engine of [ours("cpu"), ...peers]) {
      assert.equal(await engine.available(), true);
      const run = await engine.prepare(data);
      const losses: number[] = [];
      for (let i = 0; i < 3; i++) {
        await run.step();
        losses.push(await run.loss());
      }
      await run.dispose();
      assert.ok(losses[1] < losses[0] - 1e-3 && losses[2] < losses[1] - 1e-3, `${engine.name}: ${losses}`);
      curves.push({ engine: engine.name, losses });
    }
    assert.deepEqual(disagreements(referenceLoss(data), curves), []);
  }
});

describe("linear growth", () => {
  const sizes = [32, 64, 128, 256];

  test("a straight line is found, and has no steps", () => {
    const { intercept, slope, points, steps } = linearGrowth(
      sizes,
      sizes.map((size) => 20 + 3 * size),
    );
    assert.ok(Math.abs(intercept - 20) < 1e-9 && Math.abs(slope - 3) < 1e-12);
    assert.ok(points.every(({ cost, line }) => Math.abs(cost - line) < 1e-9));
    assert.deepEqual(steps, []);
    // Some noise is no step.
    assert.deepEqual(linearGrowth(sizes, [116 * 1.03, 212 * 0.97, 404 * 1.03, 788 * 0.98]).steps, []);
  });

  test("a jump is a step where it is, and quadratic growth one at the end", () => {
    assert.deepEqual(
      linearGrowth(
        sizes,
        sizes.map((size) => 20 + 3 * size + (size >= 128 ? 150 : 0)),
      ).steps,
      [128],
    );
    assert.deepEqual(
      linearGrowth(
        sizes,
        sizes.map((size) => 20 + 3 * size + (size * size) / 50),
      ).steps,
      [256],
    );
  });
});

describe("agreement", () => {
  const right = { engine: "right", losses: [2.3, 2.29, 2.28] };

  test("accepts rounding", () => {
    assert.deepEqual(disagreements(2.3, [right, { engine: "rounded", losses: [2.300001, 2.29, 2.280001] }]), []);
  });

  test("rejects a wrong first loss, a wrong gradient, and NaN", () => {
    assert.match(disagreements(2.4, [right]).join(), /right: the first loss is 2\.3, should be 2\.4/);
    const stuck = disagreements(2.3, [right, { engine: "stuck", losses: [2.3, 2.2999, 2.2795] }]);
    assert.equal(stuck.length, 1);
    assert.match(stuck[0], /stuck: the fall of the loss \(by right\)/);
    assert.equal(disagreements(2.3, [right, { engine: "nan", losses: [NaN, NaN, NaN] }]).length, 3);
  });
});

test("the WebGPU counter sees an engine's calls, and lets go", async () => {
  const adapter = await requestAdapter();
  const device = await adapter.requestDevice();
  const counter = countWebGpuCalls();
  const makeBuffer = () => device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST });
  const buffer = makeBuffer();
  const module = device.createShaderModule({
    code:
      "@group(0) @binding(0) var<storage, read_write> x: array<u32>;" +
      "@compute @workgroup_size(1) fn main() { x[0] += 1u; }",
  });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  });
  device.queue.writeBuffer(buffer, 0, new Uint32Array(4));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(1);
  pass.dispatchWorkgroups(1);
  pass.end();
  device.queue.submit([encoder.finish()]);
  assert.deepEqual(counter.read(), {
    dispatches: 2,
    submits: 1,
    buffers: 1,
    bindGroups: 1,
    pipelines: 1,
    shaderModules: 1,
    writes: 1,
  });
  counter.reset();
  assert.equal(counter.read().buffers, 0);
  counter.uninstall();
  makeBuffer();
  assert.equal(counter.read().buffers, 0);
  device.destroy();
});
