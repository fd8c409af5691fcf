/** GradScaler against PyTorch's steps (test/fixtures/golden/make_scaler.py), compiled and not, and its state. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import { AdamW, clipGradNorm, GradScaler, SGD } from "../../src/nn/index.ts";
import type { GradScalerOptions } from "../../src/nn/index.ts";
import { compile, tensor, variable } from "../../src/tensor/index.ts";
import type { Tensor, Variable } from "../../src/tensor/index.ts";
import { encodeCheckpoint, loadCheckpoint } from "../../src/train/index.ts";
import { testAdapter } from "../environments/test-gpu.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import { onEach, onReference } from "./helpers.ts";

/** The state after a step, as PyTorch has it. */
interface Step {
  readonly p: number[];
  readonly scale: number;
  readonly tracker: number;
  readonly slots: Record<string, number[]>;
  readonly step: number | null;
}
const golden = JSON.parse(readFileSync(new URL("../fixtures/golden/scaler.json", import.meta.url), "utf8")) as {
  readonly p: number[];
  readonly factors: (number | null)[][];
  readonly sgd: Step[];
  readonly adamw: Step[];
};
const FACTORS = golden.factors.map((row) => row.map((f) => f ?? Infinity));

let gpu: WebGpuDevice;
before(async () => {
  gpu = await WebGpuDevice.open({ adapter: testAdapter });
});
after(() => gpu.close());

/** A parameter, its optimizer and its scaler, and a step of them on Σ f·p². */
function training(kind: "sgd" | "adamw", dtype: "f32" | "f64" = "f32", options: GradScalerOptions = {}) {
  const p = variable(tensor(golden.p, { dtype }), { name: "p" });
  const optimizer = kind === "sgd" ? new SGD([p], { lr: 0.05, momentum: 0.9 }) : new AdamW([p], { lr: 0.1 });
  const scaler = new GradScaler({ initScale: 1024, growthInterval: 2, ...options });
  const step = (f: Tensor): Tensor => {
    const loss = p.square().mul(f).sum();
    optimizer.zeroGrad();
    scaler.scale(loss).backward();
    scaler.step(optimizer);
    scaler.update();
    return loss;
  };
  const compiled = compile(step);
  const run = async (i: number, how: "eager" | "compiled"): Promise<void> => {
    const f = tensor(FACTORS[i]!, { dtype });
    if (how === "compiled") await compiled(f);
    else step(f);
  };
  /** All that a step changes. */
  const state = async (): Promise<Record<string, number[]>> => {
    const all: [string, Variable][] = [["p", p], ...optimizer.stateDict(), ...scaler.stateDict()];
    return Object.fromEntries(await Promise.all(all.map(async ([name, v]) => [name, await numbers(v)] as const)));
  };
  return { p, optimizer, scaler, run, state };
}

describe("GradScaler", () => {
  for (const kind of ["sgd", "adamw"] as const) {
    for (const how of ["eager", "compiled"] as const) {
      onEach(
        `steps as PyTorch's with ${kind}, ${how}: an overflow skips the update and halves the scale, updates in a row double it`,
        () => gpu,
        async (device) => {
          const dtype = device.supports("f64") ? "f64" : "f32";
          const bar = dtype === "f64" ? 1e-9 : 2e-6;
          const { scaler, run, state } = training(kind, dtype);
          for (const [i, expected] of golden[kind].entries()) {
            await run(i, how);
            const found = await state();
            assertClose(found.p!, expected.p, bar);
            assert.equal(await scaler.getScale(), expected.scale);
            assert.deepEqual(found._growth_tracker, [expected.tracker]);
            for (const [slot, values] of Object.entries(expected.slots))
              assertClose(found[`state.0.${slot}`]!, values, bar);
            if (expected.step !== null) assert.deepEqual(found.step, [expected.step]);
          }
        },
      );
    }
  }

  onEach(
    "compiled and eager steps, read at every step or not, give the same bits",
    () => gpu,
    async () => {
      const ends: Record<string, number[]>[] = [];
      for (const how of ["eager", "compiled"] as const) {
        for (const reads of [false, true]) {
          const { run, state } = training("adamw");
          for (const i of FACTORS.keys()) {
            await run(i, how);
            if (reads) await state();
          }
          ends.push(await state());
        }
      }
      for (const end of ends.slice(1)) assert.deepEqual(end, ends[0]);
    },
  );

  onEach(
    "a checkpoint and a state dictionary go on with the same bits",
    () => gpu,
    async (device) => {
      // f32 is f64 on the reference device, which a file would round.
      const dtype = device.supports("f64") ? "f64" : "f32";
      const whole = training("adamw", dtype);
      for (const i of FACTORS.keys()) await whole.run(i, "compiled");
      const first = training("adamw", dtype);
      for (const i of [0, 1, 2, 3]) await first.run(i, "compiled");
      const parts = ({ p, optimizer, scaler }: typeof first) => ({ model: new Map([["p", p]]), optimizer, scaler });
      const bytes = await encodeCheckpoint(parts(first));
      const second = training("adamw", dtype, { initScale: 8 });
      await loadCheckpoint(bytes, parts(second));
      for (const i of [4, 5, 6]) await second.run(i, "compiled");
      assert.deepEqual(await second.state(), await whole.state());

      const other = new GradScaler({ initScale: 8 });
      other.loadStateDict(second.scaler.stateDict());
      assert.equal(await other.getScale(), await whole.scaler.getScale());
      assert.deepEqual(await numbers(other.stateDict().get("_growth_tracker")!), [0]);
    },
  );

  test("unscaled gradients can be clipped, and a second optimizer that overflows holds the first one's scale", () =>
    onReference(async () => {
      const [a, b] = [variable(tensor([3, 4])), variable(tensor([1]))];
      const [first, second] = [new SGD([a], { lr: 1 }), new SGD([b], { lr: 1 })];
      const scaler = new GradScaler({ initScale: 64 });
      scaler.scale(a.square().sum().mul(0.5).add(b.mul(Infinity).sum())).backward();
      scaler.unscale(first);
      assertClose(await numbers(a.grad!), [3, 4], 1e-12);
      assertClose([await clipGradNorm([a], 1).item()], [5], 1e-6);
      scaler.step(first);
      scaler.step(second);
      scaler.update();
      assertClose(await numbers(a), [2.4, 3.2], 1e-6);
      assert.deepEqual(await numbers(b), [1]);
      assert.equal(await scaler.getScale(), 32);
    }));

  test("parameters without gradients take no part, and a step of Adam that is skipped is not counted", () =>
    onReference(async () => {
      const [a, b] = [variable(tensor([1])), variable(tensor([1]))];
      const optimizer = new AdamW([a, b], { lr: 0.1, weightDecay: 0 });
      const scaler = new GradScaler();
      for (const factor of [Infinity, 1, NaN, 1]) {
        optimizer.zeroGrad();
        scaler.scale(a.mul(factor).sum()).backward();
        scaler.step(optimizer);
        scaler.update();
      }
      assertClose(await numbers(a), [0.8], 1e-6);
      assert.deepEqual(await numbers(b), [1]);
      assert.deepEqual(await numbers(optimizer.stateDict().get("step")!), [2, 0]);
      assert.equal(await scaler.getScale(), 16384);
    }));

  test("the scale grows no further than is finite, and can be set", () =>
    onReference(async () => {
      const p = variable(tensor([1]));
      const optimizer = new SGD([p], { lr: 0.1 });
      const scaler = new GradScaler({ initScale: 1, growthFactor: 1e300, growthInterval: 1 });
      for (const expected of [1e300, 1e300]) {
        p.grad = tensor([0]);
        scaler.step(optimizer);
        scaler.update();
        assert.equal(await scaler.getScale(), expected);
      }
      scaler.update(128);
      assert.equal(await scaler.getScale(), 128);
    }));

  test("one that is not enabled is not there", () =>
    onReference(async () => {
      const p = variable(tensor([1]));
      const optimizer = new SGD([p], { lr: 0.1 });
      const scaler = new GradScaler({ enabled: false });
      const loss = p.sum();
      assert.equal(scaler.scale(loss), loss);
      loss.backward();
      scaler.unscale(optimizer);
      scaler.step(optimizer);
      scaler.update();
      assertClose(await numbers(p), [0.9], 1e-6);
      assert.equal(await scaler.getScale(), 1);
      assert.equal(scaler.stateDict().size, 0);
    }));

  test("the order of calls counts for compiled functions as well, wherever its update is", () =>
    onReference(async () => {
      const p = variable(tensor([1]));
      const optimizer = new SGD([p], { lr: 0.125 });
      const scaler = new GradScaler({ initScale: 8, growthInterval: 2 });
      const step = compile(() => {
        optimizer.zeroGrad();
        scaler.scale(p.square().sum()).backward();
        scaler.step(optimizer);
        optimizer.zeroGrad();
      });
      for (const scale of [8, 16, 16, 32]) {
        await step();
        scaler.update();
        assert.equal(await scaler.getScale(), scale);
      }
      assert.deepEqual(await numbers(p), [0.75 ** 4]);
      await step();
      await assert.rejects(step(), /step was called since the last update/);
      assert.deepEqual(await numbers(p), [0.75 ** 5]);
    }));

  test("says what is out of order or out of range", () => {
    const p = variable(tensor([1]), { name: "w" });
    const optimizer = new SGD([p], { lr: 0.1 });
    const scaler = new GradScaler();
    assert.throws(() => scaler.update(), /update comes after step\(optimizer\)/);
    assert.throws(() => scaler.step(optimizer), /no parameter of the optimizer has a gradient; call scaler\.scale/);
    scaler.scale(p.sum()).backward();
    scaler.unscale(optimizer);
    assert.throws(() => scaler.unscale(optimizer), /unscale was called since the last update/);
    scaler.step(optimizer);
    assert.throws(() => scaler.step(optimizer), /step was called since the last update/);
    assert.throws(() => scaler.unscale(optimizer), /unscale comes before step/);
    scaler.update();
    assert.throws(() => scaler.update(0), /the scale is 0; it must be a finite number above 0/);
    const half = variable(tensor([1], { dtype: "f16" }), { name: "h" });
    half.sum().backward();
    assert.throws(
      () => scaler.step(new SGD([half], { lr: 1 })),
      /variable "h" is f16; keep parameters in f32 and let autocast compute in f16/,
    );
    for (const [options, fault] of [
      [{ initScale: 0 }, /initScale is 0/],
      [{ growthFactor: 1 }, /growthFactor is 1; it must be a finite number above 1/],
      [{ backoffFactor: 1 }, /backoffFactor is 1; it must be between 0 and 1/],
      [{ growthInterval: 0.5 }, /growthInterval is 0.5; it must be a whole number/],
      [{ factor: 2 } as GradScalerOptions, /factor/],
    ] as const)
      assert.throws(() => new GradScaler(options), fault);
  });
});
