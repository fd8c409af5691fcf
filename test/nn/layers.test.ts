/**
 * Layers against plain loops, against each other, and their first values. PyTorch's own numbers are in test/golden.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gradients } from "../../src/autograd/grad.ts";
import { gradcheck } from "../../src/testing/gradcheck.ts";
import {
  Conv1d,
  Dropout,
  Embedding,
  GRU,
  LSTM,
  LayerNorm,
  Linear,
  MaxPool1d,
  MultiHeadAttention,
  Sequential,
  TransformerEncoderLayer,
  dropout,
  gru,
  linear,
  lstm,
} from "../../src/nn/index.ts";
import { Generator, compile, ones, realize, tensor } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import type { Draw } from "../support/draw.ts";
import { assertClose, numbers } from "../support/helpers.ts";
import { drawn, holds, onReference } from "./helpers.ts";

const f64 = { dtype: "f64" } as const;

/** Values of several tensors, which may share work. */
async function values(...tensors: Tensor[]): Promise<number[][]> {
  const storages = await realize(tensors);
  return Promise.all(storages.map(async (s) => Array.from(await s.device.read(s))));
}

/** A mask [batch][steps] that is 1 for a first part of each row, of at least one step, and those lengths. */
function lengths(draw: Draw, batch: number, steps: number): { mask: Tensor; lengths: number[] } {
  const list = Array.from({ length: batch }, () => draw.int(1, steps));
  const data = Float64Array.from(list.flatMap((n) => Array.from({ length: steps }, (_, t) => Number(t < n))));
  return { mask: tensor(data, { shape: [batch, steps], dtype: "f64" }), lengths: list };
}

describe("linear, embedding, normalisation", () => {
  holds("Linear is x·Wᵀ + b at any rank", 20, async (draw) => {
    const [n, out] = [draw.int(1, 5), draw.int(1, 5)];
    const layer = new Linear(n, out, { ...f64, bias: draw.chance(0.7) });
    const lead = Array.from({ length: draw.int(0, 3) }, () => draw.int(1, 3));
    const x = drawn(draw, [...lead, n]);
    const y = layer.forward(x);
    assert.deepEqual(y.shape, [...lead, out]);
    const [found, xs, ws, bs] = await values(y, x, layer.weight, layer.bias ?? tensor(new Float64Array(out)));
    const expected = found.map((_, i) => {
      const [row, o] = [Math.floor(i / out), i % out];
      return bs[o] + Array.from({ length: n }, (__, k) => xs[row * n + k] * ws[o * n + k]).reduce((a, b) => a + b, 0);
    });
    assertClose(found, expected, 1e-12);
  });

  test("Embedding takes rows; the padding row starts at 0 and gets no gradient", () =>
    onReference(async () => {
      const layer = new Embedding(4, 3, { ...f64, paddingIndex: 2, generator: new Generator(5) });
      const index = tensor(Int32Array.of(3, 2, 3, 0), { shape: [2, 2], dtype: "i32" });
      const y = layer.forward(index);
      assert.deepEqual(y.shape, [2, 2, 3]);
      const [dw] = gradients([y], [ones(y.shape, "f64")], [layer.weight]);
      const [table, rows, slope] = await values(layer.weight, y, dw);
      assert.deepEqual(table.slice(6, 9), [0, 0, 0]);
      assert.ok([0, 1, 2, 3, 4, 5, 9, 10, 11].every((i) => table[i] !== 0));
      assert.deepEqual(rows, [...table.slice(9, 12), 0, 0, 0, ...table.slice(9, 12), ...table.slice(0, 3)]);
      assert.deepEqual(slope, [1, 1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 2]);
    }));

  test("LayerNorm scales and shifts what it normalised", () =>
    onReference(async () => {
      const layer = new LayerNorm(4, { ...f64, epsilon: 1 });
      layer.loadStateDict({ weight: { shape: [4], data: [1, 2, 3, 4] }, bias: { shape: [4], data: [0, 0, 1, 0] } });
      const scale = 1 / Math.sqrt(1.25 + 1);
      assertClose(
        await numbers(layer.forward(tensor(Float64Array.of(1, 2, 3, 4)))),
        [-1.5, -1, 1.5, 6].map((v, i) => v * scale + (i === 2 ? 1 : 0)),
        1e-7,
      );
    }));
});

describe("convolution and pooling", () => {
  holds("Conv1d with stride, padding, dilation and groups against loops", 40, async (draw) => {
    const groups = draw.int(1, 3);
    const [per, outPer, size] = [draw.int(1, 3), draw.int(1, 3), draw.int(1, 4)];
    const [stride, padding, dilation] = [draw.int(1, 3), draw.int(0, 2), draw.int(1, 2)];
    const [n, channels, out] = [draw.int(1, 2), per * groups, outPer * groups];
    const length = Math.max(1, (size - 1) * dilation + 1 - 2 * padding) + draw.int(0, 6);
    const layer = new Conv1d(channels, out, size, {
      ...f64,
      stride,
      padding,
      dilation,
      groups,
      bias: draw.chance(0.5),
    });
    assert.deepEqual(layer.weight.shape, [out, per, size]);
    const x = drawn(draw, [n, channels, length]);
    const y = layer.forward(x);
    const steps = Math.floor((length + 2 * padding - (size - 1) * dilation - 1) / stride) + 1;
    assert.deepEqual(y.shape, [n, out, steps]);
    const [found, xs, ws, bs] = await values(y, x, layer.weight, layer.bias ?? tensor(new Float64Array(out)));
    const expected: number[] = [];
    for (let b = 0; b < n; b++) {
      for (let o = 0; o < out; o++) {
        for (let t = 0; t < steps; t++) {
          let sum = bs[o];
          for (let c = 0; c < per; c++) {
            for (let k = 0; k < size; k++) {
              const at = t * stride + k * dilation - padding;
              const channel = Math.floor(o / outPer) * per + c;
              if (at >= 0 && at < length)
                sum += xs[(b * channels + channel) * length + at] * ws[(o * per + c) * size + k];
            }
          }
          expected.push(sum);
        }
      }
    }
    assertClose(found, expected, 1e-12);
  });

  test("MaxPool1d drops an incomplete window", () =>
    onReference(async () => {
      const x = tensor(Float64Array.of(1, 5, 2, 4, 3), { shape: [1, 1, 5], dtype: "f64" });
      assert.deepEqual(await numbers(new MaxPool1d(2).forward(x)), [5, 4]);
      assert.deepEqual(await numbers(new MaxPool1d(3, 1).forward(x)), [5, 5, 4]);
    }));
});

describe("dropout", () => {
  test("in training it zeroes about p and keeps the mean, anew at every run; otherwise it changes nothing", () =>
    onReference(async () => {
      const layer = new Dropout(0.25, new Generator(3));
      const x = ones([4000]);
      const run = compile((t: Tensor) => layer.forward(t));
      const [first, second] = [await numbers(await run(x)), await numbers(await run(x))];
      for (const y of [first, second]) {
        assert.ok(y.every((v) => v === 0 || Math.abs(v - 4 / 3) < 1e-6));
        const dropped = y.filter((v) => v === 0).length / y.length;
        assert.ok(Math.abs(dropped - 0.25) < 0.03, `${dropped} dropped`);
      }
      assert.notDeepEqual(first, second);
      layer.eval();
      assert.equal(layer.forward(x), x);
      assert.equal(dropout(x, 0), x);
      assert.throws(
        () => new Dropout(0.5, { generator: new Generator(0) } as never),
        /Dropout: the generator must be a Generator, not an object .generator.; write new Dropout\(0\.5, generator\)/,
      );
      assert.throws(() => new Dropout(1), /Dropout: the dropout probability is 1; it must be in \[0, 1\)/);
    }));
});

describe("recurrent layers", () => {
  for (const [name, Layer, run, gates] of [
    ["GRU", GRU, gru, 3],
    ["LSTM", LSTM, lstm, 4],
  ] as const) {
    const cells = name === "LSTM";

    holds(`${name}: layers and directions against a loop over cells`, 15, async (draw) => {
      const [steps, batch, size, hidden] = [draw.int(1, 4), draw.int(1, 3), draw.int(1, 4), draw.int(1, 4)];
      const numLayers = draw.int(1, 3);
      const bidirectional = draw.chance(0.5);
      const bias = draw.chance(0.7);
      const directions = bidirectional ? 2 : 1;
      const layer = new Layer(size, hidden, {
        ...f64,
        numLayers,
        bidirectional,
        bias,
        generator: new Generator(draw.int(0, 999)),
      });
      const x = drawn(draw, [steps, batch, size]);
      const h0 = drawn(draw, [numLayers * directions, batch, hidden]);
      const c0 = drawn(draw, [numLayers * directions, batch, hidden]);
      const result = layer.forward(x, cells ? { h0, c0 } : { h0 });
      const outputs = [result.y, result.hn, ...("cn" in result ? [result.cn as Tensor] : [])];
      const names = Object.keys(layer.weights);
      const [xs, h0s, c0s, ...rest] = await values(x, h0, c0, ...names.map((n) => layer.weights[n]), ...outputs);
      const weights = new Map(names.map((n, i) => [n, rest[i]]));
      const found = rest.slice(names.length);

      let input = xs;
      let width = size;
      const [hn, cn]: number[][] = [[], []];
      for (let k = 0; k < numLayers; k++) {
        const y = new Array<number>(steps * batch * directions * hidden).fill(0);
        for (let d = 0; d < directions; d++) {
          const of = (kind: string) => weights.get(`${kind}_l${k}${d ? "_reverse" : ""}`)!;
          for (let b = 0; b < batch; b++) {
            const start = ((k * directions + d) * batch + b) * hidden;
            let [h, c] = [h0s.slice(start, start + hidden), c0s.slice(start, start + hidden)];
            for (let s = 0; s < steps; s++) {
              const t = d ? steps - 1 - s : s;
              const row = input.slice((t * batch + b) * width, (t * batch + b + 1) * width);
              const product = (w: number[], v: number[], g: number) =>
                v.reduce((sum, e, i) => sum + e * w[g * v.length + i], 0);
              const part = (g: number) => product(of("weight_ih"), row, g) + (bias ? of("bias_ih")[g] : 0);
              const back = (g: number, state: number[]) =>
                product(of("weight_hh"), state, g) + (bias ? of("bias_hh")[g] : 0);
              const previous = h;
              if (cells) {
                const gate = (g: number, i: number) => part(g * hidden + i) + back(g * hidden + i, previous);
                c = c.map((e, i) => sigmoid(gate(1, i)) * e + sigmoid(gate(0, i)) * Math.tanh(gate(2, i)));
                h = c.map((e, i) => sigmoid(gate(3, i)) * Math.tanh(e));
              } else {
                h = previous.map((e, i) => {
                  const r = sigmoid(part(i) + back(i, previous));
                  const z = sigmoid(part(hidden + i) + back(hidden + i, previous));
                  const n = Math.tanh(part(2 * hidden + i) + r * back(2 * hidden + i, previous));
                  return (1 - z) * n + z * e;
                });
              }
              h.forEach((e, i) => (y[((t * batch + b) * directions + d) * hidden + i] = e));
            }
            hn.push(...h);
            cn.push(...c);
          }
        }
        [input, width] = [y, directions * hidden];
      }
      assertClose(found[0], input, 1e-12);
      assertClose(found[1], hn, 1e-12);
      if (cells) assertClose(found[2], cn, 1e-12);
    });

    holds(
      `${name}: a masked batch is as each sequence alone, values and gradients; batchFirst too`,
      10,
      async (draw) => {
        const [steps, batch, size, hidden] = [draw.int(1, 5), draw.int(1, 3), 3, 2];
        const batchFirst = draw.chance(0.5);
        const settings = { ...f64, numLayers: draw.int(1, 2), bidirectional: draw.chance(0.5), batchFirst };
        const layer = new Layer(size, hidden, settings);
        const x = drawn(draw, [batch, steps, size]);
        const { mask, lengths: list } = lengths(draw, batch, steps);
        const place = (t: Tensor) => (batchFirst ? t : t.transpose(0, 1));
        const together = layer.forward(place(x), { mask: place(mask) });
        const y = place(together.y);
        const parameters = layer.parameters();
        const alone = list.map((n, b) => layer.forward(place(x.slice([b, b + 1], [0, n]))));
        const padded = alone.map((r, b) =>
          place(r.y).pad([
            [0, 0],
            [0, steps - list[b]],
            [0, 0],
          ]),
        );
        const sum = (list: Tensor[]) => list.reduce((a, b) => a.add(b));
        const weight = drawn(draw, y.shape);
        const slopes = gradients([y.mul(weight).sum()], [ones([], "f64")], [x, ...parameters]);
        const expectedSlopes = gradients(
          [sum(padded.map((p, b) => p.mul(weight.slice([b, b + 1])).sum()))],
          [ones([], "f64")],
          [x, ...parameters],
        );
        const found = await values(y, together.hn, ...slopes);
        const each = await values(...padded, ...alone.map((r) => r.hn), ...expectedSlopes);
        assertClose(found[0], each.slice(0, batch).flat(), 1e-12);
        const states = together.hn.shape[0];
        const hn = Array.from({ length: states }, (_, s) =>
          each.slice(batch, 2 * batch).flatMap((h) => h.slice(s * hidden, (s + 1) * hidden)),
        );
        assertClose(found[1], hn.flat(), 1e-12);
        slopes.forEach((_, i) => assertClose(found[2 + i], each[2 * batch + i], 1e-11));
      },
    );

    test(`${name}: faults are named`, () => {
      const layer = new Layer(3, 2);
      assert.throws(() => layer.forward(ones([4, 3])), /x \[4, 3\] must be \[steps, batch, in\]/);
      assert.throws(
        () => layer.forward(ones([4, 1, 5])),
        new RegExp(`weight_ih_l0 has shape \\[${gates * 2}, 3\\], not \\[${gates * 2}, 5\\]`),
      );
      assert.throws(
        () => layer.forward(ones([4, 1, 3]), { h0: ones([2, 1, 2]) }),
        /h0 has shape \[2, 1, 2\], not \[1, 1, hidden\]/,
      );
      assert.throws(
        () => layer.forward(ones([4, 1, 3]), { mask: ones([1, 4]) }),
        /mask has shape \[1, 4\].* need \[4, 1\]/,
      );
      assert.throws(
        () => run(ones([4, 1, 3]), { weight_ih_l0: ones([6, 3]) }),
        /there is no weight "weight_hh_l0"; there is weight_ih_l0/,
      );
      assert.throws(
        () => new Layer(3, 0),
        new RegExp(`${name}: hiddenSize is 0; it must be a whole number of at least 1`),
      );
    });
  }

  test("dropout between layers is on in training only", () =>
    onReference(async () => {
      const layer = new GRU(3, 4, { ...f64, numLayers: 2, dropout: 0.5 });
      const x = ones([3, 2, 3], "f64");
      const still = new GRU(3, 4, { ...f64, numLayers: 2 });
      still.loadStateDict(layer.stateDict());
      const run = async () => numbers(layer.forward(x).y);
      assert.notDeepEqual(await run(), await run());
      layer.eval();
      assert.deepEqual(await run(), await numbers(still.forward(x).y));
    }));

  test("dropout between layers draws from the generator that the layer was given", () =>
    onReference(async () => {
      const x = ones([3, 2, 3], "f64");
      const drawn = async (): Promise<number[]> => {
        const layer = new LSTM(3, 4, { ...f64, numLayers: 2, dropout: 0.5, generator: new Generator(7) });
        return numbers(layer.forward(x).y);
      };
      assert.deepEqual(await drawn(), await drawn());
    }));
});

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe("attention", () => {
  holds("self-attention is attention of a tensor on a copy of itself; batchFirst too", 15, async (draw) => {
    const [heads, dim, steps, batch] = [draw.int(1, 3), draw.int(1, 4), draw.int(1, 5), draw.int(1, 3)];
    const batchFirst = draw.chance(0.5);
    const layer = new MultiHeadAttention(heads * dim, heads, { ...f64, batchFirst, bias: draw.chance(0.7) });
    layer.loadStateDict(Object.fromEntries([...layer.stateDict()].map(([name, p]) => [name, drawn(draw, p.shape)])));
    const x = drawn(draw, batchFirst ? [batch, steps, heads * dim] : [steps, batch, heads * dim]);
    const { mask } = lengths(draw, batch, steps);
    // Sums with 0 from data, which the graph cannot see through.
    const zero = tensor(new Float64Array(1));
    const copy = x.add(zero);
    const inputs = draw.chance(0.5) ? { mask } : {};
    const forms = [
      layer.forward(x, inputs),
      layer.forward(x, { key: copy, ...inputs }),
      layer.forward(x, { key: copy, value: x.add(zero), ...inputs }),
    ];
    const [one, two, three] = await values(...forms);
    assertClose(two, one, 1e-12);
    assertClose(three, one, 1e-12);
  });

  holds("a masked key counts as if it were not there", 10, async (draw) => {
    const layer = new TransformerEncoderLayer(6, 2, {
      ...f64,
      feedForward: 5,
      dropout: 0,
      batchFirst: true,
      normFirst: draw.chance(0.5),
    });
    const [steps, batch] = [draw.int(2, 5), draw.int(1, 3)];
    const x = drawn(draw, [batch, steps, 6]);
    const { mask, lengths: list } = lengths(draw, batch, steps);
    const together = layer.forward(x, { mask });
    const found = await values(...list.map((n, b) => together.slice([b, b + 1], [0, n])));
    const alone = await values(...list.map((n, b) => layer.forward(x.slice([b, b + 1], [0, n]))));
    found.forEach((y, b) => assertClose(y, alone[b], 1e-12));
  });

  test("gradients of an encoder layer against differences, with every choice of norm and activation", () =>
    onReference(async () => {
      for (const normFirst of [false, true]) {
        for (const activation of ["gelu", "relu"] as const) {
          const layer = new TransformerEncoderLayer(4, 2, {
            ...f64,
            feedForward: 3,
            dropout: 0,
            normFirst,
            activation,
            generator: new Generator(8),
          });
          const x = new Generator(9).normal([3, 2, 4], 0, 1, "f64");
          await gradcheck((input) => layer.forward(input), [x]);
        }
      }
    }));

  test("dropout in training only; a compiled step draws anew", () =>
    onReference(async () => {
      const layer = new TransformerEncoderLayer(4, 2, { ...f64, feedForward: 3, dropout: 0.5, batchFirst: true });
      const x = ones([2, 3, 4], "f64");
      const run = compile((t: Tensor) => layer.forward(t));
      assert.notDeepEqual(await numbers(await run(x)), await numbers(await run(x)));
      layer.eval();
      assert.deepEqual(await numbers(layer.forward(x)), await numbers(layer.forward(x)));
    }));

  test("faults are named", () => {
    assert.throws(() => new MultiHeadAttention(6, 4), /width 6 is no multiple of 4 heads/);
    assert.throws(
      () => new MultiHeadAttention(6, 2).forward(ones([2, 3, 5])),
      /\[2, 3, 5\] must have 3 axes, the last of 6/,
    );
    assert.throws(
      () => new TransformerEncoderLayer(6, 2, { activation: "swish" as "relu" }),
      /activation "swish" is not "relu", "gelu" or a function/,
    );
  });
});

describe("first values", () => {
  const cases: [string, Tensor, "uniform" | "normal", number][] = [];
  const generator = new Generator(11);
  const linearLayer = new Linear(400, 300, { generator });
  cases.push(
    ["Linear weight", linearLayer.weight, "uniform", 1 / 20],
    ["Linear bias", linearLayer.bias!, "uniform", 1 / 20],
  );
  const conv = new Conv1d(40, 60, 5, { groups: 20, generator });
  cases.push(["Conv1d weight", conv.weight, "uniform", 1 / Math.sqrt(10)]);
  const gruLayer = new GRU(50, 64, { generator });
  cases.push(
    ["GRU weight_ih", gruLayer.weights.weight_ih_l0, "uniform", 1 / 8],
    ["GRU bias_hh", gruLayer.weights.bias_hh_l0, "uniform", 1 / 8],
  );
  const mha = new MultiHeadAttention(64, 4, { generator });
  cases.push(
    ["in_proj_weight", mha.in_proj_weight, "uniform", Math.sqrt(6 / 256)],
    ["out_proj.weight", mha.out_proj.weight, "uniform", 1 / 8],
  );
  cases.push(["Embedding weight", new Embedding(200, 40, { generator }).weight, "normal", 1]);

  for (const [name, weight, kind, scale] of cases) {
    test(`${name}: ${kind}, ${kind === "uniform" ? "within ±" : "deviation "}${scale.toFixed(4)}`, () =>
      onReference(async () => {
        const found = await numbers(weight);
        const mean = found.reduce((a, b) => a + b, 0) / found.length;
        const deviation = Math.sqrt(found.reduce((a, b) => a + (b - mean) ** 2, 0) / found.length);
        const expected = kind === "uniform" ? scale / Math.sqrt(3) : scale;
        const slack = 5 / Math.sqrt(found.length);
        assert.ok(Math.abs(mean) < expected * slack, `mean ${mean}`);
        assert.ok(Math.abs(deviation / expected - 1) < slack, `deviation ${deviation}, not ${expected}`);
        if (kind === "uniform") assert.ok(found.every((v) => Math.abs(v) <= scale * (1 + 1e-6)));
      }));
  }

  test("attention's biases start at 0, layer norm's at 0 and weights at 1", () =>
    onReference(async () => {
      assert.ok((await numbers(mha.in_proj_bias!)).every((v) => v === 0));
      assert.ok((await numbers(mha.out_proj.bias!)).every((v) => v === 0));
      const norm = new LayerNorm(3);
      assert.deepEqual(await numbers(norm.weight!), [1, 1, 1]);
      assert.deepEqual(await numbers(norm.bias!), [0, 0, 0]);
    }));
});

describe("faults of settings and shapes", () => {
  test("are named", () => {
    assert.throws(() => new Linear(0, 2), /Linear: inFeatures is 0; it must be a whole number of at least 1/);
    assert.throws(
      () => linear(ones([2, 3]), ones([4, 5])),
      /linear: the last axis of x \[2, 3\] must be that of the weight \[4, 5\]/,
    );
    assert.throws(() => new Conv1d(4, 6, 3, { groups: 3 }), /Conv1d: 4 and 6 channels do not divide into 3 groups/);
    assert.throws(() => new Embedding(4, 2, { paddingIndex: 4 }), /paddingIndex is 4; it must be in 0\.\.3/);
    assert.throws(() => new Embedding(4, 2).forward(ones([2])), /the index must be i32 or u32, not f32/);
    assert.throws(() => new MaxPool1d(0), /MaxPool1d: size is 0/);
  });

  test("Sequential chains modules and functions", () =>
    onReference(async () => {
      const chain = new Sequential(new MaxPool1d(2), (x) => x.mul(10), new MaxPool1d(2));
      assert.deepEqual(
        await numbers(chain.forward(tensor(Float64Array.of(1, 4, 3, 2), { shape: [1, 1, 4], dtype: "f64" }))),
        [40],
      );
    }));
});
