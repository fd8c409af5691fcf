/** Lists of modules, hooks, tied weights and summaries. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as nn from "../../src/nn/index.ts";
import { compile, tensor, zeros } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import { onReference } from "./helpers.ts";

describe("containers", () => {
  test("ModuleList and ModuleDict name their modules as PyTorch does", () => {
    class Net extends nn.Module {
      readonly blocks = new nn.ModuleList([new nn.Linear(2, 2), new nn.Linear(2, 2, { bias: false })]);
      readonly heads = new nn.ModuleDict({ a: new nn.Linear(2, 1) });
    }
    const net = new Net();
    net.blocks.append(new nn.Linear(2, 2, { bias: false }));
    net.heads.set("b", new nn.Linear(2, 3, { bias: false }));
    assert.deepEqual(
      [...net.stateDict().keys()],
      [
        "blocks.0.weight",
        "blocks.0.bias",
        "blocks.1.weight",
        "blocks.2.weight",
        "heads.a.weight",
        "heads.a.bias",
        "heads.b.weight",
      ],
    );
    assert.equal(net.blocks.length, 3);
    assert.equal(net.blocks.at(-1), [...net.blocks][2]);
    assert.throws(() => net.blocks.at(7), /ModuleList: there is no module 7 of 3/);
    assert.throws(() => net.heads.get("c"), /ModuleDict: there is no "c"; there are a, b/);
    assert.throws(() => net.heads.set("a.b", new nn.Linear(1, 1)), /must not be empty or have a dot/);
    assert.throws(() => net.blocks.append(3 as never), /ModuleList: "3" is no Module/);
  });

  test("activations as modules are the functions", () =>
    onReference(async () => {
      const x = tensor([[-2, -0.5, 0.5, 3]]);
      const expected: [nn.Module & { forward(x: Tensor): Tensor }, (v: number) => number][] = [
        [new nn.ReLU(), (v) => Math.max(v, 0)],
        [new nn.LeakyReLU(0.2), (v) => (v > 0 ? v : 0.2 * v)],
        [new nn.ELU(2), (v) => (v > 0 ? v : 2 * Math.expm1(v))],
        [new nn.SiLU(), (v) => v / (1 + Math.exp(-v))],
        [new nn.Mish(), (v) => v * Math.tanh(Math.log1p(Math.exp(v)))],
        [new nn.HardSwish(), (v) => (v * Math.min(Math.max(v + 3, 0), 6)) / 6],
        [new nn.HardSigmoid(), (v) => Math.min(Math.max(v + 3, 0), 6) / 6],
        [new nn.Sigmoid(), (v) => 1 / (1 + Math.exp(-v))],
        [new nn.Tanh(), Math.tanh],
        [new nn.Softplus(), (v) => Math.log1p(Math.exp(v))],
        [new nn.Identity(), (v) => v],
      ];
      const values = await numbers(x);
      for (const [layer, f] of expected) assertClose(await numbers(layer.forward(x)), values.map(f), 1e-12);
      assertClose(
        await numbers(new nn.GLU().forward(x)),
        [-2 / (1 + Math.exp(-0.5)), -0.5 / (1 + Math.exp(-3))],
        1e-12,
      );
      assertClose(await numbers(new nn.Softmax().forward(x).sum(-1)), [1], 1e-12);
    }));
});

describe("hooks and tied weights", () => {
  test("hooks see inputs and outputs, may put others in their place, and go away", () =>
    onReference(async () => {
      const net = new nn.Sequential(new nn.Identity(), (x) => x.mul(2));
      const seen: string[] = [];
      const first = net.stateDict().size === 0 ? [...net.modules()][1] : net;
      const removeAfter = nn.addForwardHook(net, (module, [x], y) => {
        seen.push(`${module.constructor.name} ${(x as Tensor).shape} ${(y as Tensor).shape}`);
        return (y as Tensor).add(1);
      });
      const removeBefore = nn.addForwardPreHook(first, (_, [x]) => [(x as Tensor).add(10)]);
      assert.deepEqual(await numbers(net.forward(tensor([1, 2]))), [23, 25]);
      assert.deepEqual(seen, ["Sequential 2 2"]);
      assert.deepEqual([...net.stateDict().keys()], []);
      const step = compile((x: Tensor) => net.forward(x));
      for (const x of [3, 4]) assert.deepEqual(await numbers(await step(tensor([x]))), [2 * (x + 10) + 1]);
      removeAfter();
      removeBefore();
      assert.deepEqual(await numbers(net.forward(tensor([1, 2]))), [2, 4]);
    }));

  test("a tied weight is one parameter under two names, and has the gradients of both uses", () =>
    onReference(async () => {
      class Net extends nn.Module {
        readonly embedding = new nn.Embedding(4, 3);
        readonly head = new nn.Linear(3, 4, { bias: false });
        forward(index: Tensor): Tensor {
          return this.head.forward(this.embedding.forward(index));
        }
      }
      const net = new Net();
      nn.tieWeight(net.head, "weight", net.embedding.weight);
      assert.deepEqual([...net.stateDict().keys()], ["embedding.weight", "head.weight"]);
      assert.equal(net.parameters().length, 1);
      net.embedding.weight.assign(tensor([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], { shape: [4, 3] }));
      net
        .forward(tensor(Int32Array.of(0)))
        .sum()
        .backward();
      // Every row by the head, and the sum of all rows more for the one that was looked up.
      const row = [1, 2, 3];
      assertClose(await numbers(net.embedding.weight.grad!), [23, 28, 33, ...row, ...row, ...row], 1e-9);
      assert.throws(() => nn.tieWeight(net.head, "bias", net.embedding.weight), /Linear has no parameter "bias"/);
      assert.throws(() => nn.tieWeight(new nn.Linear(2, 2), "weight", net.embedding.weight), /they must be equal/);
    }));
});

describe("summary", () => {
  test("shapes, parameters, flops and bytes of every module, without a run", () => {
    const net = new nn.Sequential(
      new nn.Conv2d(1, 4, 3, { padding: 1 }),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Flatten(),
      new nn.Linear(64, 10),
    );
    net.train();
    const s = nn.summary(net, zeros([2, 1, 8, 8]));
    const of = (name: string) => s.rows.find((row) => row.name === name)!;
    assert.deepEqual(of("0").shapes, [[2, 4, 8, 8]]);
    assert.deepEqual([of("0").parameters, of("0").bytes], [40, 2 * 4 * 64 * 4]);
    // A multiply-add for every place of the kernel, and the bias.
    assert.equal(of("0").flops, 2 * (2 * 4 * 64) * 9 + 2 * 4 * 64);
    assert.deepEqual(of("3").shapes, [[2, 4, 4, 4]]);
    assert.equal(of("5").flops, 2 * 2 * 64 * 10 + 20);
    assert.deepEqual([s.parameters, s.buffers], [40 + 8 + 650, 9]);
    assert.equal(s.flops, of("").flops);
    assert.ok(s.flops >= of("0").flops + of("5").flops);
    assert.ok(net.training && net.modules().every((m) => m.training));
    assert.match(String(s), /0 Conv2d +\[2, 4, 8, 8\] +40 +9,728 +2,048/);
  });
});
