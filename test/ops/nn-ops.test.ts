/** The ops of src/ops on drawn shapes, axes and options: every export has cases here. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import * as ops from "../../src/ops/index.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { tensor } from "../../src/tensor/index.ts";
import type { Draw } from "../support/draw.ts";
import {
  devicesAgree,
  gradientsAgree,
  leafTensor,
  openTestDevice,
  openTestDevices,
  property,
  valuesOf,
} from "../support/helpers.ts";
import type { LeafData } from "../support/draw.ts";
import type { OpCase } from "../support/helpers.ts";
import { ARRAYS } from "./array-cases.ts";
import type { Maker } from "./spatial-cases.ts";
import { LOSSES } from "./loss-cases.ts";
import { SPATIAL } from "./spatial-cases.ts";

const overAxis =
  (name: "softmax" | "logSoftmax" | "logSumExp" | "l2Normalize"): Maker =>
  (draw, elements) => {
    const shape = draw.shape({ minRank: 1, elements });
    const axis = draw.int(-shape.length, shape.length - 1);
    const drawn = draw.operand(shape, {
      domain: draw.pick([
        [-3, 3],
        [-30, 30],
      ] as const),
    });
    const f = ops[name];
    // A single element has a constant softmax: the derivative is 0, and differences are all rounding.
    return {
      name: `${name} over ${axis} (${drawn.how})`,
      leaves: [drawn.leaf],
      f: (x) => f(drawn.view(x), axis),
      bound: 5e-6,
      gradientBound: 2e-5,
    };
  };

const MAKERS: Record<string, Maker> = {
  ...SPATIAL,
  ...LOSSES,
  ...ARRAYS,
  softmax: overAxis("softmax"),
  logSoftmax: overAxis("logSoftmax"),
  logSumExp: overAxis("logSumExp"),
  l2Normalize: overAxis("l2Normalize"),
  layerNorm(draw, elements) {
    const shape = draw.shape({ minRank: 1, elements });
    const n = shape[shape.length - 1];
    const [weight, bias] = [draw.operand([n]), draw.operand([n])];
    // A row of equal elements has variance 0: its gradient is a difference of large numbers.
    let x = draw.operand(shape, { distinct: true });
    while (x.how.startsWith("expand")) x = draw.operand(shape, { distinct: true });
    const [scaled, shifted] = [draw.chance(0.7), draw.chance(0.7)];
    const epsilon = draw.pick([undefined, 1e-3, 0.1]);
    const leaves = [x.leaf, ...(scaled ? [weight.leaf] : []), ...(shifted ? [bias.leaf] : [])];
    return {
      name: `layerNorm (${x.how}) weight ${scaled} bias ${shifted} epsilon ${epsilon}`,
      leaves,
      bound: 2e-5,
      gradientBound: 2e-4,
      f: (t, ...rest) => {
        const [w, b] = [
          scaled ? weight.view(rest[0]) : undefined,
          shifted ? bias.view(rest[scaled ? 1 : 0]) : undefined,
        ];
        return ops.layerNorm(x.view(t), { weight: w, bias: b, epsilon: n === 1 ? 0.1 : epsilon });
      },
    };
  },
  crossEntropy(draw, elements) {
    const shape = draw.shape({ minRank: 1, maxRank: 3, elements });
    const classes = shape[shape.length - 1];
    const labels = draw.data(shape.slice(0, -1), { dtype: draw.pick(["i32", "u32"]) });
    labels.data.forEach((_, i) => (labels.data[i] = draw.int(0, classes - 1)));
    const x = draw.operand(shape);
    const options = {
      labelSmoothing: draw.pick([undefined, 0, 0.1, 0.5]),
      reduction: draw.pick(["mean", "sum", "none", undefined] as const),
    };
    return {
      name: `crossEntropy (${x.how}) ${JSON.stringify(options)}`,
      leaves: [x.leaf, labels],
      bound: 1e-5,
      f: (t, l) => ops.crossEntropy(x.view(t), l, options),
    };
  },
  meanSquaredError(draw, elements) {
    const shape = draw.shape({ elements });
    const [a, b] = [draw.operand(shape, { grid: 0 }), draw.operand(shape, { grid: 3 })];
    const reduction = draw.pick(["mean", "sum", "none"] as const);
    return {
      name: `meanSquaredError ${reduction}`,
      leaves: [a.leaf, b.leaf],
      bound: 5e-6,
      f: (x, y) => ops.meanSquaredError(a.view(x), b.view(y), reduction),
    };
  },
  maxPool1d(draw, elements) {
    const size = draw.int(1, 4);
    const shape = [...draw.shape({ maxRank: 2, elements: elements / 4 }), size + draw.int(0, 5)];
    const stride = draw.pick([undefined, 1, 2, 3]);
    return {
      name: `maxPool1d ${size} ${stride}`,
      leaves: [draw.data(shape, { distinct: true })],
      f: (x) => ops.maxPool1d(x, size, stride).square(),
      bound: 1e-6,
    };
  },
  depthwiseConv1d(draw, elements) {
    const [size, stride, padding, axis, channels] = [
      draw.int(1, 5),
      draw.int(1, 2),
      draw.int(0, 2),
      draw.int(0, 1),
      draw.int(1, 6),
    ];
    const along = Math.max(1, size - 2 * padding) + draw.int(0, Math.max(1, Math.floor(elements / 40)));
    const shape = axis === 0 ? [along, draw.int(1, 3), channels] : [draw.int(1, 3), along, channels];
    const [x, weight, bias] = [draw.operand(shape), draw.operand([channels, 1, size]), draw.data([channels])];
    const biased = draw.chance(0.5);
    const options = { stride, padding, axis };
    return {
      name: `depthwiseConv1d ${JSON.stringify(options)} (${x.how}; ${weight.how})`,
      bound: 5e-6,
      leaves: [x.leaf, weight.leaf, ...(biased ? [bias] : [])],
      f: (t, w, b) => ops.depthwiseConv1d(x.view(t), weight.view(w), { ...options, bias: b }),
    };
  },
  segmentMax(draw, elements) {
    const lengths = Array.from({ length: draw.int(1, 4) }, () => draw.int(1, Math.max(1, Math.floor(elements / 30))));
    const shape = [draw.int(1, 3), lengths.reduce((a, b) => a + b), draw.int(1, 5)];
    return {
      name: `segmentMax ${lengths.join()}`,
      leaves: [draw.data(shape, { distinct: true })],
      f: (x) => ops.segmentMax(x, lengths).square(),
      bound: 1e-6,
    };
  },
  interpolateLinear(draw, elements) {
    const x = draw.operand(draw.shape({ minRank: 1, elements }));
    const size = draw.int(1, 9);
    return {
      name: `interpolateLinear to ${size} (${x.how})`,
      leaves: [x.leaf],
      f: (t) => ops.interpolateLinear(x.view(t), size).square(),
      bound: 1e-5,
    };
  },
  pad(draw, elements) {
    const shape = draw.shape({ minRank: 1, maxRank: 3, elements: Math.max(4, elements / 4) });
    const x = draw.operand(shape);
    const mode = draw.pick(["constant", "reflect", "replicate", "circular"] as const);
    const widths = shape.slice(draw.int(0, shape.length - 1)).map((n): [number, number] => {
      const most = Math.min(3, mode === "reflect" ? n - 1 : mode === "circular" ? n : 3);
      return [draw.int(0, most), draw.int(0, most)];
    });
    const options = { mode, value: mode === "constant" ? draw.pick([0, 1.5]) : undefined };
    return {
      name: `pad ${JSON.stringify(widths)} ${JSON.stringify(options)} (${x.how})`,
      leaves: [x.leaf],
      f: (t) => ops.pad(x.view(t), widths, options).square(),
      bound: 1e-5,
    };
  },
  topK(draw, elements) {
    const shape = draw.shape({ minRank: 1, elements });
    const k = draw.int(1, Math.min(5, shape[shape.length - 1]));
    // Views that repeat elements make ties, which finite differences cannot see past.
    const x =
      elements > 20
        ? draw.operand(shape, { domain: [-0.4, 0.4] })
        : { leaf: draw.data(shape, { distinct: true }), view: (t: Tensor) => t, how: "plain" };
    return {
      name: `topK ${k} (${x.how})`,
      leaves: [x.leaf],
      bound: 1e-6,
      f: (t) => {
        const { values, indices } = ops.topK(x.view(t), k);
        return [values.square(), indices];
      },
    };
  },
  scan(draw, elements) {
    const small = elements <= 20;
    const [steps, batch, hidden] = [draw.int(1, 3), draw.int(1, small ? 2 : 5), draw.int(1, small ? 2 : 9)];
    const domain = [-1, 1] as const;
    const x = draw.operand([steps, batch, hidden], { domain });
    const weight = draw.operand([hidden, hidden], { domain });
    const lengths = draw.chance(0.5) ? Array.from({ length: batch }, () => draw.int(0, steps)) : undefined;
    const reverse = draw.chance(0.5);
    return {
      name: `scan lengths ${lengths?.join()} reverse ${reverse} (${x.how}; ${weight.how})`,
      leaves: [x.leaf, weight.leaf, draw.data([batch, hidden], { domain })],
      bound: 1e-5,
      gradientBound: 1e-4,
      f: (a, b, state) => {
        const cell = (h: Tensor, x: Tensor, w: Tensor) => {
          const next = h.matmul(w).add(x).tanh();
          return { state: next, output: next.mul(x) };
        };
        const options = { state, inputs: x.view(a), weights: weight.view(b), lengths, reverse };
        return Object.values(ops.scan(cell, options));
      },
    };
  },
  gruScan: scan("gruScan", 3),
  lstmScan: scan("lstmScan", 4),
  attention(draw, elements) {
    const small = elements <= 20;
    const [batch, heads, dim] = [draw.int(1, 2), draw.int(1, 2), draw.int(1, small ? 3 : 9)];
    const [queries, keys] = [draw.int(1, small ? 3 : 19), draw.int(1, small ? 3 : 19)];
    const [q, k, v] = [queries, keys, keys].map((n) => draw.operand([batch, n, heads, dim], { domain: [-1, 1] }));
    const masks = attentionMasks(draw, [batch, heads, queries, keys]);
    return {
      name: `attention ${masks.how} (${q.how}; ${k.how}; ${v.how})`,
      leaves: [q.leaf, k.leaf, v.leaf],
      bound: 1e-5,
      f: (a, b, c) => ops.attention(q.view(a), k.view(b), v.view(c), masks.options()),
    };
  },
  packedAttention(draw, elements) {
    const small = elements <= 20;
    const [batch, heads, dim] = [draw.int(1, 2), draw.int(1, 2), draw.int(1, small ? 2 : 9)];
    const segments = draw.chance(0.4)
      ? Array.from({ length: draw.int(1, 3) }, () => draw.int(1, small ? 2 : 9))
      : undefined;
    const steps = segments ? segments.reduce((a, b) => a + b) : draw.int(1, small ? 3 : 19);
    const x = draw.operand([batch, steps, 3 * heads * dim], { domain: [-1, 1] });
    const masks = attentionMasks(draw, [batch, heads, steps, segments ? Math.max(...segments) : steps], steps);
    return {
      name: `packedAttention ${heads} heads, segments ${segments?.join()}, ${masks.how} (${x.how})`,
      leaves: [x.leaf],
      bound: 1e-5,
      f: (t) => ops.packedAttention(x.view(t), heads, { ...masks.options(), segments }),
    };
  },
  infoNCE(draw, elements) {
    const [n, c, k] =
      elements <= 20
        ? [draw.int(1, 3), draw.int(1, 3), draw.int(1, 4)]
        : [draw.int(1, 20), draw.int(1, 18), draw.int(1, 70)];
    const positives = draw.chance(0.5) ? [n, c] : [n, draw.int(1, 4), c];
    const [q, p, queue] = [
      draw.operand([n, c], { domain: [-1, 1] }),
      draw.operand(positives, { domain: [-1, 1] }),
      draw.operand([c, k], { domain: [-1, 1] }),
    ];
    const options = { temperature: draw.pick([0.2, 0.5, 1]), reduction: draw.pick(["mean", "sum", "none"] as const) };
    return {
      name: `infoNCE ${JSON.stringify(options)} (${q.how}; ${p.how}; ${queue.how})`,
      leaves: [q.leaf, p.leaf, queue.leaf],
      bound: 1e-5,
      f: (a, b, d) => ops.infoNCE(q.view(a), p.view(b), queue.view(d), options),
    };
  },
  ntXent(draw, elements) {
    const [n, c] = elements <= 20 ? [draw.int(1, 3), draw.int(2, 3)] : [draw.int(1, 12), draw.int(2, 18)];
    const [a, b] = [draw.operand([n, c], { grid: 1 }), draw.operand([n, c], { grid: 4 })];
    const options = { temperature: draw.pick([0.2, 0.5, 1]), reduction: draw.pick(["mean", "sum", "none"] as const) };
    return {
      name: `ntXent ${JSON.stringify(options)} (${a.how}; ${b.how})`,
      leaves: [a.leaf, b.leaf],
      bound: 2e-5,
      gradientBound: 2e-4,
      f: (x, y) => ops.ntXent(a.view(x), b.view(y), options),
    };
  },
};

/** Optional mask, keep and scale; a row of the mask may close every key. */
function attentionMasks(draw: Draw, keepShape: readonly number[], keys = keepShape[3]) {
  const [masked, kept, scaled] = [draw.chance(0.5), draw.chance(0.3), draw.chance(0.3)];
  const mask = draw.data([keepShape[0], keys], { dtype: "f32" });
  mask.data.forEach((_, i) => (mask.data[i] = draw.chance(0.7) ? 1 : 0));
  const keep = draw.data(keepShape, { dtype: "f32" });
  keep.data.forEach((_, i) => (keep.data[i] = draw.chance(0.7) ? 1.25 : 0));
  return {
    how: `mask ${masked} keep ${kept} scale ${scaled}`,
    options: () => ({
      mask: masked ? leafTensor(mask) : undefined,
      keep: kept ? leafTensor(keep) : undefined,
      scale: scaled ? 0.7 : undefined,
    }),
  };
}

function scan(name: "gruScan" | "lstmScan", gates: number): Maker {
  return (draw, elements) => {
    const small = elements <= 20;
    const [batch, directions, hidden] = [draw.int(1, small ? 2 : 5), draw.int(1, 2), draw.int(1, small ? 2 : 18)];
    const segments = draw.chance(0.3) ? Array.from({ length: draw.int(1, 3) }, () => draw.int(1, 3)) : undefined;
    const steps = segments ? segments.reduce((a, b) => a + b) : draw.int(1, small ? 3 : 6);
    const rows = batch * (segments?.length ?? 1);
    const domain = [-1, 1] as const;
    const x = draw.operand([steps, batch, directions, gates * hidden], { domain });
    const weight = draw.operand([directions, gates * hidden, hidden], { domain });
    const leaves = [x.leaf, weight.leaf];
    const optional = (there: boolean, shape: readonly number[]): number =>
      there ? leaves.push(draw.data(shape, { domain })) - 1 : -1;
    const bias = optional(draw.chance(0.7), [directions, gates * hidden]);
    const h0 = optional(draw.chance(0.6), [directions, rows, hidden]);
    const c0 = optional(name === "lstmScan" && draw.chance(0.6), [directions, rows, hidden]);
    const mask = draw.data([steps, batch], { dtype: "f32" });
    mask.data.forEach((_, i) => (mask.data[i] = draw.chance(0.75) ? 1 : 0));
    const masked = draw.chance(0.5);
    return {
      name: `${name} masked ${masked} segments ${segments?.join()} bias ${bias >= 0} (${x.how}; ${weight.how})`,
      leaves,
      bound: 1e-5,
      gradientBound: 1e-4,
      f: (...t) => {
        const given = {
          gates: x.view(t[0]),
          weight: weight.view(t[1]),
          bias: t[bias],
          h0: t[h0],
          c0: t[c0],
          segments,
          mask: masked ? leafTensor(mask) : undefined,
        };
        return Object.values(ops[name](given));
      },
    };
  };
}

/** What reads its operand rather than making a tensor: test/ops/host-ops.test.ts. */
const ON_THE_HOST = ["unique", "nonzero"];

describe("ops above the primitives", () => {
  let devices: Backend[];
  before(async () => {
    devices = await openTestDevices();
  });
  after(() => devices.forEach((d) => d.close()));

  test("every function that src/ops exports is drawn for here", () => {
    const functions = Object.entries(ops)
      .filter(([, value]) => typeof value === "function")
      .map(([name]) => name);
    assert.deepEqual(
      functions.filter((name) => !(name in MAKERS) && !ON_THE_HOST.includes(name)),
      [],
    );
  });

  for (const [name, make] of Object.entries(MAKERS)) {
    test(`${name}: gradient against finite differences, first and second order`, () =>
      property(6, (draw) => gradientsAgree(make(draw, 20))));
  }

  // Long kernels: seconds of compilation each on a software driver. test/shaders holds them to their meaning at length.
  const heavy = Object.keys(MAKERS).filter((name) => /scan|attention$/i.test(name));
  const light = Object.keys(MAKERS).filter((name) => !heavy.includes(name));

  test("each device against reference, values and gradients: compositions", () =>
    property(4, (draw) =>
      devicesAgree(
        devices,
        light.map((name) => MAKERS[name](draw, 200)),
      ),
    ));
  test("each device against reference, values and gradients: scans and attention", () =>
    property(2, (draw) =>
      devicesAgree(
        devices,
        heavy.map((name) => MAKERS[name](draw, 200)),
      ),
    ));

  test("with the kernels meant for real GPUs", async () => {
    const device = await openTestDevice({ profile: "gpu" });
    try {
      const plain = light.filter((name) => !/conv1d|infoNCE|ntXent/.test(name));
      await property(2, (draw) =>
        devicesAgree(
          device,
          plain.map((name) => MAKERS[name](draw, 300)),
        ),
      );
    } finally {
      device.close();
    }
  });

  test("softmax and its kin of large and of equal values stay finite", () =>
    devicesAgree(
      devices,
      (["softmax", "logSoftmax", "logSumExp"] as const).map(
        (name): OpCase => ({
          name,
          leaves: [
            {
              data: Float32Array.of(1e4, 1e4, -1e4, 0, 90, 90, 90, 90, -200, -201, -202, -203),
              shape: [3, 4],
              dtype: "f32",
            },
          ],
          // The sum's logarithm at 10⁴ is itself rounded by 5e-4, and so is a probability taken from it.
          f: (x) => ops[name](x),
          bound: 2e-6,
          each: true,
          gradientBound: name === "logSumExp" ? 1e-3 : 1e-5,
        }),
      ),
    ));

  test("l2Normalize below epsilon divides by epsilon, and has that derivative", async () => {
    const tiny: OpCase = {
      name: "tiny",
      leaves: [{ data: Float32Array.of(1e-3, 2e-3, 0, 0, 3, 4), shape: [3, 2], dtype: "f32" }],
      f: (x) => ops.l2Normalize(x, 1, 0.1),
      bound: 2e-6,
    };
    await gradientsAgree(tiny);
    await devicesAgree(devices, [tiny]);
  });

  test("label smoothing mixes the label with all classes alike (torch.nn.CrossEntropyLoss)", async () => {
    const logits = [
      [0.3, -1.2, 2],
      [1.5, 0.1, -0.4],
    ];
    const labels = [2, 1];
    const expected = logits.map((row, n) => {
      const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
      const logProbabilities = row.map((x) => x - total);
      return -0.7 * logProbabilities[labels[n]] - (0.3 / 3) * logProbabilities.reduce((a, b) => a + b);
    });
    const found = ops.crossEntropy(tensor(logits, { dtype: "f64" }), tensor(Int32Array.from(labels)), {
      labelSmoothing: 0.3,
      reduction: "none",
    });
    const [values] = await valuesOf(new ReferenceDevice(), [found.node]);
    expected.forEach((value, n) => assert.ok(Math.abs(values[n] - value) < 1e-12, `${values[n]} instead of ${value}`));
  });

  test("ops that differ in their attributes alone are two", () => {
    const draw = (seed: number): LeafData => ({
      data: Float32Array.from({ length: 12 }, (_, i) => Math.sin(seed + 3 * i)),
      shape: [1, 3, 1, 4],
      dtype: "f32",
    });
    return devicesAgree(devices, [
      {
        name: "attention of two scales",
        leaves: [draw(0), draw(1), draw(2)],
        bound: 1e-5,
        f: (q, k, v) => [ops.attention(q, k, v, { scale: 0.1 }), ops.attention(q, k, v, { scale: 2 })],
      },
    ]);
  });
});
