/**
 * Elementwise operations of the suite: what each means, where it is defined, and where its value or gradient is easily
 * got wrong. Values of float32 are computed by JavaScript's own functions where it has them, which no engine shares.
 */
import { leakyRelu, mish } from "../../../ops/arrays/index.ts";
import type { Tensor } from "../../../tensor/tensor.ts";

type Interval = readonly [low: number, high: number];

/** One operation. Points are operands: one number each. */
interface ElementwiseRow {
  readonly meaning: (...operands: Tensor[]) => Tensor;
  /** In JavaScript's numbers, where these are right for every operand. */
  readonly plain?: (...operands: number[]) => number;
  /** One interval an operand. */
  readonly domain: readonly Interval[];
  /** Whether it has a gradient; default true. */
  readonly differentiable?: boolean;
  /** Whether near 0 it is near 0, so that what is lost there is lost for good. */
  readonly small?: boolean;
  /** Operands besides the special ones at which values are looked at. */
  readonly points?: readonly (readonly number[])[];
  /** Where the gradient exists but a formula may overflow on the way to it. */
  readonly far?: readonly (readonly number[])[];
  /** Where there is no derivative, and the least and largest that may be said of each operand's. */
  readonly kinks?: readonly { readonly at: readonly number[]; readonly between: readonly Interval[] }[];
  /** Whether it is no operation of this engine, but made of several: then there is nothing of its own to check. */
  readonly composed?: boolean;
  /** Whether special operands have a result that IEEE 754 or C's mathematics says; default true. */
  readonly specials?: boolean;
  /** Operands larger than this are not asked about; default: all are. */
  readonly most?: number;
  /** Whether the sign of zero is said as well. */
  readonly signed?: boolean;
}

const R: Interval = [-3, 3];
const P: Interval = [0.1, 4];
const STEEP: readonly (readonly number[])[] = [[100], [-100], [30], [-30]];

const unary = (
  meaning: (x: Tensor) => Tensor,
  plain: ((x: number) => number) | undefined,
  more: Partial<ElementwiseRow> = {},
): ElementwiseRow => ({ meaning: meaning as ElementwiseRow["meaning"], plain, domain: [R], ...more });

const binary = (
  meaning: (x: Tensor, y: Tensor) => Tensor,
  plain: (x: number, y: number) => number,
  more: Partial<ElementwiseRow> = {},
): ElementwiseRow => ({ meaning: meaning as ElementwiseRow["meaning"], plain, domain: [R, R], ...more });

/** IEEE 754-2019's pow, which JavaScript's differs from at ±1. */
function power(x: number, y: number): number {
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
}

/** To the nearest whole number, halves to even. */
function nearest(x: number): number {
  const whole = Math.floor(x);
  if (!Number.isFinite(x) || x - whole !== 0.5) return Math.abs(x) <= 0.5 ? x * 0 : Math.round(x);
  const even = whole % 2 === 0 ? whole : whole + 1;
  return even === 0 ? x * 0 : even;
}

const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const step = { differentiable: false } as const;
const tie: ElementwiseRow["kinks"] = [
  {
    at: [1.5, 1.5],
    between: [
      [0, 1],
      [0, 1],
    ],
  },
];
const HALVES = [[0.5], [1.5], [2.5], [-0.5], [-1.5], [-2.5], [0.49999997], [8388609], [-8388609]];

const SELU_SCALE = 1.0507009873554805;
const SELU_ALPHA = 1.6732632423543772;

/** By name. */
export const ELEMENTWISE_ROWS: Readonly<Record<string, ElementwiseRow>> = {
  add: binary(
    (x, y) => x.add(y),
    (x, y) => x + y,
  ),
  sub: binary(
    (x, y) => x.sub(y),
    (x, y) => x - y,
  ),
  mul: binary(
    (x, y) => x.mul(y),
    (x, y) => x * y,
    { signed: true },
  ),
  div: binary(
    (x, y) => x.div(y),
    (x, y) => x / y,
    { domain: [R, [0.5, 3]], signed: true },
  ),
  pow: binary((x, y) => x.pow(y), power, {
    domain: [P, R],
    points: [
      [-2, 3],
      [-2, 2],
      [-2, 0.5],
      [0, 0.5],
      [0, -1],
      [-0, -1],
      [-1.5, -3],
      [2, 127],
      [2, 128],
    ],
    far: [
      [0, 2],
      [0, 1],
      [0, 3],
      [-2, 2],
      [-2, 3],
      [3, 0],
      [1, 5],
    ],
  }),
  maximum: binary((x, y) => x.maximum(y), Math.max, { kinks: tie }),
  minimum: binary((x, y) => x.minimum(y), Math.min, { kinks: tie }),
  logAddExp: binary(
    (x, y) => x.maximum(y).add(x.sub(y).abs().neg().exp().log1p()),
    (x, y) => (x === y ? x + Math.LN2 : Math.max(x, y) + Math.log1p(Math.exp(-Math.abs(x - y)))),
    {
      composed: true,
      far: [
        [200, 0],
        [0, 200],
        [-500, -501],
        [1000, 1000.5],
      ],
    },
  ),
  atan2: binary(
    (y, x) => x.gt(0).where(y.div(x).atan(), y.div(x).atan().add(y.lt(0).where(-Math.PI, Math.PI))),
    Math.atan2,
    {
      composed: true,
      domain: [
        [0.2, 3],
        [-3, -0.2],
      ],
      points: [
        [0, 1],
        [0, -1],
        [-0, -1],
        [1, 0],
        [-1, 0],
        [0, 0],
      ],
      signed: true,
    },
  ),
  hypot: binary((x, y) => x.square().add(y.square()).sqrt(), Math.hypot, {
    composed: true,
    domain: [P, R],
    points: [
      [1e30, 1e30],
      [3e-30, 4e-30],
    ],
  }),
  eq: binary(
    (x, y) => x.eq(y),
    (x, y) => Number(x === y),
    step,
  ),
  ne: binary(
    (x, y) => x.ne(y),
    (x, y) => Number(x !== y),
    step,
  ),
  lt: binary(
    (x, y) => x.lt(y),
    (x, y) => Number(x < y),
    step,
  ),
  le: binary(
    (x, y) => x.le(y),
    (x, y) => Number(x <= y),
    step,
  ),
  gt: binary(
    (x, y) => x.gt(y),
    (x, y) => Number(x > y),
    step,
  ),
  ge: binary(
    (x, y) => x.ge(y),
    (x, y) => Number(x >= y),
    step,
  ),
  neg: unary(
    (x) => x.neg(),
    (x) => -x,
    { signed: true },
  ),
  abs: unary((x) => x.abs(), Math.abs, { signed: true, kinks: [{ at: [0], between: [[-1, 1]] }] }),
  sign: unary((x) => x.sign(), Math.sign),
  square: unary(
    (x) => x.square(),
    (x) => x * x,
  ),
  reciprocal: unary(
    (x) => x.reciprocal(),
    (x) => 1 / x,
    { domain: [[0.4, 3]], signed: true },
  ),
  sqrt: unary((x) => x.sqrt(), Math.sqrt, {
    domain: [P],
    signed: true,
    points: [[2e-38], [1e38]],
    far: [[1e-12], [1e12]],
  }),
  rsqrt: unary(
    (x) => x.rsqrt(),
    (x) => 1 / Math.sqrt(x),
    { domain: [P], points: [[2e-38], [1e38]] },
  ),
  exp: unary((x) => x.exp(), Math.exp, { points: [[88.7], [89], [-87], [-104]] }),
  expm1: unary((x) => x.expm1(), Math.expm1, { small: true, points: [[88.7], [89], [-104]] }),
  log: unary((x) => x.log(), Math.log, { domain: [P], points: [[1.0000001], [2e-38]], far: [[1e-12], [1e12]] }),
  log1p: unary((x) => x.log1p(), Math.log1p, { domain: [[-0.9, 4]], small: true, far: [[1e12]] }),
  exp2: unary(
    (x) => x.mul(Math.LN2).exp(),
    (x) => 2 ** x,
    { composed: true, points: [[127], [128], [-126]] },
  ),
  log2: unary((x) => x.log().div(Math.LN2), Math.log2, { composed: true, domain: [P] }),
  log10: unary((x) => x.log().div(Math.LN10), Math.log10, { composed: true, domain: [P] }),
  sin: unary((x) => x.sin(), Math.sin, { most: 1e4, small: true, points: [[100], [-1000], [9999.5]] }),
  cos: unary((x) => x.cos(), Math.cos, { most: 1e4, points: [[100], [-1000], [9999.5]] }),
  tan: unary((x) => x.tan(), Math.tan, { most: 1e4, domain: [[-1.3, 1.3]], small: true, points: [[100], [-1000]] }),
  asin: unary((x) => x.div(x.square().neg().add(1).sqrt()).atan(), Math.asin, {
    composed: true,
    domain: [[-0.9, 0.9]],
    small: true,
  }),
  acos: unary(
    (x) =>
      x
        .div(x.square().neg().add(1).sqrt())
        .atan()
        .neg()
        .add(Math.PI / 2),
    Math.acos,
    { composed: true, domain: [[-0.9, 0.9]] },
  ),
  atan: unary((x) => x.atan(), Math.atan, { small: true, far: [[1e6], [-1e6]] }),
  sinh: unary((x) => x.expm1().sub(x.neg().expm1()).div(2), Math.sinh, {
    composed: true,
    small: true,
    far: [[20], [-20]],
  }),
  cosh: unary((x) => x.exp().add(x.neg().exp()).div(2), Math.cosh, { composed: true, far: [[20], [-20]] }),
  tanh: unary((x) => x.tanh(), Math.tanh, { small: true, far: STEEP }),
  asinh: unary((x) => x.square().add(1).sqrt().add(x.abs()).log().mul(x.sign()), Math.asinh, {
    composed: true,
    domain: [[0.2, 3]],
    small: true,
    points: [[-50], [-3000], [1e10], [-1e10]],
  }),
  acosh: unary((x) => x.square().sub(1).sqrt().add(x).log(), Math.acosh, {
    composed: true,
    domain: [[1.2, 4]],
    points: [[1e10]],
  }),
  atanh: unary((x) => x.log1p().sub(x.neg().log1p()).div(2), Math.atanh, {
    composed: true,
    domain: [[-0.9, 0.9]],
    small: true,
  }),
  erf: unary((x) => x.erf(), undefined, { small: true, far: [[6], [-6], [20]] }),
  sigmoid: unary((x) => x.sigmoid(), sigmoid, { far: STEEP, points: [[-80], [80]] }),
  softplus: unary((x) => x.softplus(), softplus, { far: STEEP, points: [[-80], [80]] }),
  logSigmoid: unary(
    (x) => x.neg().softplus().neg(),
    (x) => -softplus(-x),
    { composed: true, far: STEEP, points: [[-80], [80]] },
  ),
  relu: unary(
    (x) => x.relu(),
    (x) => (x > 0 || Number.isNaN(x) ? x : 0),
    { kinks: [{ at: [0], between: [[0, 1]] }] },
  ),
  relu6: unary(
    (x) => x.relu().minimum(6),
    (x) => (Number.isNaN(x) ? x : Math.min(Math.max(x, 0), 6)),
    {
      composed: true,
      domain: [[-3, 9]],
      kinks: [
        { at: [0], between: [[0, 1]] },
        { at: [6], between: [[0, 1]] },
      ],
    },
  ),
  leakyRelu: unary(
    (x) => leakyRelu(x, 0.125),
    (x) => (x >= 0 || Number.isNaN(x) ? x : 0.125 * x),
    {
      kinks: [{ at: [0], between: [[0.125, 1]] }],
    },
  ),
  elu: unary(
    (x) => x.elu(),
    (x) => (x > 0 ? x : Math.expm1(x)),
    { small: true, far: STEEP },
  ),
  selu: unary(
    (x) => x.gt(0).where(x, x.expm1().mul(SELU_ALPHA)).mul(SELU_SCALE),
    (x) => SELU_SCALE * (x > 0 ? x : SELU_ALPHA * Math.expm1(x)),
    {
      composed: true,
      far: [[-100], [-30], [30]],
      kinks: [{ at: [0], between: [[SELU_SCALE, SELU_SCALE * SELU_ALPHA]] }],
    },
  ),
  silu: unary(
    (x) => x.silu(),
    (x) => (x === -Infinity ? 0 : x * sigmoid(x)),
    { far: STEEP, specials: false },
  ),
  gelu: unary((x) => x.gelu(), undefined, { far: STEEP, specials: false }),
  geluTanh: unary((x) => x.gelu("tanh"), undefined, { far: STEEP, specials: false }),
  mish: unary((x) => mish(x), undefined, { far: STEEP, specials: false }),
  floor: unary((x) => x.floor(), Math.floor, { ...step, signed: true, points: HALVES }),
  ceil: unary((x) => x.ceil(), Math.ceil, { ...step, signed: true, points: HALVES }),
  trunc: unary((x) => x.trunc(), Math.trunc, { ...step, signed: true, points: HALVES }),
  round: unary((x) => x.round(), nearest, { ...step, signed: true, points: HALVES }),
  isNaN: unary(
    (x) => x.isNaN(),
    (x) => Number(Number.isNaN(x)),
    step,
  ),
  isFinite: unary(
    (x) => x.isFinite(),
    (x) => Number(Number.isFinite(x)),
    step,
  ),
};
