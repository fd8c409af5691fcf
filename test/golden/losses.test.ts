/** Losses on PyTorch's numbers (make_losses.py): values, gradients and second derivatives, on every device. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import * as nn from "../../src/nn/index.ts";
import { tensor } from "../../src/tensor/index.ts";
import { float32Devices, GoldenCases } from "./golden-cases.ts";
import type { LayerOp } from "./layer-ops.ts";

const pair =
  (f: (x: never, y: never, options: never) => unknown): LayerOp =>
  ([x, y], options) =>
    f(x as never, y as never, options as never) as ReturnType<LayerOp>;

const LOSSES: Readonly<Record<string, LayerOp>> = {
  l1Loss: pair(nn.l1Loss),
  huberLoss: pair(nn.huberLoss),
  smoothL1Loss: pair(nn.smoothL1Loss),
  binaryCrossEntropy: pair(nn.binaryCrossEntropy),
  binaryCrossEntropyWeight: ([x, y, weight]) => nn.binaryCrossEntropy(x, y, { weight }),
  binaryCrossEntropyWithLogits: pair(nn.binaryCrossEntropyWithLogits),
  binaryCrossEntropyWithLogitsWeight: ([x, y, weight, posWeight]) =>
    nn.binaryCrossEntropyWithLogits(x, y, { weight, posWeight }),
  nllLoss: pair(nn.nllLoss),
  nllLossWeight: ([x, labels, weight], options) => nn.nllLoss(x, labels, { ...options, weight }),
  crossEntropyWeight: ([x, labels, weight], options) => nn.crossEntropy(x, labels, { ...options, weight }),
  klDivergence: pair(nn.klDivergence),
  cosineSimilarity: ([x, y], { axis }) => nn.cosineSimilarity(x, y, axis),
  cosineEmbeddingLoss: ([x, y, target], options) => nn.cosineEmbeddingLoss(x, y, target, options),
  tripletMarginLoss: ([x, y, z], options) => nn.tripletMarginLoss(x, y, z, options),
  marginRankingLoss: ([x, y, target], options) => nn.marginRankingLoss(x, y, target, options),
  focalLoss: pair(nn.focalLoss),
  vicReg: pair(nn.vicReg),
  barlowTwins: pair(nn.barlowTwins),
};

const golden = new GoldenCases("torch_losses_f64.safetensors", LOSSES);

test("every case has a loss, and every loss a case", () => {
  assert.deepEqual(new Set(golden.cases.map(([, { op }]) => op)), new Set(Object.keys(LOSSES)));
});

describe("losses on PyTorch's numbers", () => {
  const { cpu, webgpu } = float32Devices();
  test("reference, to 1e-9", () => golden.replay(new ReferenceDevice(), "f64", 1e-9));
  test("cpu, to 1e-4", () => golden.replay(cpu(), "f32", 1e-4));
  test("WebGPU, to 1e-4", () => golden.replay(webgpu(), "f32", 1e-4));
});

test("what is no pair, no reduction or no option is an error that names it", () => {
  const [x, y] = [tensor([[1, 2, 3]]), tensor([[1, 2]])];
  assert.throws(() => nn.l1Loss(x, y), /l1Loss: prediction is \[1, 3\] and target \[1, 2\]; they must be of one shape/);
  assert.throws(() => nn.l1Loss(x, 3 as never), /l1Loss: target must be a tensor/);
  assert.throws(() => nn.huberLoss(x, x, { reduction: "avg" as never }), /reduction is "avg"; it must be "mean"/);
  assert.throws(() => nn.huberLoss(x, x, { beta: 1 } as never), /huberLoss: .*beta/);
  assert.throws(() => nn.huberLoss(x, x, { delta: 0 }), /delta is 0; it must be a number above 0/);
  assert.throws(() => nn.nllLoss(x, tensor([0.5])), /labels must be i32 or u32, not f32/);
  assert.throws(() => nn.vicReg(x, x), /N at least 2/);
});
