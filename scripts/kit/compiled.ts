/** Compiled functions in what they read anew at every call: modes, seeds, live scalars, precision. */
import { Generator, grad, liveScalar, noGrad, rng, seed, variable, zeros } from "../../src/index.ts";
import { autocast, Dropout, Linear, linear, Sequential, SGD } from "../../src/nn/index.ts";
import type { DType } from "../../src/index.ts";
import type { CallState, Checked, Input } from "../../src/testing/index.ts";

interface CompiledCase {
  readonly f: Checked;
  readonly inputs: readonly Input[];
  readonly states?: readonly CallState[];
  readonly tolerance?: number;
  /** A dtype that not every device computes in; where the device does not, the reference device is asked. */
  readonly needs?: DType;
}

const dropout = new Dropout(0.5);
const layer = new Linear(3, 4, { generator: new Generator(2) });
const network = new Sequential(layer, dropout);
const live = { value: 1 };
const weight = variable(zeros([3]));
const optimizer = new SGD([weight], { lr: 0.5 });

const seeded =
  (value: number): CallState =>
  (call) => {
    seed(value);
    return call();
  };

/** A call within `autocast`, which gives no promise on: it is made there, and waited for outside. */
const narrowly: CallState = <T>(call: () => T): T => {
  const made: T[] = [];
  autocast(() => void made.push(call()));
  return made[0];
};

/** By name. */
export const COMPILED: Readonly<Record<string, CompiledCase>> = {
  arithmetic: {
    f: (x, y) => [x.matmul(y).tanh(), x.sum(), y.mul(2).add(1)],
    inputs: [
      ["n", "k"],
      ["k", "m"],
    ],
  },
  "draws of a seed": {
    f: (x) => [rng().uniform(x.shape).mul(x), rng().normal([3]), rng().integers([4], 0, 99)],
    inputs: [["n"]],
    states: [seeded(1), seeded(2), seeded(1)],
  },
  "dropout in its modes": {
    f: (x) => network.forward(x),
    inputs: [["n", 3]],
    states: [true, false].map(
      (on): CallState =>
        (call) => {
          network.train(on);
          return seeded(3)(call);
        },
    ),
  },
  "modes that the function sets itself": {
    f: (x) => {
      network.eval();
      const sure = network.forward(x);
      network.train();
      const drawn = network.forward(x);
      network.eval();
      return [sure, drawn];
    },
    inputs: [["n", 3]],
    states: [true, false, true].map(
      (on): CallState =>
        (call) => {
          network.train(on);
          const results = seeded(4)(call);
          if (network.training) throw new Error("the function left the network in evaluation, and now it trains");
          return results;
        },
    ),
  },
  "settings of an optimizer": {
    f: (x) => {
      weight.assign(x);
      weight.grad = x;
      optimizer.step();
      weight.grad = undefined;
      return weight.mul(1);
    },
    inputs: [[3]],
    states: [0, 0.5].map(
      (decay): CallState =>
        (call) => {
          optimizer.groups[0].weightDecay = decay;
          return call();
        },
    ),
  },
  "a live scalar": {
    f: (x) => x.mul(liveScalar(() => live.value)),
    inputs: [["n"]],
    states: [0.5, 2].map(
      (value): CallState =>
        (call) => {
          live.value = value;
          return call();
        },
    ),
  },
  "narrow and wide products": {
    f: (x, w) => linear(x, w),
    inputs: [
      ["n", 3],
      [4, 3],
    ],
    states: [narrowly, (call) => call()],
    needs: "f16",
  },
  "gradients, and without": {
    f: (x) => grad((t: typeof x) => layer.forward(t).square().sum())(x),
    inputs: [["n", 3]],
    states: [(call) => call(), (call) => noGrad(call)],
  },
};
