/** Layers in many settings, drawn at random and at their edges, on PyTorch's numbers (make_edges.py), on every device. */
import { describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { Conv1d, Conv2d } from "../../src/nn/index.ts";
import * as ops from "../../src/ops/index.ts";
import { float32Devices, GoldenCases } from "./golden-cases.ts";
import { LAYER_OPS } from "./layer-ops.ts";
import type { LayerOp } from "./layer-ops.ts";

const EDGE_OPS: Readonly<Record<string, LayerOp>> = {
  ...LAYER_OPS,
  pad: ([x], { widths, ...options }) => ops.pad(x, widths, options),
  layerNorm: ([x, weight, bias], options) => ops.layerNorm(x, { ...options, weight, bias }),
  instanceNorm: ([x, weight, bias], options) => ops.instanceNorm(x, { ...options, weight, bias }),
  Conv: ([x, weight, bias], { rank, channels: [inside, outside], kernel, settings }) => {
    const Layer = rank === 1 ? Conv1d : Conv2d;
    const layer = new Layer(inside, outside, kernel, { ...settings, dtype: x.dtype });
    // In place of its parameters, so that gradients are those of the operands.
    return Object.assign(layer, { weight, bias }).forward(x);
  },
};

const golden = new GoldenCases("torch_edges_f64.safetensors", EDGE_OPS);

describe("edges of layers on PyTorch's numbers", () => {
  const { cpu, webgpu } = float32Devices();

  test("reference, to 1e-9", () => golden.replay(new ReferenceDevice(), "f64", 1e-9));
  test("cpu, to 1e-4", () => golden.replay(cpu(), "f32", 1e-4));
  // A software driver compiles shaders for minutes; all of them held there too when the file was made.
  test("WebGPU, to 1e-4, every fourth", () => golden.replay(webgpu(), "f32", 1e-4, 4));
});
