/**
 * What `hico bench` measures: single operations with their work in floating-point operations and bytes, and whole
 * training steps. Sizes are those of small models; `quick` ones are for trying out.
 */
import { compile } from "../tensor/program/compile.ts";
import { Generator } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { attention } from "../ops/attention.ts";
import { crossEntropy } from "../ops/losses/cross-entropy.ts";
import { layerNorm } from "../ops/normalization.ts";
import { softmax } from "../ops/softmax.ts";
import { conv2d } from "../ops/spatial/conv.ts";
import { ModuleList } from "../nn/containers/lists.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { SGD } from "../nn/optim/sgd.ts";
import { GRU } from "../nn/recurrent.ts";
import { TransformerEncoderLayer } from "../nn/transformer.ts";

/** What one run of a case comes to. */
export interface Work {
  /** Floating-point operations. */
  readonly flops: number;
  /** Bytes that must be read and written at least. */
  readonly bytes: number;
}

/** A case made ready on the default device. */
interface Prepared extends Work {
  /** Does it once; what is given back is disposed of. */
  readonly run: () => Promise<Tensor>;
}

/** One line of the table. */
export interface BenchCase {
  readonly name: string;
  readonly sizes: (quick: boolean) => string;
  readonly prepare: (quick: boolean) => Prepared;
}

const sized = (n: readonly number[]): number => n.reduce((product, size) => product * size, 1);

/** A compiled function of drawn inputs; `flops` of one run, and the bytes of inputs and result. */
function operation(
  shapes: readonly (readonly number[])[],
  result: readonly number[],
  flops: number,
  f: (...inputs: Tensor[]) => Tensor,
): Prepared {
  const draw = new Generator(0);
  const inputs = shapes.map((shape) => draw.normal(shape));
  const compiled = compile(f as (...inputs: readonly Tensor[]) => Tensor);
  const ready = Promise.all(inputs.map((x) => x.realize()));
  const bytes = 4 * [...shapes, result].reduce((sum, shape) => sum + sized(shape), 0);
  return { run: async () => compiled(...(await ready)), flops, bytes };
}

/** Forward, backward and the update of plain SGD; three products for each one of the forward pass. */
function training(
  model: Module,
  x: Tensor,
  classes: number,
  products: number,
  forward: (x: Tensor) => Tensor,
): Prepared {
  const optimizer = new SGD(model.parameters(), { lr: 0.01 });
  const step = compile((input: Tensor, labels: Tensor) => {
    const loss = crossEntropy(forward(input), labels);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  });
  const batch = forward(x).shape[0];
  const labels = new Generator(1).integers([batch], 0, classes);
  const ready = Promise.all([x.realize(), labels.realize()]);
  const weights = model.parameters().reduce((sum, p) => sum + p.size, 0);
  return { run: async () => step(...(await ready)), flops: 6 * products, bytes: 16 * weights };
}

/** Rows of the product's square matrices. */
export const productSize = (quick: boolean): number => (quick ? 256 : 1024);

function product(size: number): Prepared {
  const square = [size, size];
  return operation([square, square], square, 2 * size ** 3, (a, b) => a.matmul(b));
}

/** Every case, in the order of the table. */
export const CASES: readonly BenchCase[] = [
  {
    name: "product",
    sizes: (quick) => `${productSize(quick)}³`,
    prepare: (quick) => product(productSize(quick)),
  },
  {
    name: "bandwidth",
    sizes: (quick) => (quick ? "1 Mi floats" : "16 Mi floats"),
    prepare: (quick) => {
      const shape = [quick ? 2 ** 20 : 2 ** 24];
      return operation([shape], shape, shape[0], (x) => x.add(1));
    },
  },
  {
    name: "softmax",
    sizes: (quick) => (quick ? "256 × 256" : "4096 × 1024"),
    prepare: (quick) => {
      const shape = quick ? [256, 256] : [4096, 1024];
      return operation([shape], shape, 5 * sized(shape), (x) => softmax(x));
    },
  },
  {
    name: "layer norm",
    sizes: (quick) => (quick ? "256 × 256" : "4096 × 1024"),
    prepare: (quick) => {
      const shape = quick ? [256, 256] : [4096, 1024];
      const width = [shape[1]];
      return operation([shape, width, width], shape, 8 * sized(shape), (x, weight, bias) =>
        layerNorm(x, { weight, bias }),
      );
    },
  },
  {
    name: "attention",
    sizes: (quick) => (quick ? "1 × 64, 2 heads of 32" : "8 × 256, 8 heads of 64"),
    prepare: (quick) => {
      const [batch, time, heads, width] = quick ? [1, 64, 2, 32] : [8, 256, 8, 64];
      const shape = [batch, time, heads, width];
      const flops = 4 * batch * heads * time * time * width;
      return operation([shape, shape, shape], shape, flops, (q, k, v) => attention(q, k, v));
    },
  },
  {
    name: "scan",
    sizes: (quick) => (quick ? "GRU, 16 × 8, 32" : "GRU, 64 × 64, 256"),
    prepare: (quick) => {
      const [time, batch, width] = quick ? [16, 8, 32] : [64, 64, 256];
      const layer = new GRU(width, width, { generator: new Generator(0) });
      const shape = [time, batch, width];
      return operation([shape], shape, 12 * sized(shape) * width, (x) => layer.forward(x).y);
    },
  },
  {
    name: "conv2d",
    sizes: (quick) => (quick ? "4 × 8, 16 × 16, 3 × 3" : "16 × 64, 32 × 32, 3 × 3"),
    prepare: (quick) => {
      const [batch, channels, size] = quick ? [4, 8, 16] : [16, 64, 32];
      const shape = [batch, channels, size, size];
      const flops = 2 * sized(shape) * channels * 9;
      return operation([shape, [channels, channels, 3, 3]], shape, flops, (x, weight) =>
        conv2d(x, weight, { padding: 1 }),
      );
    },
  },
  {
    name: "step: MLP",
    sizes: (quick) => (quick ? "784-64-10, batch 32" : "784-256-10, batch 256"),
    prepare: (quick) => {
      const [batch, width] = quick ? [32, 64] : [256, 256];
      const generator = new Generator(0);
      const [hidden, out] = [new Linear(784, width, { generator }), new Linear(width, 10, { generator })];
      const forward = (x: Tensor): Tensor => out.forward(hidden.forward(x).relu());
      return training(
        new ModuleList<Module>([hidden, out]),
        generator.normal([batch, 784]),
        10,
        batch * width * 794,
        forward,
      );
    },
  },
  {
    name: "step: Transformer layer",
    sizes: (quick) => (quick ? "16 × 4, 32" : "64 × 64, 128"),
    prepare: (quick) => {
      const [time, batch, width] = quick ? [16, 4, 32] : [64, 64, 128];
      const generator = new Generator(0);
      const layer = new TransformerEncoderLayer(width, 4, { feedForward: 4 * width, dropout: 0, generator });
      const head = new Linear(width, 10, { generator });
      const products = time * batch * (12 * width * width + 2 * time * width);
      const forward = (x: Tensor): Tensor => head.forward(layer.forward(x).mean(0));
      return training(
        new ModuleList<Module>([layer, head]),
        generator.normal([time, batch, width]),
        10,
        products,
        forward,
      );
    },
  },
  {
    name: "step: GRU",
    sizes: (quick) => (quick ? "16 × 4, 32" : "64 × 64, 128"),
    prepare: (quick) => {
      const [time, batch, width] = quick ? [16, 4, 32] : [64, 64, 128];
      const generator = new Generator(0);
      const [layer, head] = [new GRU(width, width, { generator }), new Linear(width, 10, { generator })];
      const forward = (x: Tensor): Tensor => head.forward(layer.forward(x).y.slice(-1));
      const input = generator.normal([time, batch, width]);
      return training(new ModuleList<Module>([layer, head]), input, 10, time * batch * 6 * width * width, forward);
    },
  },
];
