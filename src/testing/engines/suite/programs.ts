/** Programs of the suite: small networks and their gradients, and steps of training that change their parameters. */
import { Numbers } from "../draw.ts";
import type { EngineRequest } from "../protocol.ts";
import type { ConformanceCase } from "./case.ts";
import { Program } from "./program.ts";
import type { Carried, Value } from "./program.ts";

/** tanh(x · w + b). */
function layer(p: Program, x: Value, weight: Value, bias: Value): Value {
  return p.call("tanh", p.call("add", p.call("matmul", x, weight), bias));
}

/** The mean of the squared difference. */
function meanSquare(p: Program, x: Value, y: Value): Value {
  return p.call("mean", p.call("square", p.call("sub", x, y)));
}

/** A perceptron of two layers with its loss as the output; its parameters. */
function perceptron(p: Program): Value[] {
  const [x, target] = [p.input([8, 5]), p.input([8, 3])];
  const parameters = [p.input([5, 7]), p.input([7]), p.input([7, 3]), p.input([3])];
  const hidden = layer(p, x, parameters[0], parameters[1]);
  p.wants(meanSquare(p, p.call("add", p.call("matmul", hidden, parameters[2]), parameters[3]), target));
  return parameters;
}

/** x · w · wᵀ against x: one parameter in two places. The loss is the output. */
function tied(p: Program): Value {
  const [x, weight] = [p.input([6, 5]), p.input([5, 4])];
  const hidden = p.call("tanh", p.call("matmul", x, weight));
  p.wants(meanSquare(p, p.call("matmul", hidden, p.told("permute", { order: [1, 0] }, weight)), x));
  return weight;
}

/** Programs that ask for gradients, each a function that builds one. */
const NETWORKS: Readonly<Record<string, (p: Program) => void>> = {
  "a perceptron": (p) => void p.gradient(perceptron(p)),
  "tied weights": (p) => void p.gradient([tied(p)]),
  attention: (p) => {
    const inputs = [p.input([2, 3, 5, 4]), p.input([2, 3, 6, 4]), p.input([2, 3, 6, 4])];
    const [queries, keys, values] = inputs;
    const scores = p.call("matmul", queries, p.told("permute", { order: [0, 1, 3, 2] }, keys));
    const shares = p.told("softmax", { axis: -1 }, p.call("mul", scores, p.constant(0.5)));
    p.wants(p.call("matmul", shares, values));
    p.gradient(inputs, [[2, 3, 5, 4]]);
  },
  "cross-entropy": (p) => {
    const [x, weight, labels] = [p.input([6, 5]), p.input([5, 4]), p.input([6, 4], [0, 1])];
    const logs = p.told("logSoftmax", { axis: 1 }, p.call("matmul", x, weight));
    p.wants(p.call("neg", p.call("sum", p.call("mul", logs, labels))));
    p.gradient([x, weight]);
  },
  "normalised rows": (p) => {
    const x = p.input([4, 9]);
    const over = { axes: [1], keepDims: true };
    const centred = p.call("sub", x, p.told("mean", over, x));
    const spread = p.call("sqrt", p.call("add", p.told("mean", over, p.call("square", centred)), p.constant(1e-5)));
    p.wants(p.call("div", centred, spread));
    p.gradient([x], [[4, 9]]);
  },
  "a value in three places": (p) => {
    const x = p.input([3, 4]);
    const once = p.call("exp", x);
    const share = p.call("div", once, p.told("sum", { axes: [1], keepDims: true }, once));
    p.wants(p.call("add", p.call("mul", once, once), p.call("mul", share, p.call("tanh", once))));
    p.gradient([x], [[3, 4]]);
  },
  "two outputs": (p) => {
    const [x, y] = [p.input([3, 4]), p.input([4])];
    const product = p.call("mul", x, y);
    p.wants(p.call("tanh", product), p.told("sum", { axes: [0] }, p.call("square", product)));
    p.gradient([x, y], [[3, 4], [4]]);
  },
  "a hundred layers": (p) => {
    const [x, bias] = [p.input([3]), p.input([3])];
    let value = x;
    for (let depth = 0; depth < 100; depth++) value = p.call("tanh", p.call("add", value, bias));
    p.wants(value);
    p.gradient([x, bias], [[3]]);
  },
  "a convolution": (p) => {
    const [x, kernel, weight] = [p.input([2, 2, 6, 6]), p.input([3, 2, 3, 3]), p.input([12, 4])];
    const told = { stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
    const maps = p.call("tanh", p.told("conv2d", told, x, kernel));
    const pooled = p.told("maxPool2d", { size: [2, 2], stride: [2, 2] }, maps);
    p.wants(p.call("matmul", p.told("reshape", { shape: [2, 12] }, pooled), weight));
    p.gradient([x, kernel, weight], [[2, 4]]);
  },
};

/** w − rate · change. */
function descended(p: Program, weight: Value, rate: Value, change: Value): Carried {
  return { input: weight, value: p.call("sub", weight, p.call("mul", rate, change)) };
}

/** a · x + b · y. */
function mixed(p: Program, a: Value, x: Value, b: Value, y: Value): Value {
  return p.call("add", p.call("mul", a, x), p.call("mul", b, y));
}

/** Programs that change what they were given, each a function that builds one and says what is carried. */
const TRAININGS: Readonly<Record<string, (p: Program) => Carried[]>> = {
  "gradient descent": (p) => {
    const parameters = perceptron(p);
    const rate = p.constant(0.1);
    return p.gradient(parameters).map((slope, n) => descended(p, parameters[n], rate, slope));
  },
  momentum: (p) => {
    const parameters = perceptron(p);
    const speeds = parameters.map((one) => p.zerosLike(one));
    const [rate, kept, one] = [0.1, 0.9, 1].map((x) => p.constant(x));
    return p.gradient(parameters).flatMap((slope, n) => {
      const speed = mixed(p, kept, speeds[n], one, slope);
      return [{ input: speeds[n], value: speed }, descended(p, parameters[n], rate, speed)];
    });
  },
  Adam: (p) => {
    const parameters = perceptron(p);
    const means = parameters.map((one) => p.zerosLike(one));
    const squares = parameters.map((one) => p.zerosLike(one));
    const [rate, first, second, one, least] = [0.01, 0.9, 0.99, 1, 1e-8].map((x) => p.constant(x));
    const powers = [p.constant(1), p.constant(1)];
    const slopes = p.gradient(parameters);
    const [restFirst, restSecond] = [p.call("sub", one, first), p.call("sub", one, second)];
    const grown = [first, second].map((beta, n) => p.call("mul", powers[n], beta));
    const [biasFirst, biasSecond] = grown.map((power) => p.call("sub", one, power));
    const carried = slopes.flatMap((slope, n) => {
      const mean = mixed(p, first, means[n], restFirst, slope);
      const square = mixed(p, second, squares[n], restSecond, p.call("square", slope));
      const root = p.call("add", p.call("sqrt", p.call("div", square, biasSecond)), least);
      const change = p.call("div", p.call("div", mean, biasFirst), root);
      return [
        { input: means[n], value: mean },
        { input: squares[n], value: square },
        descended(p, parameters[n], rate, change),
      ];
    });
    return [...carried, ...grown.map((value, n) => ({ input: powers[n], value }))];
  },
  "descent of tied weights": (p) => {
    const weight = tied(p);
    const [rate, decay, one] = [0.1, 0.01, 1].map((x) => p.constant(x));
    const [slope] = p.gradient([weight]);
    // The parameter stands in its own update twice.
    return [descended(p, weight, rate, mixed(p, one, slope, decay, weight))];
  },
  "a parameter read before it changes": (p) => {
    const [x, weight, rate] = [p.input([4, 3]), p.input([3]), p.constant(0.5)];
    const before = p.call("neg", weight);
    const loss = p.call("mean", p.call("square", p.call("sub", p.call("mul", x, weight), before)));
    p.wants(loss, before, p.call("mul", weight, weight));
    const [slope] = p.gradient([weight], [[], [3], [3]]);
    return [descended(p, weight, rate, slope)];
  },
  "two that change places": (p) => {
    const [a, b] = [p.input([3]), p.input([3])];
    const [minusA, minusB] = [p.call("neg", a), p.call("neg", b)];
    p.wants(p.call("sub", a, b));
    return [
      { input: a, value: minusB },
      { input: b, value: minusA },
    ];
  },
  "a running mean": (p) => {
    const [x, kept] = [p.input([6, 4]), p.input([4])];
    const [old, fresh] = [p.constant(0.9), p.constant(0.1)];
    const next = mixed(p, old, kept, fresh, p.told("mean", { axes: [0] }, x));
    p.wants(p.call("sub", x, kept));
    return [
      { input: kept, value: next },
      { input: x, value: p.call("tanh", x) },
    ];
  },
};

/** What one program of the suite is: it builds itself, and says what it carries, if anything. */
type Build = (p: Program) => readonly Carried[] | void;

/** By name. */
export const PROGRAMS: Readonly<Record<string, Build>> = { ...NETWORKS, ...TRAININGS };

/** All cases of a program; those of `compiled` are for engines that compile. */
export function programCases(seed: number, stream: number, operation: string, build: Build): ConformanceCase[] {
  const p = new Program(new Numbers(seed, stream));
  const carried = build(p);
  const ask = (aspect: ConformanceCase["aspect"], request: EngineRequest): ConformanceCase[] => {
    const told = { operation, aspect, scaled: true, relative: 1e-4, absolute: 1e-5 };
    return [
      { ...told, name: "step by step", request },
      { ...told, name: "compiled", request: { ...request, compiled: true } },
    ];
  };
  if (carried) return ask("updates", p.request({ carried }));
  const { gradient, ...request } = p.request();
  return [
    ...ask("programs", request),
    ...ask("programs", { ...request, gradient }),
    ...ask("second", { ...request, gradient: { ...gradient!, directions: p.directions() } }),
  ];
}
