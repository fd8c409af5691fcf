/**
 * Initialisers: first values of parameters by the rules of torch.nn.init. Each gives a tensor of the shape asked for:
 *
 * ```ts
 * layer.weight.assign(kaimingNormal(layer.weight.shape, { nonlinearity: "relu" }));
 * ```
 *
 * `Generator.uniform`, `Generator.normal`, `full` and `eye` are torch.nn.init's others. A weight [out, in, ...kernel] has
 * fan-in in·(places of the kernel) and fan-out out·(places). Draws come from this package's generator: PyTorch's
 * distributions, not its numbers.
 */
import { eye, zeros } from "../tensor/create.ts";
import { rng } from "../tensor/random.ts";
import { formatShape, requireSizes, sizeOf } from "../tensor/shape.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { uniformWithin } from "./initialize.ts";
import type { LayerOptions } from "./initialize.ts";
import { checkOptions } from "../tensor/door/door.ts";

/** What gains are known of. */
export type Nonlinearity = "linear" | "conv" | "sigmoid" | "tanh" | "relu" | "leakyRelu" | "selu";

/**
 * What a nonlinearity asks weights to be scaled by (torch.nn.init.calculate_gain): 1 of linear maps, convolutions and
 * sigmoid, 5/3 of tanh, √2 of relu, √(2 / (1 + slope²)) of leakyRelu, 3/4 of selu.
 *
 * @param slope of leakyRelu; default 0.01.
 */
export function calculateGain(nonlinearity: Nonlinearity, slope = 0.01): number {
  switch (nonlinearity) {
    case "linear":
    case "conv":
    case "sigmoid":
      return 1;
    case "tanh":
      return 5 / 3;
    case "relu":
      return Math.SQRT2;
    case "leakyRelu":
      return Math.sqrt(2 / (1 + slope ** 2));
    case "selu":
      return 3 / 4;
    default:
      throw new Error(
        `calculateGain: ${JSON.stringify(nonlinearity)} is not known; choose from linear, conv, sigmoid, tanh, relu, leakyRelu, selu`,
      );
  }
}

const DRAWS = ["dtype", "generator"];

interface Fans {
  readonly fanIn: number;
  readonly fanOut: number;
}

function fansOf(name: string, shape: Shape): Fans {
  requireSizes(name, shape);
  if (shape.length < 2) {
    throw new Error(`${name}: ${formatShape(shape)} has no fan-in and fan-out; a weight is [out, in, ...kernel]`);
  }
  const places = sizeOf(shape.slice(2));
  return { fanIn: shape[1] * places, fanOut: shape[0] * places };
}

/** Numbers in ±bound; where a weight has no elements, bound is of no use and may be infinite. */
const uniformOf = (shape: Shape, bound: number, options: LayerOptions): Tensor =>
  sizeOf(shape) === 0 ? zeros(shape, options.dtype) : uniformWithin(bound, shape, options);

const normalOf = (shape: Shape, deviation: number, { dtype = "f32", generator = rng() }: LayerOptions): Tensor =>
  sizeOf(shape) === 0 ? zeros(shape, dtype) : generator.normal(shape, 0, deviation, dtype);

/** Settings of `xavierUniform` and `xavierNormal`. */
export interface XavierOptions extends LayerOptions {
  /** Factor of the scale, see `calculateGain`; default 1. */
  readonly gain?: number;
}

/**
 * A weight [out, in, ...kernel], uniform in ±gain·√(6 / (fanIn + fanOut)) (torch.nn.init.xavier_uniform_; Glorot,
 * Bengio 2010, eq. 16).
 */
export function xavierUniform(shape: Shape, options: XavierOptions = {}): Tensor {
  checkOptions("xavierUniform", options, ["gain", ...DRAWS]);
  const { fanIn, fanOut } = fansOf("xavierUniform", shape);
  return uniformOf(shape, (options.gain ?? 1) * Math.sqrt(6 / (fanIn + fanOut)), options);
}

/**
 * A weight [out, in, ...kernel], normal of deviation gain·√(2 / (fanIn + fanOut)) (torch.nn.init.xavier_normal_;
 * Glorot, Bengio 2010).
 */
export function xavierNormal(shape: Shape, options: XavierOptions = {}): Tensor {
  checkOptions("xavierNormal", options, ["gain", ...DRAWS]);
  const { fanIn, fanOut } = fansOf("xavierNormal", shape);
  return normalOf(shape, (options.gain ?? 1) * Math.sqrt(2 / (fanIn + fanOut)), options);
}

/** Settings of `kaimingUniform` and `kaimingNormal`, with PyTorch's defaults. */
export interface KaimingOptions extends LayerOptions {
  /** Slope of the leaky relu that follows; default 0. */
  readonly a?: number;
  /** Keep variances forward ("fanIn", default) or backward ("fanOut"). */
  readonly mode?: "fanIn" | "fanOut";
  /** What follows; default "leakyRelu", which with `a` 0 is relu. */
  readonly nonlinearity?: Nonlinearity;
}

function kaimingDeviation(name: string, shape: Shape, options: KaimingOptions): number {
  checkOptions(name, options, ["a", "mode", "nonlinearity", ...DRAWS]);
  const { a = 0, mode = "fanIn", nonlinearity = "leakyRelu" } = options;
  if (mode !== "fanIn" && mode !== "fanOut") {
    throw new Error(`${name}: mode is ${JSON.stringify(mode)}; it must be "fanIn" or "fanOut"`);
  }
  return calculateGain(nonlinearity, a) / Math.sqrt(fansOf(name, shape)[mode]);
}

/**
 * A weight [out, in, ...kernel], uniform in ±gain·√(3 / fan) (torch.nn.init.kaiming_uniform_; He et al. 2015, arXiv
 * 1502.01852).
 */
export function kaimingUniform(shape: Shape, options: KaimingOptions = {}): Tensor {
  return uniformOf(shape, Math.sqrt(3) * kaimingDeviation("kaimingUniform", shape, options), options);
}

/**
 * A weight [out, in, ...kernel], normal of deviation gain / √fan (torch.nn.init.kaiming_normal_; He et al. 2015,
 * arXiv 1502.01852).
 */
export function kaimingNormal(shape: Shape, options: KaimingOptions = {}): Tensor {
  return normalOf(shape, kaimingDeviation("kaimingNormal", shape, options), options);
}

/** Settings of `truncatedNormal`, with PyTorch's defaults. */
export interface TruncatedNormalOptions extends LayerOptions {
  /** Default 0. */
  readonly mean?: number;
  /** Standard deviation before the cut; default 1. */
  readonly deviation?: number;
  /** Values are in [low, high], −2 and 2 by default: not multiples of the deviation, as in PyTorch. */
  readonly low?: number;
  readonly high?: number;
}

/**
 * A tensor of any shape, normal, of what lies in [low, high] alone (torch.nn.init.trunc_normal_), by the inverse of
 * its distribution.
 */
export function truncatedNormal(shape: Shape, options: TruncatedNormalOptions = {}): Tensor {
  checkOptions("truncatedNormal", options, ["mean", "deviation", "low", "high", ...DRAWS]);
  const { mean = 0, deviation = 1, low = -2, high = 2, dtype = "f32", generator = rng() } = options;
  if (!(deviation > 0 && low < high)) {
    throw new Error(`truncatedNormal: deviation ${deviation} must be above 0, and low ${low} below high ${high}`);
  }
  const [from, to] = [low, high].map((x) => erf((x - mean) / (deviation * Math.SQRT2)));
  if (!(to > from)) {
    throw new Error(
      `truncatedNormal: [${low}, ${high}] holds none of a normal of mean ${mean}, deviation ${deviation}`,
    );
  }
  const wide = dtype === "f16" ? "f32" : dtype;
  const unit = generator.uniform(shape, from, to, wide);
  return inverseErf(unit)
    .mul(deviation * Math.SQRT2)
    .add(mean)
    .maximum(low)
    .minimum(high)
    .cast(dtype);
}

/** erf to 1.2e-7 (W. Press et al., Numerical Recipes, erfcc). */
function erf(x: number): number {
  const t = 1 / (1 + Math.abs(x) / 2);
  const terms = [
    0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
    -1.26551223,
  ];
  const rest = t * Math.exp(-x * x + terms.reduce((sum, term) => sum * t + term));
  return x >= 0 ? 1 - rest : rest - 1;
}

/** The inverse of erf (M. Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2011, table 5). */
function inverseErf(x: Tensor): Tensor {
  const polynomial = (w: Tensor, terms: readonly number[]): Tensor =>
    terms.slice(1).reduce((sum, term) => sum.mul(w).add(term), w.mul(0).add(terms[0]));
  // Away from ±1, where the logarithm ends.
  const inside = x.maximum(2 ** -24 - 1).minimum(1 - 2 ** -24);
  const w = inside.mul(inside).neg().log1p().neg();
  const central = polynomial(
    w.sub(2.5),
    [
      2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
      0.246640727, 1.50140941,
    ],
  );
  const tail = polynomial(
    w.sqrt().sub(3),
    [
      -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
      1.00167406, 2.83297682,
    ],
  );
  return w.lt(5).where(central, tail).mul(inside);
}

/** Settings of `orthogonal`. */
export interface OrthogonalOptions extends LayerOptions {
  /** What the matrix is multiplied by; default 1. */
  readonly gain?: number;
}

/**
 * Orthonormal rows (or columns, where there are more rows) of the matrix [out, in·places], uniformly distributed
 * (torch.nn.init.orthogonal_; Saxe et al. 2013, arXiv 1312.6120): the orthogonal factor of a normal matrix.
 */
export function orthogonal(shape: Shape, options: OrthogonalOptions = {}): Tensor {
  requireSizes("orthogonal", shape);
  if (shape.length < 2) throw new Error(`orthogonal: ${formatShape(shape)} is no matrix; it needs at least two axes`);
  checkOptions("orthogonal", options, ["gain", ...DRAWS]);
  const { gain = 1, dtype = "f32", generator = rng() } = options;
  const [rows, columns] = [shape[0], sizeOf(shape.slice(1))];
  if (rows * columns === 0) return zeros(shape, dtype);
  const tall = rows > columns;
  const wide = dtype === "f16" ? "f32" : dtype;
  let x = generator.normal(tall ? [columns, rows] : [rows, columns], 0, 1, wide);
  // The orthogonal factor is where Newton and Schulz's iteration ends. Muon's polynomial (K. Jordan, 2024) first
  // lifts small singular values three times as fast; the cubic then doubles the digits each time.
  x = x.mul(x.square().sum().rsqrt());
  for (let i = 0; i < 16; i++) {
    const gram = x.matmul(x.transpose());
    const inner = gram.mul(-4.775).add(gram.matmul(gram).mul(2.0315));
    x = x.mul(3.4445).add(inner.matmul(x)).contiguous();
  }
  for (let i = 0; i < 7; i++) x = x.mul(1.5).sub(x.matmul(x.transpose()).matmul(x).mul(0.5)).contiguous();
  return (tall ? x.transpose() : x).mul(gain).cast(dtype).reshape(shape);
}

/**
 * What leaves channels as they are: a convolution's weight [out, in, ...kernel] with a 1 in the middle of the kernel of
 * channel i to channel i (torch.nn.init.dirac_).
 *
 * @param groups each gets an identity of its own; default 1.
 */
export function dirac(shape: Shape, { groups = 1, dtype = "f32" }: { groups?: number } & LayerOptions = {}): Tensor {
  requireSizes("dirac", shape);
  if (shape.length < 3 || shape.length > 5) {
    throw new Error(`dirac: ${formatShape(shape)} is no convolution's weight [out, in, ...kernel]`);
  }
  const [out, perGroup, ...kernel] = shape;
  if (!Number.isInteger(groups) || groups < 1 || out % groups !== 0) {
    throw new Error(`dirac: ${out} channels do not divide into ${groups} groups`);
  }
  const one = eye(out / groups, perGroup, dtype).reshape([1, out / groups, perGroup, ...kernel.map(() => 1)]);
  const middle = kernel.map((n) => [Math.floor(n / 2), n - 1 - Math.floor(n / 2)] as const);
  const placed = one.pad([[0, 0], [0, 0], [0, 0], ...middle]);
  return placed.expand([groups, ...placed.shape.slice(1)]).reshape(shape);
}
