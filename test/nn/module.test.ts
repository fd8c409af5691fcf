/** Modules: names, state dictionaries and what does not fit them, shared and frozen modules, modes, checkpoints. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import {
  readSafetensors,
  readTorchCheckpoint,
  stateDictFor,
  stateDictOf,
  writeSafetensors,
  writeTorchCheckpoint,
} from "../../src/io/index.ts";
import {
  BatchNorm1d,
  Dropout,
  GRU,
  Linear,
  LSTM,
  Module,
  MultiHeadAttention,
  Sequential,
  SGD,
  TransformerEncoderLayer,
  loadState,
  readState,
} from "../../src/nn/index.ts";
import { compile, ones, setDefaultDevice, tensor, variable, zeros } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";

class Scale extends Module {
  weight = variable(tensor([1, 2, 3]), { name: "weight" });
  seen = variable(zeros([], "i32"), { name: "seen", trainable: false });
  factor = 2;
  constant = tensor([1]);
  forward(x: Tensor): Tensor {
    return x.mul(this.weight).mul(this.factor);
  }
}

class Net extends Module {
  layers = [new Scale(), new Scale()];
  head = new Linear(3, 2);
}

const folder = mkdtempSync(join(tmpdir(), "hico-module-"));
before(() => setDefaultDevice(new ReferenceDevice()));
after(() => {
  setDefaultDevice(undefined);
  rmSync(folder, { recursive: true });
});

describe("names", () => {
  test("paths of properties, arrays numbered; plain tensors and settings are not state", () => {
    const net = new Net();
    assert.deepEqual(
      [...net.stateDict().keys()],
      ["layers.0.weight", "layers.0.seen", "layers.1.weight", "layers.1.seen", "head.weight", "head.bias"],
    );
    assert.deepEqual(
      net.namedParameters().map(([n]) => n),
      ["layers.0.weight", "layers.1.weight", "head.weight", "head.bias"],
    );
    assert.deepEqual(
      net.namedBuffers().map(([n]) => n),
      ["layers.0.seen", "layers.1.seen"],
    );
    assert.deepEqual(
      net.namedModules().map(([n]) => n),
      ["", "layers.0", "layers.1", "head"],
    );
  });

  test("PyTorch's names and shapes", () => {
    const shapes = (m: Module) => Object.fromEntries([...m.stateDict()].map(([name, v]) => [name, [...v.shape]]));
    assert.deepEqual(shapes(new LSTM(6, 5, { numLayers: 2, bidirectional: true })), {
      weight_ih_l0: [20, 6],
      weight_hh_l0: [20, 5],
      bias_ih_l0: [20],
      bias_hh_l0: [20],
      weight_ih_l0_reverse: [20, 6],
      weight_hh_l0_reverse: [20, 5],
      bias_ih_l0_reverse: [20],
      bias_hh_l0_reverse: [20],
      weight_ih_l1: [20, 10],
      weight_hh_l1: [20, 5],
      bias_ih_l1: [20],
      bias_hh_l1: [20],
      weight_ih_l1_reverse: [20, 10],
      weight_hh_l1_reverse: [20, 5],
      bias_ih_l1_reverse: [20],
      bias_hh_l1_reverse: [20],
    });
    assert.deepEqual(shapes(new GRU(6, 5, { bias: false })), { weight_ih_l0: [15, 6], weight_hh_l0: [15, 5] });
    assert.deepEqual(shapes(new MultiHeadAttention(8, 2)), {
      in_proj_weight: [24, 8],
      in_proj_bias: [24],
      "out_proj.weight": [8, 8],
      "out_proj.bias": [8],
    });
    assert.deepEqual(shapes(new TransformerEncoderLayer(8, 2, { feedForward: 16 })), {
      "self_attn.in_proj_weight": [24, 8],
      "self_attn.in_proj_bias": [24],
      "self_attn.out_proj.weight": [8, 8],
      "self_attn.out_proj.bias": [8],
      "linear1.weight": [16, 8],
      "linear1.bias": [16],
      "linear2.weight": [8, 16],
      "linear2.bias": [8],
      "norm1.weight": [8],
      "norm1.bias": [8],
      "norm2.weight": [8],
      "norm2.bias": [8],
    });
    const chain = new Sequential(
      new Linear(3, 4),
      (x) => x.relu(),
      new Dropout(0.1),
      new Linear(4, 2, { bias: false }),
    );
    assert.deepEqual(shapes(chain), { "0.weight": [4, 3], "0.bias": [4], "3.weight": [2, 4] });
  });

  test("a shared module has each of its names in the state, and its parameters once", () => {
    class Tied extends Module {
      a = new Linear(2, 2, { bias: false });
      b = this.a;
    }
    const tied = new Tied();
    assert.deepEqual([...tied.stateDict().keys()], ["a.weight", "b.weight"]);
    assert.deepEqual(
      tied.namedParameters().map(([n]) => n),
      ["a.weight"],
    );
    assert.equal(tied.modules().length, 2);
  });

  test("a module that contains itself is refused", () => {
    class Parent extends Module {
      child = new Linear(1, 1);
      me?: Module;
    }
    const parent = new Parent();
    parent.me = parent;
    assert.throws(() => parent.stateDict(), /^Error: Parent: the module contains itself, at "me"/);
  });
});

describe("state dictionaries", () => {
  test("values of every form are assigned in place, converted to the variable's dtype", async () => {
    const net = new Net();
    const weight = net.head.weight;
    const report = net.loadStateDict(
      new Map<string, unknown>([
        ["layers.0.weight", tensor([4, 5, 6])],
        ["layers.0.seen", { dtype: "i64", shape: [], data: BigInt64Array.of(7n) }],
        ["layers.1.weight", { dtype: "f64", shape: [3], data: Float64Array.of(7, 8, 9) }],
        ["layers.1.seen", { shape: [], data: [3] }],
        [
          "head.weight",
          { dtype: "f16", shape: [2, 3], data: Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600) },
        ],
        ["head.bias", { shape: [2], data: Float32Array.of(0.5, -0.5) }],
      ]),
    );
    assert.deepEqual(report, { missing: [], unexpected: [] });
    assert.equal(net.head.weight, weight);
    assert.deepEqual(await net.layers[0].weight.toArray(), [4, 5, 6]);
    assert.equal(await net.layers[0].seen.item(), 7);
    assert.deepEqual(await net.layers[1].weight.toArray(), [7, 8, 9]);
    assert.equal(await net.layers[1].seen.item(), 3);
    assert.deepEqual(await weight.toArray(), [
      [1, 2, 3],
      [4, 5, 6],
    ]);
    assert.deepEqual(await net.head.bias!.toArray(), [0.5, -0.5]);
  });

  test("every fault is listed, and nothing is assigned", async () => {
    const net = new Net();
    const given = {
      "layers.0.weight": tensor([9, 9, 9]),
      "layers.1.weight": tensor([1, 2, 3, 4]),
      "layers.1.seen": 3,
      "head.weight": { shape: [2, 3], data: [1, 2] },
      "head.gain": tensor([1]),
      extra: tensor([1]),
    };
    assert.throws(
      () => net.loadStateDict(given),
      (error: Error) => {
        assert.equal(
          error.message,
          [
            "loadStateDict: the dictionary does not fit Net",
            '  missing (2): "layers.0.seen", "head.bias"',
            '  unexpected (2): "head.gain", "extra"',
            '  of another shape (3): "layers.1.weight": has shape [4], the model [3], "layers.1.seen": is no tensor (number), ' +
              '"head.weight": has 2 elements for shape [2, 3]',
          ].join("\n"),
        );
        return true;
      },
    );
    assert.deepEqual(await net.layers[0].weight.toArray(), [1, 2, 3]);
  });

  test("without strict, what is there is loaded; a wrong shape is still an error", async () => {
    const net = new Net();
    const report = net.loadStateDict({ "layers.0.weight": tensor([4, 5, 6]), extra: tensor([1]) }, { strict: false });
    assert.deepEqual(report.unexpected, ["extra"]);
    assert.equal(report.missing.length, 5);
    assert.deepEqual(await net.layers[0].weight.toArray(), [4, 5, 6]);
    assert.throws(
      () => net.loadStateDict({ "head.bias": tensor([1]) }, { strict: false }),
      /"head.bias": has shape \[1\], the model \[2\]/,
    );
  });

  test("an integer that no number holds is refused", () => {
    const state = new Map([["n", variable(zeros([], "i32"))]]);
    const source = { n: { dtype: "i64", shape: [], data: BigInt64Array.of(2n ** 60n) } };
    assert.throws(() => loadState(state, source), /1152921504606846976/);
  });

  test("through safetensors, and through a PyTorch checkpoint", async () => {
    const net = new Net();
    const state = await readState(net.stateDict());
    assert.deepEqual(
      [...state.values()].map((t) => t.dtype),
      ["f32", "i32", "f32", "i32", "f32", "f32"],
    );
    writeSafetensors(join(folder, "net.safetensors"), state);
    writeTorchCheckpoint(join(folder, "net.pth"), stateDictFor(state));
    for (const source of [
      readSafetensors(join(folder, "net.safetensors")).tensors,
      stateDictOf(readTorchCheckpoint(join(folder, "net.pth"))),
    ]) {
      const copy = new Net();
      copy.loadStateDict(source);
      assert.deepEqual(await readState(copy.stateDict()), state);
    }
  });
});

describe("modes", () => {
  test("train and eval reach every module", () => {
    const net = new Sequential(new Dropout(0.5), new Sequential(new Dropout(0.5)));
    assert.ok(net.modules().every((m) => m.training));
    assert.ok(
      net
        .eval()
        .modules()
        .every((m) => !m.training),
    );
    assert.ok(
      net
        .train()
        .modules()
        .every((m) => m.training),
    );
  });

  test("frozen parameters are saved and get no gradient; zeroGrad clears the others", () => {
    const net = new Net();
    net.layers[0].freeze();
    assert.deepEqual(
      net.namedParameters().map(([n]) => n),
      ["layers.1.weight", "head.weight", "head.bias"],
    );
    assert.equal(net.stateDict().size, 6);
    net.head
      .forward(net.layers[1].forward(net.layers[0].forward(tensor([1, 1, 1]))))
      .sum()
      .backward();
    assert.equal(net.layers[0].weight.grad, undefined);
    assert.ok(net.layers[1].weight.grad && net.head.bias!.grad);
    net.zeroGrad();
    assert.ok(net.parameters().every((p) => p.grad === undefined));
    assert.ok(net.unfreeze().parameters().includes(net.layers[0].weight));
  });

  test("unfreeze trains what freeze has stopped: parameters, and no buffers", () => {
    const net = new Sequential(new Linear(2, 2), new BatchNorm1d(2));
    const trained = (): string[] => net.namedParameters().map(([name]) => name);
    const before = trained();
    assert.deepEqual(before, ["0.weight", "0.bias", "1.weight", "1.bias"]);
    net.freeze();
    assert.deepEqual(trained(), []);
    net.unfreeze();
    assert.deepEqual(trained(), before);
  });

  test("a layer that is frozen between two steps stays as it is, called or compiled", async () => {
    for (const compiled of [false, true]) {
      const net = new Sequential(new Linear(2, 2), new Linear(2, 1));
      const [first, second] = [net.stateDict().get("0.weight")!, net.stateDict().get("1.weight")!];
      const optimizer = new SGD(net.parameters(), { lr: 0.1, momentum: 0.9 });
      const train = (x: Tensor) => {
        net.zeroGrad();
        const loss = net.forward(x).sub(5).square().mean();
        loss.backward();
        optimizer.step();
        return loss;
      };
      const step = compiled ? compile(train) : train;
      await (await step(ones([3, 2]))).item();
      const before = [await first.read(), await second.read()];
      net.modules()[1]!.freeze();
      await (await step(ones([3, 2]))).item();
      assert.deepEqual(await first.read(), before[0]);
      assert.notDeepEqual(await second.read(), before[1]);
    }
  });
});
