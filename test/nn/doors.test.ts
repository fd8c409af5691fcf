/** What plain JavaScript may hand to layers, functions and optimizers: told by name what is wrong, and what to write. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as core from "../../src/index.ts";
import * as nn from "../../src/nn/index.ts";
import type { Tensor } from "../../src/index.ts";
import { ones, ReferenceDevice, setDefaultDevice, tensor, useDevice, variable, zeros } from "../../src/index.ts";

setDefaultDevice(new ReferenceDevice());

const plain = [1, 2, 3] as unknown as Tensor;
const NO_TENSOR = /^\w+: .* must be a tensor, not an array of 3; make it a tensor with tensor\(\[…\]\)/;

describe("an array in place of a tensor", () => {
  const layers: Readonly<Record<string, { forward(x: Tensor): unknown }>> = {
    Linear: new nn.Linear(3, 2),
    Conv1d: new nn.Conv1d(1, 1, 1),
    BatchNorm1d: new nn.BatchNorm1d(3),
    InstanceNorm1d: new nn.InstanceNorm1d(3),
    GroupNorm: new nn.GroupNorm(1, 3),
    LayerNorm: new nn.LayerNorm(3),
    RMSNorm: new nn.RMSNorm(3),
    MaxPool1d: new nn.MaxPool1d(2),
    Dropout: new nn.Dropout(0.5),
    Dropout1d: new nn.Dropout1d(0.5),
    Flatten: new nn.Flatten(),
    GRU: new nn.GRU(3, 2),
    LSTM: new nn.LSTM(3, 2),
    MultiHeadAttention: new nn.MultiHeadAttention(4, 2),
    TransformerEncoderLayer: new nn.TransformerEncoderLayer(4, 2),
    ReLU: new nn.ReLU(),
    GELU: new nn.GELU(),
    SiLU: new nn.SiLU(),
    Sigmoid: new nn.Sigmoid(),
    Tanh: new nn.Tanh(),
    Softplus: new nn.Softplus(),
    Softmax: new nn.Softmax(),
    Sequential: new nn.Sequential((x) => x),
  };
  for (const [name, layer] of Object.entries(layers)) {
    test(name, () => {
      assert.throws(() => layer.forward(plain), NO_TENSOR);
    });
  }

  const functions: Readonly<Record<string, () => unknown>> = {
    linear: () => nn.linear(ones([3]), plain),
    interpolateLinear: () => core.interpolateLinear(plain, 3),
    depthwiseConv1d: () => core.depthwiseConv1d(plain, ones([3, 1])),
    topK: () => core.topK(plain, 1),
    sort: () => core.sort(plain),
    argsort: () => core.argsort(plain),
    cumsum: () => core.cumsum(plain, 0),
    cumprod: () => core.cumprod(plain, 0),
    roll: () => core.roll(plain, 1),
    split: () => core.split(plain, 1),
    chunk: () => core.chunk(plain, 1),
    tril: () => core.tril(plain),
    scatter: () => core.scatter(ones([3]), 0, plain, 1),
    einsum: () => core.einsum("i->", plain),
    sampleTokens: () => core.sampleTokens(plain),
  };
  for (const [name, call] of Object.entries(functions)) {
    test(name, () => {
      assert.throws(call, NO_TENSOR);
    });
  }

  test("unique and nonzero", async () => {
    await assert.rejects(core.unique(plain), NO_TENSOR);
    await assert.rejects(core.nonzero(plain), NO_TENSOR);
  });

  test("gradients", () => {
    assert.throws(
      () => core.gradients(ones([]) as never, [ones([])], [ones([])]),
      /gradients: takes arrays of outputs/,
    );
    assert.throws(() => core.gradients([ones([])], [], [ones([])]), /a cotangent for each/);
  });
});

test("what is called without an argument, or with one of another kind, says which and what it takes", async () => {
  const [v, x] = [variable(ones([2])), ones([4, 2])];
  const any = { ...core, ...nn } as unknown as Record<string, (...args: unknown[]) => unknown>;
  const calls: readonly (readonly [RegExp, () => unknown])[] = [
    [
      /emaUpdate: the target must be a module or an array of variables, not .*; write \[variable\]/,
      () => any.emaUpdate(v, v),
    ],
    [/emaUpdate: the source must be .* not undefined/, () => any.emaUpdate([v])],
    [/copyParameters: the source must be a module.*; one is a?.*3/, () => any.copyParameters([v], [3])],
    [
      /clipGradNorm: the parameters must be .* array of variables, not .*; write \[variable\]/,
      () => any.clipGradNorm(v, 1),
    ],
    [/attention: k must be a tensor, not undefined/, () => any.attention(x)],
    [/packedAttention: qkv must be a tensor, not 3/, () => any.packedAttention(3)],
    [/ntXent: temperature undefined must be above 0: \{ temperature/, () => any.ntXent(x, x)],
    [/ntXent: b must be a tensor, not undefined/, () => any.ntXent(x, undefined, { temperature: 1 })],
    [/infoNCE: queue must be a tensor/, () => any.infoNCE(x, x, undefined, { temperature: 1 })],
    [/crossEntropy: labels must be a tensor, not undefined/, () => any.crossEntropy(x)],
    [/segmentMax: lengths must be an array of whole numbers, not undefined/, () => any.segmentMax(x)],
    [/readState: takes a Map of tensors by name, as stateDict\(\) gives it, not undefined/, () => any.readState()],
    [/ModuleList: takes its modules together, as \[module, …\], not 3/, () => new nn.ModuleList(3 as never)],
    [/ModuleList: "0" is no Module but 3/, () => new nn.ModuleList([3 as never])],
    [/ModuleDict: takes its modules together, as \{ name: module, … \}, not 3/, () => new nn.ModuleDict(3 as never)],
    [/xavierUniform: the shape must be an array of sizes, not 3/, () => any.xavierUniform(3)],
    [/orthogonal: the shape must be an array of sizes/, () => any.orthogonal()],
    [/dirac: the shape must be an array of sizes/, () => any.dirac(x)],
    [/summary: takes a module, not /, () => any.summary(x)],
    [/summary: takes the model's input or an array of its arguments, not 3/, () => any.summary(new nn.ReLU(), 3)],
  ];
  for (const [message, call] of calls)
    await assert.rejects(async () => {
      await call();
    }, message);
});

test("gradients of a module's parameters are clipped together", async () => {
  const layer = new nn.Linear(2, 1);
  layer
    .forward(ones([1, 2]))
    .sum()
    .backward();
  const norm = await nn.clipGradNorm(layer, 0.5).item();
  assert.ok(Math.abs(norm - Math.sqrt(3)) < 1e-6, `${norm}`);
  for (const p of layer.parameters())
    for (const g of await p.grad!.read()) assert.ok(Math.abs(g - 0.5 / Math.sqrt(3)) < 1e-6, `${g}`);
});

describe("optimizers", () => {
  const w = () => variable(zeros([2, 2]), { name: "w" });

  test("settings that are no settings are no defaults", () => {
    for (const make of [
      () => new nn.Adam([w()], 0.1 as never),
      () => new nn.RMSprop([w()], 0.1 as never),
      () => new nn.SGD([w()], 0.1 as never),
    ])
      assert.throws(make, /options must be an object such as \{ lr: … \}, not 0\.1/);
  });

  test("parameters that are no variables", () => {
    assert.throws(
      () => new nn.Adam(undefined as never),
      /Adam: the parameters must be an array of variables.*undefined/,
    );
    assert.throws(() => new nn.SGD(w() as never, { lr: 1 }), /SGD: the parameters must be an array of variables/);
    assert.throws(() => new nn.RMSprop([{ lr: 1 }] as never), /one of them is an object \{lr\}/);
    assert.throws(() => new nn.Adam([zeros([2])] as never), /Adam: a parameter is Tensor\(f32\[2\]\); .*variable\(x\)/);
  });

  test("a gradient of another shape is not repeated", () => {
    const p = w();
    p.grad = ones([2]);
    assert.throws(
      () => new nn.SGD([p], { lr: 1 }).step(),
      /SGD: the gradient of variable "w" has shape \[2\], the variable \[2, 2\]; they must be equal/,
    );
    p.grad = 5 as never;
    assert.throws(() => new nn.Adam([p]).step(), /Adam: the gradient of variable "w" must be a tensor, not 5/);
  });

  test("a learning rate that is none", () => {
    const optimizer = new nn.SGD([w()], { lr: 1 });
    for (const lr of [NaN, -1, "fast" as never])
      assert.throws(() => (optimizer.lr = lr), /SGD: lr is (NaN|-1|fast); it must be at least 0/);
    assert.equal(optimizer.lr, 1);
  });
});

test("options of variables and devices are known ones", async () => {
  assert.throws(
    () => variable(tensor([1]), { trainabel: false } as never),
    /variable: there is no option "trainabel"; did you mean "trainable"\?/,
  );
  await assert.rejects(
    useDevice("cpu", { thread: 2 } as never),
    /device: there is no option "thread"; did you mean "threads"\?/,
  );
  await assert.rejects(
    useDevice("reference", 2 as never),
    /device: options must be an object such as \{ threads: … \}, not 2/,
  );
});
