/** Initialisers: bounds and deviations are torch.nn.init's, values lie where they must, matrices are orthogonal. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  calculateGain,
  Conv2d,
  dirac,
  kaimingNormal,
  kaimingUniform,
  Linear,
  orthogonal,
  truncatedNormal,
  xavierNormal,
  xavierUniform,
} from "../../src/nn/index.ts";
import { Generator, zeros } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { numbers } from "../support/helpers.ts";
import { onReference } from "./helpers.ts";

const drawn = (seed = 3) => ({ generator: new Generator(seed), dtype: "f64" }) as const;

async function spread(x: Tensor): Promise<{ mean: number; deviation: number; least: number; most: number }> {
  const list = await numbers(x);
  const mean = list.reduce((a, b) => a + b, 0) / list.length;
  const deviation = Math.sqrt(list.reduce((a, b) => a + (b - mean) ** 2, 0) / list.length);
  return { mean, deviation, least: Math.min(...list), most: Math.max(...list) };
}

const near = (found: number, wanted: number, share: number, what: string): void =>
  assert.ok(Math.abs(found - wanted) <= share * Math.abs(wanted), `${what}: ${found}, not ${wanted}`);

describe("initialisers", () => {
  test("gains are those of torch.nn.init.calculate_gain", () => {
    assert.deepEqual(
      (["linear", "conv", "sigmoid", "tanh", "relu", "selu"] as const).map((name) => calculateGain(name)),
      [1, 1, 1, 5 / 3, Math.sqrt(2), 0.75],
    );
    assert.equal(calculateGain("leakyRelu"), Math.sqrt(2 / (1 + 1e-4)));
    assert.equal(calculateGain("leakyRelu", 2), Math.sqrt(2 / 5));
    assert.throws(
      () => calculateGain("gelu" as "relu"),
      /calculateGain: "gelu" is not known; choose from linear, conv/,
    );
  });

  /** [the tensor, its deviation, its bound where it is uniform]; fans of [40, 30, 3, 2] are 180 and 240. */
  const shape = [40, 30, 3, 2];
  for (const [name, make, deviation, bound] of [
    [
      "xavierUniform",
      () => xavierUniform(shape, { gain: 2, ...drawn() }),
      2 * Math.sqrt(2 / 420),
      2 * Math.sqrt(6 / 420),
    ],
    ["xavierNormal", () => xavierNormal(shape, drawn()), Math.sqrt(2 / 420), undefined],
    ["kaimingUniform", () => kaimingUniform(shape, drawn()), Math.sqrt(2 / 180), Math.sqrt(6 / 180)],
    [
      "kaimingUniform, a √5",
      () => kaimingUniform(shape, { a: Math.sqrt(5), ...drawn() }),
      1 / Math.sqrt(3 * 180),
      1 / Math.sqrt(180),
    ],
    [
      "kaimingNormal, fanOut, tanh",
      () => kaimingNormal(shape, { mode: "fanOut", nonlinearity: "tanh", ...drawn() }),
      5 / 3 / Math.sqrt(240),
      undefined,
    ],
  ] as const) {
    test(`${name}: the deviation that PyTorch's has`, () =>
      onReference(async () => {
        const found = await spread(make());
        near(found.deviation, deviation, 0.03, "deviation");
        assert.ok(Math.abs(found.mean) < 0.05 * deviation, `mean ${found.mean}`);
        if (bound === undefined) return;
        assert.ok(found.most <= bound && found.least >= -bound, `${found.least} … ${found.most} within ±${bound}`);
        assert.ok(found.most > 0.99 * bound && found.least < -0.99 * bound, "reaches its ends");
      }));
  }

  test("truncatedNormal: the moments of what is left of a normal, and nothing outside", () =>
    onReference(async () => {
      const all = await spread(truncatedNormal([20000], drawn()));
      assert.ok(all.least >= -2 && all.most <= 2);
      near(all.deviation, 0.8796, 0.01, "deviation of a standard normal within two");
      const side = await spread(truncatedNormal([20000], { mean: 1, deviation: 2, low: 2, high: 6, ...drawn() }));
      assert.ok(side.least >= 2 && side.most <= 6);
      // The mean of a normal(1, 2) within [2, 6]: 1 + 2·(φ(½) − φ(2½)) / (Φ(2½) − Φ(½)).
      near(side.mean, 1 + (2 * (0.3520653 - 0.0175283)) / (0.9937903 - 0.6914625), 0.01, "mean");
      const narrow = await numbers(truncatedNormal([1000], { deviation: 0.02, low: -2, high: 2, ...drawn() }));
      assert.ok(narrow.every((v) => Math.abs(v) < 0.12 && Number.isFinite(v)));
      assert.throws(() => truncatedNormal([3], { low: 1, high: 1 }), /low 1 below high 1/);
      assert.throws(() => truncatedNormal([3], { low: 90, high: 91 }), /\[90, 91\] holds none of a normal/);
    }));

  for (const shape of [
    [6, 6],
    [4, 7],
    [9, 3],
    [4, 2, 3, 1],
    [1, 5],
    [64, 64],
  ]) {
    test(`orthogonal [${shape.join(", ")}]: rows, or columns, of length gain and at right angles`, () =>
      onReference(async () => {
        const [rows, columns] = [shape[0], shape.slice(1).reduce((a, b) => a * b)];
        const matrix = orthogonal(shape, { gain: 3, ...drawn(shape.length) }).reshape([rows, columns]);
        const gram = rows > columns ? matrix.transpose().matmul(matrix) : matrix.matmul(matrix.transpose());
        const n = Math.min(rows, columns);
        const found = await numbers(gram);
        found.forEach((v, i) => {
          const wanted = i % (n + 1) === 0 ? 9 : 0;
          assert.ok(Math.abs(v - wanted) < 1e-9, `${i}: ${v}, not ${wanted}`);
        });
      }));
  }

  test("dirac: a convolution that leaves channels as they are, by groups too", () =>
    onReference(async () => {
      const generator = new Generator(1);
      const x = generator.normal([2, 4, 5, 6]);
      for (const groups of [1, 2]) {
        const conv = new Conv2d(4, 4, [3, 5], { padding: "same", groups, bias: false, generator });
        conv.weight.assign(dirac(conv.weight.shape, { groups }));
        assert.deepEqual(await numbers(conv.forward(x)), await numbers(x));
      }
      assert.deepEqual(await numbers(dirac([3, 2, 1])), [1, 0, 0, 1, 0, 0]);
      assert.throws(() => dirac([3, 3]), /dirac: \[3, 3\] is no convolution's weight/);
    }));

  test("values are the generator's: the same from the same seed; fans need two axes; no elements are none", () =>
    onReference(async () => {
      const twice = [1, 1].map((seed) => kaimingNormal([4, 3], { generator: new Generator(seed) }));
      assert.deepEqual(await numbers(twice[0]), await numbers(twice[1]));
      for (const make of [xavierUniform, xavierNormal, kaimingUniform, kaimingNormal]) {
        assert.throws(() => make([5]), new RegExp(`${make.name}: \\[5\\] has no fan-in and fan-out`));
        assert.deepEqual(make([0, 0]).shape, [0, 0]);
      }
      assert.throws(() => kaimingNormal([2, 2], { mode: "fan_in" as "fanIn" }), /mode is "fan_in"; it must be "fanIn"/);
      const layer = new Linear(3, 2, { generator: new Generator(0) });
      layer.weight.assign(orthogonal(layer.weight.shape));
      layer.bias!.assign(zeros([2]));
      assert.equal((await numbers(layer.weight)).length, 6);
    }));
});
