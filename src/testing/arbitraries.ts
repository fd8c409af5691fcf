/**
 * What fast-check draws for tests of tensors: shapes, shapes that broadcast, dtypes, values with the special ones among
 * them, tensors that are views, and whole graphs. They shrink: to fewer elements, plain layouts and numbers near 0.
 */
// biome-ignore lint/suspicious/noTsIgnore: there is an error only where fast-check is not installed.
/** @ts-ignore: fast-check is an optional peer; without it these types are `any`. */
import type { Arbitrary, default as FastCheck } from "fast-check";
import type { DType } from "../tensor/dtype.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { Shape } from "../tensor/shape.ts";
import { sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Graph } from "./graph.ts";
import type { GraphStep } from "./graph.ts";
import { BINARY, MOVES, ROWS, UNARY } from "./graph.ts";
import { LAYOUTS, Operand } from "./operand.ts";

/** One tensor to be drawn: sizes that are named are drawn, and equal wherever the name stands. */
export interface OperandSpec {
  /** Sizes, as numbers or names: `["batch", 3]`. */
  readonly shape: readonly (number | string)[];
  /** Default f32. */
  readonly dtype?: DType;
  /** Interval of floating values; default −2 to 2. Integers are drawn from its whole numbers. */
  readonly domain?: readonly [number, number];
  /** Whether views are drawn too (transposed, strided, flipped, expanded); default true. */
  readonly views?: boolean;
  /** Whether NaN, infinities, −0, subnormal and very large numbers stand among the values; default false. */
  readonly specials?: boolean;
}

/** What a check is given for each argument: what to draw, its shape alone, or one tensor for every run. */
export type Input = OperandSpec | readonly (number | string)[] | Tensor;

const LARGEST = 3.4028234663852886e38;

/** Numbers that formulas forget: both zeros and infinities, NaN, subnormal and largest of float32. */
export const SPECIALS: readonly number[] = [NaN, Infinity, -Infinity, -0, 0, 1e-40, -1e-40, LARGEST, -LARGEST];

/** Steps of the grid that values lie on, in a unit. */
const GRID = 64;

/** Sizes of the shapes that are drawn. */
export interface ShapeLimits {
  /** Default 0. */
  readonly minRank?: number;
  /** Default 4. */
  readonly maxRank?: number;
  /** Largest size of an axis; default 5. */
  readonly maxSize?: number;
  /** Smallest; default 1. */
  readonly minSize?: number;
}

/** The arbitraries of `arbitraries(fc)`. */
export interface TensorArbitraries {
  /** Shapes. */
  shape(limits?: ShapeLimits): Arbitrary<number[]>;
  /** Pairs of shapes that broadcast with each other, and the shape that they come to. */
  broadcastable(limits?: ShapeLimits): Arbitrary<{ a: number[]; b: number[]; result: number[] }>;
  /** Dtypes; by default those that every device has: f32, i32, u32, bool. */
  dtype(among?: readonly DType[]): Arbitrary<DType>;
  /** Finite numbers on a grid of 1/64, exact in float32; with `specials` NaN, infinities and the like among them. */
  value(options?: Pick<OperandSpec, "domain" | "specials">): Arbitrary<number>;
  /** One tensor as data: `operand.tensor()` makes it, and it prints as code. Its named sizes are 1 to 4. */
  operand(spec: OperandSpec): Arbitrary<Operand>;
  /** Arguments of a function, of which named sizes agree; `sizes` is the largest of them (default 4). */
  operands(specs: readonly OperandSpec[], sizes?: number): Arbitrary<Operand[]>;
  /** Programs of up to `steps` (default 8) operations on matrices of one shape, each with the code that it is. */
  graph(options?: { readonly steps?: number; readonly inputs?: number }): Arbitrary<Graph>;
}

/**
 * Arbitraries of tensors, made with your own copy of fast-check: `arbitraries(fc)`.
 *
 * Values of the n-th operand lie on a grid of 1/64 that is moved by n/1024, so that two of them are never equal and
 * none is 0: finite differences do not meet the kinks of `maximum` and `relu`.
 */
export function arbitraries(fc: typeof FastCheck): TensorArbitraries {
  const value = (spec: Pick<OperandSpec, "domain" | "specials">, dtype: DType, nth: number): Arbitrary<number> => {
    const [low, high] = spec.domain ?? [-2, 2];
    if (dtype === "bool") return fc.integer({ min: 0, max: 1 });
    if (!isFloat(dtype)) {
      return fc.integer({ min: Math.max(Math.ceil(low), dtype === "u32" ? 0 : -(2 ** 31)), max: Math.floor(high) });
    }
    const moved = nth / 1024;
    const numbers = fc
      .integer({ min: Math.ceil((low - moved) * GRID), max: Math.floor((high - moved) * GRID) })
      .map((k: number) => k / GRID + moved);
    if (!spec.specials) return numbers;
    return fc.oneof({ weight: 3, arbitrary: numbers }, { weight: 1, arbitrary: fc.constantFrom(...SPECIALS) });
  };

  const sized = (spec: OperandSpec, shape: Shape, nth: number): Arbitrary<Operand> => {
    const { dtype = "f32", views = true } = spec;
    const size = sizeOf(shape);
    return fc
      .tuple(
        fc.array(value(spec, dtype, nth), { minLength: size, maxLength: size }),
        views ? fc.constantFrom(...LAYOUTS) : fc.constant("plain" as const),
      )
      .map(([values, layout]) => new Operand(shape, dtype, values, layout));
  };

  const operands = (specs: readonly OperandSpec[], sizes = 4): Arbitrary<Operand[]> => {
    const names = [...new Set(specs.flatMap(({ shape }) => shape.filter((size) => typeof size === "string")))];
    const drawn = fc.array(fc.integer({ min: 1, max: sizes }), { minLength: names.length, maxLength: names.length });
    return drawn.chain((found: number[]) =>
      fc.tuple(
        ...specs.map((spec, nth) => {
          const shape = spec.shape.map((size) => (typeof size === "number" ? size : found[names.indexOf(size)]));
          return sized(spec, shape, nth + 1);
        }),
      ),
    );
  };

  const shape = ({ minRank = 0, maxRank = 4, minSize = 1, maxSize = 5 }: ShapeLimits = {}): Arbitrary<number[]> =>
    fc.array(fc.integer({ min: minSize, max: maxSize }), { minLength: minRank, maxLength: maxRank });

  return {
    shape,
    broadcastable: (limits) =>
      shape(limits).chain((result: number[]) => {
        const { length } = result;
        const axes = fc.array(fc.constantFrom("both", "a", "b"), { minLength: length, maxLength: length });
        return fc.tuple(axes, fc.nat({ max: length }), fc.boolean()).map(([keep, dropped, swapped]) => {
          // Of each axis one side at least keeps the size; an axis in front that this one keeps, the other may lack.
          const whole = result.map((size, axis) => (keep[axis] === "b" ? 1 : size));
          const rest = result
            .map((size, axis) => (keep[axis] === "a" ? 1 : size))
            .slice(leading(whole, result, dropped));
          return swapped ? { a: rest, b: whole, result } : { a: whole, b: rest, result };
        });
      }),
    dtype: (among = ["f32", "i32", "u32", "bool"]) => fc.constantFrom(...among),
    value: (options = {}) => value(options, "f32", 0),
    operand: (spec) => operands([spec]).map(([one]) => one),
    operands,
    graph: ({ steps = 8, inputs = 2 } = {}) => {
      const natural = fc.nat({ max: 1_000_000 });
      const step = fc.oneof(
        fc.tuple(fc.constantFrom(...Object.keys(UNARY)), natural).map(([op, a]): GraphStep => ({ op, of: [a] })),
        fc.tuple(fc.constantFrom(...Object.keys(MOVES)), natural).map(([op, a]): GraphStep => ({ op, of: [a] })),
        fc.tuple(fc.constantFrom(...Object.keys(ROWS)), natural).map(([op, a]): GraphStep => ({ op, of: [a] })),
        fc
          .tuple(fc.constantFrom(...Object.keys(BINARY)), natural, natural)
          .map(([op, a, b]): GraphStep => ({ op, of: [a, b] })),
      );
      const matrices = operands(Array.from({ length: inputs }, () => ({ shape: ["rows", "columns"] })));
      return (
        fc
          .tuple(matrices, fc.array(step, { minLength: 1, maxLength: steps }))
          // fast-check shortens lists from their front; what a program can lose is its end.
          .map(([given, list]) => new Graph(given, [...list].reverse()))
      );
    },
  };
}

/** How many leading axes a shape may drop at most `wanted`: those that the other side keeps whole. */
function leading(kept: Shape, result: Shape, wanted: number): number {
  let axis = 0;
  while (axis < wanted && kept[axis] === result[axis]) axis++;
  return axis;
}

/** What an argument is drawn from. */
export function specOf(input: Input): OperandSpec | Tensor {
  return input instanceof Tensor || !Array.isArray(input) ? (input as OperandSpec | Tensor) : { shape: input as never };
}
