/**
 * The benchmark's three training steps, as data.
 *
 * Each workload fixes the sizes, the initial parameters, one batch and the learning rate, so that every engine computes
 * the same numbers and can be held to the same losses. A step is forward, backward and plain SGD
 * (`p ← p − learningRate · ∂loss/∂p`); the loss is the mean softmax cross-entropy over the batch.
 *
 * Parameters carry PyTorch's names, layouts (`Linear.weight` is [out, in]; GRU gates are stacked r, z, n) and
 * initial scales, so that the modules named below would load them as they are. The batch stays on the device between
 * steps: what is measured is the step, not the upload.
 *
 * The inputs are noise plus a prototype per class, which makes the loss fall from the first step on; a wrong gradient
 * then shows as a wrong loss a few steps later.
 */

/** An array of an engine-neutral kind: row-major float32 values and their shape. */
export interface ArrayData {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

interface WorkloadBase {
  /** Short text for tables. */
  readonly description: string;
  /** Network input, float32: mlp [batch, in], encoder and gru [batch, time, features]. */
  readonly input: ArrayData;
  /** Class of every example, [batch], in 0 … classes − 1. */
  readonly labels: Int32Array;
  readonly batch: number;
  readonly classes: number;
  /** Initial parameters by PyTorch name, in a fixed order. */
  readonly parameters: Readonly<Record<string, ArrayData>>;
  readonly learningRate: number;
  /** Multiply-adds of the matrix products in one step, forward and backward, times two. */
  readonly flops: number;
}

/** `Linear → ReLU → Linear → ReLU → Linear`; parameters `layers.{0,1,2}.{weight,bias}`. */
export interface MlpWorkload extends WorkloadBase {
  readonly name: "mlp";
  /** Sizes from input to logits: 784, 256, 256, 10. */
  readonly widths: readonly number[];
}

/**
 * One `nn.TransformerEncoderLayer(norm_first=False, activation="relu", dropout=0)`, the mean over time, and a linear
 * head `head.{weight,bias}`; the layer's parameters are named as in its `state_dict`.
 */
export interface EncoderWorkload extends WorkloadBase {
  readonly name: "encoder";
  readonly time: number;
  readonly features: number;
  readonly heads: number;
  readonly feedForward: number;
  readonly normEpsilon: number;
}

/** One `nn.GRU` layer in one direction (gates r, z, n), its last state, and a linear head `head.{weight,bias}`. */
export interface GruWorkload extends WorkloadBase {
  readonly name: "gru";
  readonly time: number;
  readonly features: number;
  readonly hidden: number;
}

export type Workload = MlpWorkload | EncoderWorkload | GruWorkload;
export type WorkloadName = Workload["name"];

/** All workloads, in the order they are printed. */
export const workloadNames: readonly WorkloadName[] = ["mlp", "encoder", "gru"];

/** Names each workload's stream of random numbers, so that adding one does not change the others. */
const seeds: Record<WorkloadName, number> = { mlp: 1, encoder: 2, gru: 3 };

/**
 * Builds a workload; the same name gives the same bits on every run and machine.
 * @throws RangeError if there is no workload of that name.
 */
export function workload(name: string): Workload {
  switch (name) {
    case "mlp":
      return mlp();
    case "encoder":
      return encoder();
    case "gru":
      return gru();
    default:
      throw new RangeError(`workload: "${name}" is not a workload; choose from ${workloadNames.join(", ")}`);
  }
}

/** PyTorch's [out, in] to [in, out]. */
export function transposed({ shape: [rows, columns], data }: ArrayData): ArrayData {
  const result = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) result[c * rows + r] = data[r * columns + c];
  }
  return { shape: [columns, rows], data: result };
}

/** The labels as rows [batch, classes] of a 1 among zeros, for engines that take no indices. */
export function oneHot({ labels, batch, classes }: Workload): ArrayData {
  const data = new Float32Array(batch * classes);
  labels.forEach((label, i) => {
    data[i * classes + label] = 1;
  });
  return { shape: [batch, classes], data };
}

function mlp(): MlpWorkload {
  const random = new Random(seeds.mlp);
  const widths = [784, 256, 256, 10];
  const batch = 256;
  const parameters: Record<string, ArrayData> = {};
  let products = 0;
  for (let layer = 0; layer + 1 < widths.length; layer++) {
    linear(parameters, `layers.${layer}`, widths[layer], widths[layer + 1], random);
    // The first layer needs no gradient of its input: two products, not three.
    products += (layer === 0 ? 2 : 3) * batch * widths[layer] * widths[layer + 1];
  }
  return {
    name: "mlp",
    description: "784-256-256-10 MLP, ReLU, batch 256",
    widths,
    batch,
    classes: 10,
    ...labelledBatch([batch, 784], 10, random),
    parameters,
    learningRate: 0.05,
    flops: 2 * products,
  };
}

function encoder(): EncoderWorkload {
  const random = new Random(seeds.encoder);
  const [batch, time, features, heads, feedForward, classes] = [64, 64, 128, 4, 512, 10];
  const parameters: Record<string, ArrayData> = {
    // nn.MultiheadAttention: Xavier-uniform projections with zero biases.
    "self_attn.in_proj_weight": uniform([3 * features, features], Math.sqrt(6 / (4 * features)), random),
    "self_attn.in_proj_bias": filled([3 * features], 0),
    "self_attn.out_proj.weight": uniform([features, features], 1 / Math.sqrt(features), random),
    "self_attn.out_proj.bias": filled([features], 0),
  };
  linear(parameters, "linear1", features, feedForward, random);
  linear(parameters, "linear2", feedForward, features, random);
  for (const norm of ["norm1", "norm2"]) {
    parameters[`${norm}.weight`] = filled([features], 1);
    parameters[`${norm}.bias`] = filled([features], 0);
  }
  linear(parameters, "head", features, classes, random);
  const rows = batch * time;
  const weights = 4 * features * features + 2 * features * feedForward;
  // The gradient of the input itself is not needed; attention is two products of time × time × features a sequence.
  const products =
    3 * rows * weights -
    rows * 3 * features * features +
    3 * 2 * batch * time * time * features +
    3 * batch * features * classes;
  return {
    name: "encoder",
    description: "Transformer encoder layer, d 128, 4 heads, FFN 512, batch 64 × 64 steps",
    time,
    features,
    heads,
    feedForward,
    batch,
    classes,
    normEpsilon: 1e-5,
    ...labelledBatch([batch, time, features], classes, random),
    parameters,
    learningRate: 0.05,
    flops: 2 * products,
  };
}

function gru(): GruWorkload {
  const random = new Random(seeds.gru);
  const [batch, time, features, hidden, classes] = [64, 64, 128, 128, 10];
  const bound = 1 / Math.sqrt(hidden);
  const parameters: Record<string, ArrayData> = {
    weight_ih_l0: uniform([3 * hidden, features], bound, random),
    weight_hh_l0: uniform([3 * hidden, hidden], bound, random),
    bias_ih_l0: uniform([3 * hidden], bound, random),
    bias_hh_l0: uniform([3 * hidden], bound, random),
  };
  linear(parameters, "head", hidden, classes, random);
  const products =
    2 * batch * time * 3 * hidden * features + 3 * batch * time * 3 * hidden * hidden + 3 * batch * hidden * classes;
  return {
    name: "gru",
    description: "GRU, d 128, batch 64 × 64 steps",
    time,
    features,
    hidden,
    batch,
    classes,
    ...labelledBatch([batch, time, features], classes, random),
    parameters,
    learningRate: 0.05,
    flops: 2 * products,
  };
}

/** Adds `name.weight` [out, in] and `name.bias` [out] with the bound of `nn.Linear.reset_parameters`, 1/√in. */
function linear(
  parameters: Record<string, ArrayData>,
  name: string,
  inputs: number,
  outputs: number,
  random: Random,
): void {
  parameters[`${name}.weight`] = uniform([outputs, inputs], 1 / Math.sqrt(inputs), random);
  parameters[`${name}.bias`] = uniform([outputs], 1 / Math.sqrt(inputs), random);
}

/** Standard normal noise plus 0.25 times a standard normal prototype of the example's class over the last axis. */
function labelledBatch(
  shape: readonly number[],
  classes: number,
  random: Random,
): { input: ArrayData; labels: Int32Array } {
  const batch = shape[0];
  const features = shape[shape.length - 1];
  const labels = Int32Array.from({ length: batch }, () => Math.floor(random.uniform() * classes));
  const prototypes = Float32Array.from({ length: classes * features }, () => random.normal());
  const data = new Float32Array(shape.reduce((product, length) => product * length, 1));
  const perExample = data.length / batch;
  for (let i = 0; i < data.length; i++) {
    const label = labels[Math.floor(i / perExample)];
    data[i] = random.normal() + 0.25 * prototypes[label * features + (i % features)];
  }
  return { input: { shape, data }, labels };
}

function uniform(shape: readonly number[], bound: number, random: Random): ArrayData {
  const size = shape.reduce((product, length) => product * length, 1);
  return { shape, data: Float32Array.from({ length: size }, () => (2 * random.uniform() - 1) * bound) };
}

function filled(shape: readonly number[], value: number): ArrayData {
  return { shape, data: new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(value) };
}

/**
 * A 32-bit xorshift generator (G. Marsaglia, "Xorshift RNGs", J. Stat. Softw. 8(14), 2003, triple 13, 17, 5).
 * It is independent of the engine under test on purpose.
 */
class Random {
  #state: number;

  /** @param seed any integer; the state must not be zero, so the seed is spread by an odd multiplier and offset. */
  constructor(seed: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) | 0 || 1;
    for (let i = 0; i < 16; i++) this.#next();
  }

  #next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  /** Uniform in [0, 1), 24 bits: exactly representable in float32. */
  uniform(): number {
    return (this.#next() >>> 8) / 0x1000000;
  }

  /** Standard normal by Box and Muller's transform. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
}
