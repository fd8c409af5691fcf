/** Draws of the ops on signals and images: shapes, sizes of windows and options. */
import * as ops from "../../src/ops/index.ts";
import type { Draw } from "../support/draw.ts";
import type { OpCase } from "../support/helpers.ts";

export type Maker = (draw: Draw, elements: number) => OpCase;

const few = (draw: Draw, elements: number, most: number) => draw.int(1, elements <= 20 ? Math.min(2, most) : most);

/** Sizes along `rank` axes of which windows of `size` fit. */
function roomFor(draw: Draw, size: readonly number[], elements: number): number[] {
  return size.map((s) => s + draw.int(0, elements <= 20 ? 1 : 5));
}

const convolution: Maker = (draw, elements) => {
  const groups = few(draw, elements, 3);
  const perGroup = few(draw, elements, 3);
  const depthwise = draw.chance(0.2);
  const channels = groups * (depthwise ? 1 : perGroup);
  const out = groups * (depthwise ? 1 : few(draw, elements, 3));
  const kernel = [few(draw, elements, 3), few(draw, elements, 4)];
  const dilation = [draw.int(1, 2), draw.int(1, 2)];
  const size = roomFor(
    draw,
    kernel.map((k, d) => (k - 1) * dilation[d] + 1),
    elements,
  );
  const stride = [draw.int(1, 3), draw.int(1, 2)];
  const same = draw.chance(0.2);
  const options = same
    ? { padding: "same" as const, dilation, groups }
    : { padding: [draw.int(0, 2), draw.int(0, 2)], dilation, groups, stride };
  const x = draw.operand([draw.int(1, 2), channels, ...size], { domain: [-1, 1] });
  const weight = draw.operand([out, channels / groups, ...kernel], { domain: [-1, 1] });
  const bias = draw.data([out]);
  const biased = draw.chance(0.5);
  return {
    name: `conv2d ${JSON.stringify(options)} (${x.how}; ${weight.how})`,
    leaves: [x.leaf, weight.leaf, ...(biased ? [bias] : [])],
    bound: 5e-6,
    // Squared, so that second derivatives reach every cotangent.
    f: (t, w, b) => ops.conv2d(x.view(t), weight.view(w), { ...options, bias: b }).square(),
  };
};

const pool =
  (name: "maxPool2d" | "avgPool1d" | "avgPool2d"): Maker =>
  (draw, elements) => {
    const rank = name.endsWith("1d") ? 1 : 2;
    const size = Array.from({ length: rank }, () => few(draw, elements, 3));
    const shape = [few(draw, elements, 3), ...roomFor(draw, size, elements)];
    const options = {
      stride: draw.chance(0.3) ? undefined : Array.from({ length: rank }, () => draw.int(1, 3)),
      padding: size.map((s) => draw.int(0, Math.floor(s / 2))),
      ceilMode: draw.chance(0.4),
      ...(name === "maxPool2d" ? {} : { countIncludePad: draw.chance(0.5) }),
    };
    return {
      name: `${name} ${JSON.stringify({ size, ...options })}`,
      leaves: [draw.data(shape, { distinct: true })],
      f: (x) => ops[name](x, size, options).square(),
      bound: 2e-6,
    };
  };

const adaptive =
  (name: "adaptiveAvgPool1d" | "adaptiveAvgPool2d" | "adaptiveMaxPool1d" | "adaptiveMaxPool2d"): Maker =>
  (draw, elements) => {
    const rank = name.endsWith("1d") ? 1 : 2;
    const size = Array.from({ length: rank }, () => (draw.chance(0.2) ? null : draw.int(1, 5)));
    const shape = [few(draw, elements, 3), ...Array.from({ length: rank }, () => few(draw, elements, 9))];
    return {
      name: `${name} ${JSON.stringify(size)}`,
      leaves: [draw.data(shape, { distinct: true })],
      f: (x) => ops[name](x, size).square(),
      bound: 2e-6,
    };
  };

/** x [N, C, ...] whose channels are not constant. */
function channelled(draw: Draw, elements: number) {
  const channels = few(draw, elements, 4);
  const rest = Array.from({ length: draw.int(0, 2) }, () => few(draw, elements, 5));
  return { channels, x: draw.data([draw.int(3, elements <= 20 ? 4 : 7), channels, ...rest], { distinct: true }) };
}

const convolution1d: Maker = (draw, elements) => {
  const [n, groups, size, stride, dilation, padding] = [
    draw.int(1, 3),
    draw.int(1, 3),
    draw.int(1, 4),
    draw.int(1, 3),
    draw.int(1, 2),
    draw.int(0, 2),
  ];
  const [perGroup, out] = [draw.int(1, 3), groups * draw.int(1, 3)];
  const length = (size - 1) * dilation + 1 + draw.int(0, Math.max(1, Math.floor(elements / 20)));
  const [x, weight, bias] = [
    draw.operand([n, groups * perGroup, length]),
    draw.operand([out, perGroup, size]),
    draw.data([out]),
  ];
  const biased = draw.chance(0.5);
  const options = { stride, dilation, padding, groups };
  return {
    name: `conv1d ${JSON.stringify(options)} (${x.how}; ${weight.how})`,
    leaves: [x.leaf, weight.leaf, ...(biased ? [bias] : [])],
    bound: 5e-6,
    f: (t, w, b) => ops.conv1d(x.view(t), weight.view(w), { ...options, bias: b }).square(),
  };
};

const transposed =
  (name: "convTranspose1d" | "convTranspose2d"): Maker =>
  (draw, elements) => {
    const rank = name.endsWith("1d") ? 1 : 2;
    const axes = <T>(make: () => T) => Array.from({ length: rank }, make);
    const groups = few(draw, elements, 2);
    const channels = groups * few(draw, elements, 3);
    const stride = axes(() => draw.int(1, 3));
    const dilation = axes(() => draw.int(1, 2));
    const kernel = axes(() => few(draw, elements, 3));
    const options = {
      stride,
      dilation,
      groups,
      padding: kernel.map((k, d) => draw.int(0, Math.min(1, Math.floor(((k - 1) * dilation[d]) / 2)))),
      outputPadding: stride.map((s) => draw.int(0, s - 1)),
    };
    const x = draw.operand([draw.int(1, 2), channels, ...axes(() => few(draw, elements, 5))], { domain: [-1, 1] });
    const weight = draw.operand([channels, few(draw, elements, 2), ...kernel], { domain: [-1, 1] });
    return {
      name: `${name} ${JSON.stringify(options)} (${x.how}; ${weight.how})`,
      leaves: [x.leaf, weight.leaf],
      bound: 5e-6,
      f: (t, w) => ops[name](x.view(t), weight.view(w), options).square(),
    };
  };

const folding =
  (name: "unfold" | "fold"): Maker =>
  (draw, elements) => {
    const kernel = [few(draw, elements, 3), few(draw, elements, 3)];
    const options = {
      stride: [draw.int(1, 2), draw.int(1, 3)],
      dilation: [draw.int(1, 2), 1],
      padding: [draw.int(0, 1), draw.int(0, 1)],
    };
    const span = kernel.map((k, d) => (k - 1) * options.dilation[d] + 1);
    const size = roomFor(draw, span, elements);
    const channels = few(draw, elements, 3);
    const windows = size.map((s, d) => Math.floor((s + 2 * options.padding[d] - span[d]) / options.stride[d]) + 1);
    const shape =
      name === "unfold" ? [2, channels, ...size] : [2, channels * kernel[0] * kernel[1], windows[0] * windows[1]];
    const x = draw.operand(shape, { domain: [-1, 1] });
    return {
      name: `${name} ${JSON.stringify({ size, kernel, ...options })} (${x.how})`,
      leaves: [x.leaf],
      bound: 2e-6,
      f: (t) =>
        (name === "unfold"
          ? ops.unfold(x.view(t), kernel, options)
          : ops.fold(x.view(t), size, kernel, options)
        ).square(),
    };
  };

export const SPATIAL: Readonly<Record<string, Maker>> = {
  conv1d: convolution1d,
  convTranspose1d: transposed("convTranspose1d"),
  convTranspose2d: transposed("convTranspose2d"),
  unfold: folding("unfold"),
  fold: folding("fold"),
  interpolate(draw, elements) {
    const rank = draw.int(1, 2);
    const shape = [
      draw.int(1, 2),
      few(draw, elements, 3),
      ...Array.from({ length: rank }, () => few(draw, elements, 6)),
    ];
    const mode = draw.chance(0.5) ? "nearest" : rank === 1 ? "linear" : "bilinear";
    const options = {
      mode: mode as "nearest",
      alignCorners: mode !== "nearest" && draw.chance(0.5),
      ...(draw.chance(0.5)
        ? { size: Array.from({ length: rank }, () => draw.int(1, 7)) }
        : { scaleFactor: draw.pick([1, 2, 3, 1.5]) }),
    };
    const x = draw.operand(shape);
    return {
      name: `interpolate ${JSON.stringify(options)} (${x.how})`,
      leaves: [x.leaf],
      bound: 2e-6,
      f: (t) => ops.interpolate(x.view(t), options).square(),
    };
  },
  groupNorm(draw, elements) {
    const groups = few(draw, elements, 3);
    const channels = groups * few(draw, elements, 2);
    const shape = [draw.int(1, 2), channels, few(draw, elements, 3) + 1, few(draw, elements, 3)];
    return {
      name: `groupNorm ${groups}`,
      leaves: [draw.data(shape, { distinct: true }), draw.data([channels]), draw.data([channels])],
      bound: 2e-5,
      gradientBound: 2e-4,
      f: (x, weight, bias) => ops.groupNorm(x, groups, { weight, bias }),
    };
  },
  instanceNorm(draw, elements) {
    const channels = few(draw, elements, 3);
    const shape = [draw.int(1, 2), channels, few(draw, elements, 3) + 1, few(draw, elements, 3) + 1];
    return {
      name: "instanceNorm",
      leaves: [draw.data(shape, { distinct: true }), draw.data([channels])],
      bound: 2e-5,
      gradientBound: 2e-4,
      f: (x, weight) => ops.instanceNorm(x, { weight, epsilon: 1e-3 }),
    };
  },
  rmsNorm(draw, elements) {
    const shape = draw.shape({ minRank: 1, elements });
    return {
      name: "rmsNorm",
      leaves: [draw.data(shape, { domain: [0.25, 3] }), draw.data(shape.slice(-1))],
      bound: 1e-5,
      f: (x, weight) => ops.rmsNorm(x, { weight, epsilon: draw.seed % 2 ? undefined : 1e-3 }),
    };
  },
  conv2d: convolution,
  maxPool2d: pool("maxPool2d"),
  avgPool1d: pool("avgPool1d"),
  avgPool2d: pool("avgPool2d"),
  adaptiveAvgPool1d: adaptive("adaptiveAvgPool1d"),
  adaptiveAvgPool2d: adaptive("adaptiveAvgPool2d"),
  adaptiveMaxPool1d: adaptive("adaptiveMaxPool1d"),
  adaptiveMaxPool2d: adaptive("adaptiveMaxPool2d"),
  batchNormTraining(draw, elements) {
    const { channels, x } = channelled(draw, elements);
    const affine = draw.chance(0.7);
    const epsilon = draw.pick([undefined, 1e-3, 0.1]);
    return {
      name: `batchNormTraining affine ${affine} epsilon ${epsilon}`,
      leaves: [x, ...(affine ? [draw.data([channels]), draw.data([channels])] : [])],
      bound: 2e-5,
      gradientBound: 2e-4,
      f: (t, weight, bias) => ops.batchNormTraining(t, { weight, bias, epsilon }).y,
    };
  },
  batchNorm(draw, elements) {
    const { channels, x } = channelled(draw, elements);
    return {
      name: "batchNorm",
      leaves: [x, draw.data([channels]), draw.data([channels], { domain: [0.5, 3] }), draw.data([channels])],
      bound: 1e-5,
      f: (t, mean, variance, weight) => ops.batchNorm(t, mean, variance, { weight }),
    };
  },
};
