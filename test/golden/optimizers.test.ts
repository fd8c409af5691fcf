/** Optimizers and schedules on PyTorch's numbers (make_optimizers.py). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import * as nn from "../../src/nn/index.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import type { DType, Tensor } from "../../src/tensor/index.ts";
import { compile, tensor, variable } from "../../src/tensor/index.ts";
import { numbers } from "../support/helpers.ts";
import { float32Devices } from "./golden-cases.ts";

interface Golden {
  readonly A: number[][];
  readonly P0: number[][];
  readonly runs: readonly (readonly [
    name: "RMSprop" | "Lion" | "LAMB" | "Muon",
    settings: object,
    steps: number[][],
  ])[];
  readonly schedules: Readonly<Record<string, number[]>>;
  readonly measures: number[];
  readonly plateaus: readonly (readonly [nn.PlateauOptions, number[]])[];
}
const golden = JSON.parse(
  readFileSync(new URL("../fixtures/golden/optimizers.json", import.meta.url), "utf8"),
) as Golden;

async function replay(device: Backend, dtype: DType, bound: number, compiled: boolean): Promise<void> {
  setDefaultDevice(device);
  try {
    for (const [name, settings, steps] of golden.runs) {
      const a = tensor(golden.A, { dtype });
      const p = variable(tensor(golden.P0, { dtype }));
      const optimizer = new nn[name]([p], settings);
      const once = (): Tensor => {
        const loss = a.matmul(p).square().mean().add(p.mul(p.square()).sum().div(10));
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss;
      };
      const step = compiled ? compile(once) : once;
      for (const [i, expected] of steps.entries()) {
        await step();
        const found = await numbers(p);
        found.forEach((value, k) => {
          const off = Math.abs(value - expected[k]!) / Math.max(1, Math.abs(expected[k]!));
          assert.ok(off <= bound, `${name} ${JSON.stringify(settings)}, step ${i + 1}: ${value}, not ${expected[k]}`);
        });
      }
    }
  } finally {
    setDefaultDevice(undefined);
  }
}

describe("optimizers on PyTorch's numbers", () => {
  const { cpu, webgpu } = float32Devices();
  for (const compiled of [false, true]) {
    const how = compiled ? "compiled" : "as called";
    test(`reference, to 1e-9, ${how}`, () => replay(new ReferenceDevice(), "f64", 1e-9, compiled));
    test(`cpu, to 1e-4, ${how}`, () => replay(cpu(), "f32", 1e-4, compiled));
  }
  test("WebGPU, to 1e-4, compiled", () => replay(webgpu(), "f32", 1e-4, true));
});

test("schedules have PyTorch's rates", () => {
  const found: Record<string, nn.Schedule> = {
    oneCycle: nn.oneCycleSchedule(0.5, 20),
    oneCycleLine: nn.oneCycleSchedule(0.5, 17, { rise: 0.4, startDivisor: 10, endDivisor: 100, along: "line" }),
    polynomial: nn.polynomialSchedule(0.5, 8, 2),
    exponential: nn.exponentialSchedule(0.5, 0.9),
    sequential: nn.sequentialSchedule([nn.exponentialSchedule(0.5, 0.9), nn.polynomialSchedule(0.5, 5)], [4]),
  };
  assert.deepEqual(Object.keys(found), Object.keys(golden.schedules));
  for (const [name, rates] of Object.entries(golden.schedules))
    rates.forEach((rate, at) =>
      assert.ok(Math.abs(found[name]!(at) - rate) < 1e-12, `${name} at ${at}: ${found[name]!(at)}, not ${rate}`),
    );
});

test("one cycle that rises for a single step begins at its highest", () => {
  for (const along of ["cosine", "line"] as const) {
    const rate = nn.oneCycleSchedule(0.5, 10, { rise: 0.1, along });
    assert.equal(rate(0), 0.5);
    assert.ok(rate(1) < 0.5 && rate(8) > rate(9));
  }
});

test("a plateau cuts where PyTorch's does, and goes on from a saved state", () => {
  for (const [options, rates] of golden.plateaus) {
    let plateau = new nn.PlateauSchedule(0.5, options);
    golden.measures.forEach((measure, i) => {
      if (i === 7) {
        const state = JSON.parse(JSON.stringify(plateau.state())) as nn.PlateauState;
        plateau = new nn.PlateauSchedule(0.5, options);
        plateau.load(state);
      }
      assert.ok(Math.abs(plateau.next(measure) - rates[i]!) < 1e-12, `${JSON.stringify(options)}, measure ${i}`);
    });
  }
});

test("a first measure that is NaN or infinite is no best that nothing improves on", () => {
  for (const mode of ["min", "max"] as const)
    for (const first of [NaN, mode === "min" ? Infinity : -Infinity]) {
      const plateau = new nn.PlateauSchedule(1, { mode, patience: 1 });
      const sign = mode === "min" ? 1 : -1;
      const rates = [first, 5 * sign, 4 * sign, 3 * sign].map((measure) => plateau.next(measure));
      assert.deepEqual([...rates, plateau.state().best], [1, 1, 1, 1, 3 * sign]);
    }
});

test("settings out of range, and a vector for Muon, are errors that name them", () => {
  const p = variable(tensor([1, 2]));
  assert.throws(() => new nn.Muon([p]), /Muon: variable .* is \[2\]; Muon trains matrices, give the rest to AdamW/);
  assert.throws(() => new nn.Lion([p], { betas: [1, 0.9] }), /Lion: the first of betas is 1/);
  assert.throws(() => new nn.LAMB([p], { lr: -1 }), /LAMB: lr is -1/);
  assert.throws(() => new nn.RMSprop([p], { momentum: -1 }), /RMSprop: momentum is -1/);
  assert.throws(() => nn.oneCycleSchedule(1, 1), /total is 1/);
});
