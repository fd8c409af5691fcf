/** Gradient checkpointing: the same values and gradients to the bit, less memory by the plan's account, few more flops. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import {
  checkpoint,
  compile,
  crossEntropy,
  CpuDevice,
  Generator,
  grad,
  gradcheck,
  ReferenceDevice,
  setDefaultDevice,
  tensor,
} from "../../src/index.ts";
import type { Tensor } from "../../src/index.ts";
import { planOf } from "../../src/device/webgpu/planner.ts";
import { AdamW, BatchNorm1d, Dropout, Linear, Sequential, TransformerEncoderLayer } from "../../src/nn/index.ts";
import { Node } from "../../src/tensor/node.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { Tensor as T } from "../../src/tensor/tensor.ts";

const device = await CpuDevice.open({ threads: 2 });
setDefaultDevice(device);
after(() => device.close());

const same = (a: ArrayLike<number>, b: ArrayLike<number>): void =>
  assert.deepEqual([...Array.from(a)], [...Array.from(b)]);

/** Equal but for the order of sums. */
const close = (a: ArrayLike<number>, b: ArrayLike<number>): void => {
  const scale = Math.max(...Array.from(b, Math.abs));
  assert.equal(a.length, b.length);
  Array.from(b).forEach((value, i) =>
    assert.ok(Math.abs(a[i]! - value) <= 1e-5 * scale, `element ${i}: ${a[i]}, not ${value}`),
  );
};

/** Products' flops of a graph, those of fused ops by their meaning. */
function flopsOf(nodes: readonly Node[], seen = new Set<Node>()): number {
  let flops = 0;
  for (const node of nodes) {
    if (seen.has(node)) continue;
    seen.add(node);
    const { op, inputs } = node;
    if (op.kind === "matmul") flops += 2 * sizeOf(node.shape) * inputs[0]!.shape.at(-1)!;
    else if (op.kind === "fused") {
      const own = inputs.map(({ shape, dtype }) => new Node({ kind: "iota" }, [], shape, dtype));
      const inner: Node[] = [];
      const walk = (n: Node): void => {
        if (inner.includes(n)) return;
        for (const i of n.inputs) walk(i);
        inner.push(n);
      };
      for (const y of op.fused.decompose(
        own.map((n) => new T(n)),
        op.attrs,
      ))
        walk(y.node);
      flops += flopsOf(inner, seen);
    }
  }
  return flops;
}

const profile = {
  kind: "gpu",
  maxStorageBuffers: 10,
  maxInvocations: 256,
  maxWorkgroupBytes: 16384,
  maxBindingBytes: 1 << 30,
  subgroups: false,
  f16: false,
} as const;

/** A step of an encoder of many layers, each a checkpoint or not. */
function encoder(layers: number, width: number, wrapped: boolean, dropout = 0) {
  const generator = new Generator(1);
  const blocks = Array.from(
    { length: layers },
    () => new TransformerEncoderLayer(width, 4, { feedForward: 4 * width, dropout, batchFirst: true, generator }),
  );
  const head = new Linear(width, 5, { generator });
  const parameters = [...blocks, head].flatMap((block) => block.parameters());
  const optimizer = new AdamW(parameters, { lr: 1e-3 });
  const step = (x: Tensor, labels: Tensor) => {
    let h = x;
    for (const block of blocks)
      h = (wrapped ? checkpoint((y: Tensor) => block.forward(y)) : (y: Tensor) => block.forward(y))(h);
    const loss = crossEntropy(head.forward(h.mean(1)), labels);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  };
  return { step, parameters };
}

describe("checkpoint", () => {
  test("gives values, gradients and gradients of gradients of the function, eager and compiled", async () => {
    const w = tensor([
      [0.3, -0.2],
      [0.5, 0.7],
    ]);
    const f = (x: Tensor): Tensor => x.matmul(w).tanh().square();
    const x = tensor([
      [0.1, 0.2],
      [-0.3, 0.4],
      [1, 2],
    ]);
    const plain = grad((a: Tensor) => f(f(a)).exp().sum());
    const kept = grad((a: Tensor) => checkpoint(f)(checkpoint(f)(a)).exp().sum());
    same(await kept(x).read(), await plain(x).read());
    const twice = (g: (a: Tensor) => Tensor) => grad((a: Tensor) => g(a).square().sum());
    close(await twice(kept)(x).read(), await twice(plain)(x).read());
    close(await (await compile(twice(kept))(x)).read(), await (await compile(twice(plain))(x)).read());
    const nested = grad((a: Tensor) =>
      checkpoint((b: Tensor) => checkpoint(f)(b).add(f(b)))(a)
        .exp()
        .sum(),
    );
    close(await nested(x).read(), await grad((a: Tensor) => f(a).add(f(a)).exp().sum())(x).read());
    setDefaultDevice(new ReferenceDevice());
    try {
      await gradcheck(
        (a: Tensor) => checkpoint((b: Tensor) => [b.sin().mul(b), b.exp()])(a)[0]!,
        [tensor([0.1, 0.5, -0.7])],
      );
    } finally {
      setDefaultDevice(device);
    }
  });

  test("reaches variables and outer values that the function uses, and runs effects and draws once", async () => {
    const train = async (wrapped: boolean) => {
      const generator = new Generator(2);
      const noise = new Generator(3);
      const model = new Sequential(new Linear(4, 6, { generator }), new BatchNorm1d(6), new Dropout(0.4, noise), (y) =>
        y.tanh(),
      );
      const scale = new Linear(4, 6, { generator });
      const values = new Generator(4);
      const found: number[] = [];
      const optimizer = new AdamW([...model.parameters(), ...scale.parameters()], { lr: 0.01 });
      const step = compile((x: Tensor) => {
        const outer = scale.forward(x);
        const f = (y: Tensor): Tensor => model.forward(y).mul(outer);
        const loss = (wrapped ? checkpoint(f) : f)(x).square().mean();
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss;
      });
      for (let i = 0; i < 4; i++) found.push(await (await step(values.normal([8, 4]))).item());
      for (const v of [...model.stateDict().values(), ...scale.stateDict().values()]) found.push(...(await v.read()));
      return [...found, noise.calls];
    };
    same(await train(true), await train(false));
  });

  test("has the gradients of an encoder to the bit, dropout included", async () => {
    const results: number[][] = [];
    for (const wrapped of [false, true]) {
      const { step, parameters } = encoder(3, 16, wrapped, 0.1);
      const run = compile(step);
      const x = new Generator(9).normal([4, 12, 16]);
      const found: number[] = [];
      for (let i = 0; i < 3; i++) found.push(await (await run(x, tensor(Int32Array.of(0, 1, 2, 3)))).item());
      for (const p of parameters) found.push(...(await p.read()));
      results.push(found);
    }
    same(results[1]!, results[0]!);
  });

  test("holds at most 40 % of the bytes of a 12-layer encoder's plan, at 1.35 times its flops", (context) => {
    const [plain, kept] = [false, true].map((wrapped) => {
      const { step } = encoder(12, 64, wrapped);
      const { plan, memory } = planOf(
        step,
        [tensor(new Float32Array(8 * 128 * 64), { shape: [8, 128, 64] }), tensor(new Int32Array(8))] as const,
        profile,
      );
      return { held: memory.held, flops: flopsOf(plan.graph.nodes) };
    });
    const [bytes, flops] = [kept!.held / plain!.held, kept!.flops / plain!.flops];
    context.diagnostic(
      `${plain!.held} bytes held, with checkpoints ${kept!.held} (${bytes.toFixed(3)}); flops × ${flops.toFixed(3)}`,
    );
    assert.ok(bytes <= 0.4, `${bytes} of the bytes`);
    assert.ok(flops > 1.2 && flops <= 1.35, `${flops} times the flops`);
  });

  test("says what is no tensor", () => {
    assert.throws(() => checkpoint(5 as never), /checkpoint: takes a function, not 5/);
    assert.throws(() => checkpoint((x: Tensor) => x)(5 as never), /input 0 must be a tensor, not 5/);
    assert.throws(() => checkpoint((() => 5) as never)(tensor([1]) as never), /the result must be a tensor, not 5/);
  });
});
