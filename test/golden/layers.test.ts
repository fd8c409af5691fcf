/** Layers and ops on PyTorch's numbers (make_layers.py): values, gradients and second derivatives, on every device. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gradients } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import type { HostTensor } from "../../src/io/index.ts";
import { readSafetensors } from "../../src/io/index.ts";
import { BatchNorm1d, BatchNorm2d, InstanceNorm1d, InstanceNorm2d, readState } from "../../src/nn/index.ts";
import type { Module } from "../../src/nn/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { DType } from "../../src/tensor/index.ts";
import { Tensor, compile, tensor } from "../../src/tensor/index.ts";
import { disagreement, openTestDevice, valuesOf } from "../support/helpers.ts";
import { LAYER_OPS } from "./layer-ops.ts";

const path = fileURLToPath(new URL("../fixtures/golden/torch_layers_f64.safetensors", import.meta.url));
const { tensors, metadata } = readSafetensors(path);
const cases = Object.entries(
  JSON.parse(metadata.get("cases")!) as Record<string, { op: string; options: Record<string, unknown> }>,
);

function load(name: string, dtype: DType): Tensor {
  const { data, shape, dtype: stored } = tensors.get(name) as HostTensor;
  return tensor(data as Float64Array, { shape, dtype: stored === "f64" ? dtype : (stored as DType) });
}
const namesBelow = (prefix: string) => [...tensors.keys()].filter((key) => key.startsWith(`${prefix}/`));

/** What a case computes and the golden names of it. */
function computed(name: string, op: string, options: object, dtype: DType): [string, Tensor][] {
  const inputs = namesBelow(`${name}/in`).map((key) => load(key, dtype));
  const state = new Map(
    namesBelow(`${name}/state`).map((key) => [key.slice(`${name}/state/`.length), tensors.get(key)!] as const),
  );
  const out = LAYER_OPS[op](inputs, options, state);
  const list: [string, Tensor][] = [[`${name}/out`, out]];
  if (!tensors.has(`${name}/cotangent`)) return list;
  const floats = inputs.flatMap((t, i) => (t.dtype === dtype ? [i] : []));
  const targets = floats.map((i) => inputs[i]);
  const first = gradients([out], [load(`${name}/cotangent`, dtype)], targets);
  floats.forEach((i, at) => {
    if (tensors.has(`${name}/grad/${i}`)) list.push([`${name}/grad/${i}`, first[at]]);
  });
  const weighted = floats.flatMap((i, at) => (tensors.has(`${name}/weight/${i}`) ? [[i, first[at]] as const] : []));
  if (weighted.length === 0 || namesBelow(`${name}/grad2`).length === 0) return list;
  const second = gradients(
    weighted.map(([, g]) => g),
    weighted.map(([i]) => load(`${name}/weight/${i}`, dtype)),
    targets,
  );
  floats.forEach((i, at) => {
    if (tensors.has(`${name}/grad2/${i}`)) list.push([`${name}/grad2/${i}`, second[at]]);
  });
  return list;
}

async function replayAll(device: Backend, dtype: DType, bound: number): Promise<void> {
  setDefaultDevice(device);
  try {
    const list: [string, Tensor][] = [];
    for (const [name, { op, options }] of cases) {
      if (op !== "module") list.push(...computed(name, op, options, dtype));
    }
    const wrong: string[] = [];
    // In parts: one plan of all would be as large as a model of hundreds of layers.
    for (let i = 0; i < list.length; i += 60) {
      const part = list.slice(i, i + 60);
      const values = await valuesOf(
        device,
        part.map(([, t]) => t.node),
      );
      part.forEach(([name, t], k) => {
        const golden = tensors.get(name) as HostTensor;
        assert.deepEqual([...t.shape], [...golden.shape], `${name}: shape`);
        const found = Float64Array.from(values[k] as Float64Array);
        const message = disagreement(found, Float64Array.from(golden.data as Float64Array), bound, false);
        if (message) wrong.push(`${name}: ${message}`);
      });
    }
    assert.deepEqual(wrong, []);
  } finally {
    setDefaultDevice(undefined);
  }
}

/** Three steps in training, compiled or not, then one in evaluation: outputs and state as PyTorch's. */
async function trackStatistics(device: Backend, dtype: DType, bound: number, compiled: boolean): Promise<void> {
  setDefaultDevice(device);
  try {
    for (const [name, { op, options }] of cases) {
      if (op !== "module") continue;
      const Layer = { BatchNorm1d, BatchNorm2d, InstanceNorm1d, InstanceNorm2d }[name.split("_")[0]]!;
      const layer: Module & { forward(x: Tensor): Tensor } = new Layer(3, { dtype, ...options });
      const golden = (below: string) =>
        new Map(
          namesBelow(`${name}/${below}`).map((key) => [key.slice(name.length + below.length + 2), tensors.get(key)!]),
        );
      layer.loadStateDict(golden("state0"));
      const step = compiled ? compile((x: Tensor) => layer.forward(x)) : (x: Tensor) => layer.forward(x);
      const same = async (key: string, y: Tensor) => {
        const message = disagreement(
          Float64Array.from((await y.read()) as Float64Array),
          Float64Array.from(tensors.get(key)!.data as Float64Array),
          bound,
          false,
        );
        assert.equal(message, undefined, `${key}: ${message}`);
      };
      for (let i = 0; i < 3; i++) await same(`${name}/y${i}`, await step(load(`${name}/x${i}`, dtype)));
      const state = layer.stateDict();
      assert.deepEqual([...state.keys()].sort(), [...golden("state3").keys()].sort(), name);
      for (const key of golden("state3").keys()) await same(`${name}/state3/${key}`, state.get(key)!);
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
  let cpu: CpuDevice;
  let webgpu: WebGpuDevice;
  before(async () => {
    cpu = await CpuDevice.open({ threads: 2 });
    webgpu = await openTestDevice();
  });
  after(() => {
    cpu.close();
    webgpu.close();
  });

  test("reference, to 1e-9", () => replayAll(new ReferenceDevice(), "f64", 1e-9));
  test("cpu, to 1e-4", () => replayAll(cpu, "f32", 1e-4));
  test("WebGPU, to 1e-4", () => replayAll(webgpu, "f32", 1e-4));

  for (const compiled of [false, true]) {
    const how = compiled ? "compiled" : "as called";
    test(`running statistics, ${how}: reference, to 1e-9`, () =>
      trackStatistics(new ReferenceDevice(), "f64", 1e-9, compiled));
    test(`running statistics, ${how}: cpu, to 1e-4`, () => trackStatistics(cpu, "f32", 1e-4, compiled));
    test(`running statistics, ${how}: WebGPU, to 1e-4`, () => trackStatistics(webgpu, "f32", 1e-4, compiled));
  }
});
