/** Layers and ops on PyTorch's numbers (make_layers.py): values, gradients and second derivatives, on every device. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { BatchNorm1d, BatchNorm2d, InstanceNorm1d, InstanceNorm2d, readState } from "../../src/nn/index.ts";
import type { Module } from "../../src/nn/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { DType } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { compile } from "../../src/tensor/index.ts";
import { disagreement, numbers } from "../support/helpers.ts";
import { float32Devices, GoldenCases } from "./golden-cases.ts";
import { LAYER_OPS } from "./layer-ops.ts";

const golden = new GoldenCases("torch_layers_f64.safetensors", LAYER_OPS);
const { tensors, cases } = golden;
const load = golden.load.bind(golden);
const namesBelow = golden.namesBelow.bind(golden);

/** Three steps in training, compiled or not, then one in evaluation: outputs and state as PyTorch's. */
async function trackStatistics(device: Backend, dtype: DType, bound: number, compiled: boolean): Promise<void> {
  setDefaultDevice(device);
  try {
    for (const [name, { op, options }] of cases) {
      if (op !== "module") continue;
      const Layer = { BatchNorm1d, BatchNorm2d, InstanceNorm1d, InstanceNorm2d }[name.split("_")[0]]!;
      const layer: Module & { forward(x: Tensor): Tensor } = new Layer(3, { dtype, ...options });
      const below = (part: string) =>
        new Map(
          namesBelow(`${name}/${part}`).map((key) => [key.slice(name.length + part.length + 2), tensors.get(key)!]),
        );
      layer.loadStateDict(below("state0"));
      const step = compiled ? compile((x: Tensor) => layer.forward(x)) : (x: Tensor) => layer.forward(x);
      const same = async (key: string, y: Tensor) => {
        const message = disagreement(
          Float64Array.from(await numbers(y)),
          Float64Array.from(tensors.get(key)!.data as Float64Array),
          bound,
          false,
        );
        assert.equal(message, undefined, `${key}: ${message}`);
      };
      for (let i = 0; i < 3; i++) await same(`${name}/y${i}`, await step(load(`${name}/x${i}`, dtype)));
      const state = layer.stateDict();
      assert.deepEqual([...state.keys()].sort(), [...below("state3").keys()].sort(), name);
      for (const key of below("state3").keys()) await same(`${name}/state3/${key}`, state.get(key)!);
      layer.eval();
      await same(`${name}/evaluated`, await step(load(`${name}/x2`, dtype)));
      await readState(state);
    }
  } finally {
    setDefaultDevice(undefined);
  }
}

test("every case has an op, and every kind of number is there", () => {
  for (const [name, { op }] of cases) assert.ok(op === "module" || op in LAYER_OPS, `${name}: ${op}`);
  for (const kind of ["grad", "grad2"]) assert.ok([...tensors.keys()].some((key) => key.includes(`/${kind}/`)));
});

describe("layers on PyTorch's numbers", () => {
  const { cpu, webgpu } = float32Devices();

  test("reference, to 1e-9", () => golden.replay(new ReferenceDevice(), "f64", 1e-9));
  test("cpu, to 1e-4", () => golden.replay(cpu(), "f32", 1e-4));
  test("WebGPU, to 1e-4", () => golden.replay(webgpu(), "f32", 1e-4));

  for (const compiled of [false, true]) {
    const how = compiled ? "compiled" : "as called";
    test(`running statistics, ${how}: reference, to 1e-9`, () =>
      trackStatistics(new ReferenceDevice(), "f64", 1e-9, compiled));
    test(`running statistics, ${how}: cpu, to 1e-4`, () => trackStatistics(cpu(), "f32", 1e-4, compiled));
    test(`running statistics, ${how}: WebGPU, to 1e-4`, () => trackStatistics(webgpu(), "f32", 1e-4, compiled));
  }
});
