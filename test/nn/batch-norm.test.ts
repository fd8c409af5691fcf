/** Batch normalisation layers in training steps: compiled, frozen, and within momentum networks. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  BatchNorm1d,
  BatchNorm2d,
  Conv2d,
  Flatten,
  Linear,
  SGD,
  Sequential,
  copyParameters,
  emaUpdate,
} from "../../src/nn/index.ts";
import { batchNormTraining } from "../../src/ops/index.ts";
import { gradgradcheck } from "../../src/testing/gradcheck.ts";
import { noGrad } from "../../src/autograd/grad.ts";
import { Generator, compile, realize, seed, tensor, zeros } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import { onReference } from "./helpers.ts";

const network = () =>
  new Sequential(new Conv2d(2, 3, 3), new BatchNorm2d(3), (x) => x.relu(), new Flatten(), new Linear(12, 2));
const batch = (seed: number): Tensor => new Generator(seed).normal([5, 2, 4, 4]);

async function valuesOf(module: Sequential): Promise<Record<string, number[]>> {
  const state = module.stateDict();
  await realize([...state.values()]);
  return Object.fromEntries(await Promise.all([...state].map(async ([k, v]) => [k, await numbers(v)] as const)));
}

describe("batch normalisation in steps", () => {
  test("names, shapes and dtypes of the state are PyTorch's", () => {
    const shapes = [...new BatchNorm2d(3).stateDict()].map(([k, v]) => `${k} ${v.dtype}[${v.shape}] ${v.trainable}`);
    assert.deepEqual(shapes, [
      "weight f32[3] true",
      "bias f32[3] true",
      "running_mean f32[3] false",
      "running_var f32[3] false",
      "num_batches_tracked i32[] false",
    ]);
    assert.deepEqual([...new BatchNorm1d(3, { affine: false, trackRunningStats: false }).stateDict().keys()], []);
  });

  test("a compiled training step and the same calls one by one leave the same weights and statistics", () =>
    onReference(async () => {
      const runs: Record<string, number[]>[] = [];
      for (const compiled of [false, true]) {
        seed(7);
        const net = network();
        const sgd = new SGD(net.parameters(), { lr: 0.1 });
        const body = (x: Tensor) => {
          sgd.zeroGrad();
          const loss = net.forward(x).square().mean();
          loss.backward();
          sgd.step();
          return loss;
        };
        const step = compiled ? compile(body) : body;
        for (let i = 0; i < 3; i++) await (await step(batch(i))).read();
        runs.push(await valuesOf(net));
      }
      for (const [key, values] of Object.entries(runs[0])) assertClose(runs[1][key], values, 1e-12);
      assert.deepEqual(runs[1]["1.num_batches_tracked"], [3]);
    }));

  test("a momentum network keeps statistics of its own, and its weights follow", () =>
    onReference(async () => {
      seed(3);
      const [query, key] = [network(), network().freeze()];
      copyParameters(key, query);
      const sgd = new SGD(query.parameters(), { lr: 0.1 });
      const step = compile((a: Tensor, b: Tensor) => {
        sgd.zeroGrad();
        const wanted = noGrad(() => key.forward(b));
        const loss = query.forward(a).sub(wanted).square().mean();
        loss.backward();
        sgd.step();
        emaUpdate(key, query, 0.5);
        return loss;
      });
      const start = await valuesOf(query);
      await (await step(batch(1), batch(2))).read();
      const [q, k] = [await valuesOf(query), await valuesOf(key)];
      for (const name of ["0.weight", "1.weight", "4.bias"]) {
        assertClose(
          k[name],
          start[name].map((v, i) => 0.5 * v + 0.5 * q[name][i]),
          1e-9,
        );
      }
      assert.notDeepEqual(q["1.running_mean"], k["1.running_mean"]);
      assert.deepEqual([q["1.num_batches_tracked"], k["1.num_batches_tracked"]], [[1], [1]]);
      const own = new Sequential(new Conv2d(2, 3, 3), new BatchNorm2d(3));
      own.loadStateDict({
        "0.weight": tensor(start["0.weight"], { shape: [3, 2, 3, 3] }),
        "0.bias": tensor(start["0.bias"]),
        "1.weight": tensor(start["1.weight"]),
        "1.bias": tensor(start["1.bias"]),
        "1.running_mean": zeros([3]),
        "1.running_var": tensor([1, 1, 1]),
        "1.num_batches_tracked": zeros([], "i32"),
      });
      await own.forward(batch(2)).read();
      assertClose(k["1.running_mean"], await numbers(own.stateDict().get("1.running_mean")!), 1e-9);
    }));

  test("in evaluation nothing is tracked, and a batch of one passes; in training it does not", () =>
    onReference(async () => {
      const layer = new BatchNorm1d(2);
      assert.throws(() => layer.forward(zeros([1, 2])), /batchNorm: \[1, 2\] has 1 values a channel/);
      layer.eval();
      assert.deepEqual(await numbers(layer.forward(zeros([1, 2]))), [0, 0]);
      assert.deepEqual(await numbers(layer.num_batches_tracked!), [0]);
      assert.throws(() => layer.forward(zeros([1, 3])), /BatchNorm1d: x is \[1, 3\], not \[N, 2\] or \[N, 2, …\]/);
    }));

  test("second derivatives of what depends on the result and, through the first ones, on the statistics", () =>
    onReference(async () => {
      const generator = new Generator(5);
      const drawn = (shape: readonly number[]) => generator.normal(shape, 0, 1, "f64");
      await gradgradcheck(
        (x, weight, bias) => batchNormTraining(x!, { weight, bias, epsilon: 0.1 }).y.tanh().exp(),
        [drawn([4, 2, 3]), drawn([2]), drawn([2])],
      );
    }));
});
