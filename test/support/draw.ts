/**
 * Random test inputs from one integer: shapes with sizes that fall between tiles and lanes, values on a grid that keeps
 * clear of kinks and ties, and operands that are views of something else.
 */
import type { DType, HostArray } from "../../src/tensor/dtype.ts";
import { hostArray, isFloat } from "../../src/tensor/dtype.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import type { Range } from "../../src/tensor/methods/arguments.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** Host values of a leaf of a test graph. */
export interface LeafData {
  readonly data: HostArray;
  readonly shape: Shape;
  readonly dtype: DType;
}

export interface ValueOptions {
  readonly dtype?: DType;
  /** Interval of floating values; default ±3. */
  readonly domain?: readonly [number, number];
  /** Which of a few interleaved grids values lie on: those of different grids are never equal. */
  readonly grid?: number;
  /** No value twice, as far as the grid has enough. */
  readonly distinct?: boolean;
  /** Integers from the whole range of 32 bits now and then. */
  readonly wide?: boolean;
  /** Largest magnitude of integers otherwise; default 9. */
  readonly most?: number;
}

export interface ShapeOptions {
  readonly minRank?: number;
  readonly maxRank?: number;
  /** Most elements; default 120. */
  readonly elements?: number;
  /** Chance of an axis of size 0; default 0. */
  readonly empty?: number;
}

/** An operand of a wanted shape: a leaf, and the view of it that has the shape. */
export interface DrawnOperand {
  readonly leaf: LeafData;
  readonly view: (t: Tensor) => Tensor;
  readonly how: string;
}

/** Steps of the grid in a unit. */
const GRID = 64;
/** Grids: values k / GRID + (grid + 1) / (8·GRID), so that values of two grids, and whole and half numbers, differ. */
const GRIDS = 7;

const SIZES = [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 33];

export class Draw {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** In [0, 1). Source: mulberry32, a 32-bit mixing generator in the public domain. */
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }
  /** A whole number, both ends included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }
  chance(p: number): boolean {
    return this.unit() < p;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)];
  }
  shuffled<T>(list: readonly T[]): T[] {
    const order = [...list];
    for (let i = order.length - 1; i > 0; i--) {
      const j = this.int(0, i);
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
  /** A subset, in order; not empty where `list` is not. */
  subset<T>(list: readonly T[]): T[] {
    const taken = list.filter(() => this.chance(0.5));
    return taken.length === 0 && list.length > 0 ? [this.pick(list)] : taken;
  }

  shape(options: ShapeOptions = {}): number[] {
    const { minRank = 0, maxRank = 4, elements = 120, empty = 0 } = options;
    const rank = this.int(minRank, maxRank);
    const shape = Array.from({ length: rank }, () => this.pick(SIZES));
    while (sizeOf(shape) > elements) {
      const at = shape.indexOf(Math.max(...shape));
      shape[at] = Math.max(1, Math.floor(shape[at] / 2));
    }
    if (rank > 0 && this.chance(empty)) shape[this.int(0, rank - 1)] = 0;
    return shape;
  }

  /** A shape that broadcasts to `shape`: some axes 1, leading ones dropped. */
  broadcastable(shape: Shape): number[] {
    if (this.chance(0.4)) return [...shape];
    const kept = shape.map((n) => (this.chance(0.35) ? 1 : n));
    return this.chance(0.3) ? kept.slice(this.int(0, kept.length)) : kept;
  }

  data(shape: Shape, options: ValueOptions = {}): LeafData {
    const { dtype = "f32" } = options;
    const data = hostArray(dtype, sizeOf(shape));
    if (isFloat(dtype)) this.#floats(data as Float32Array, options);
    else for (let i = 0; i < data.length; i++) data[i] = this.#integer(dtype, options);
    return { data, shape: [...shape], dtype };
  }

  #integer(dtype: DType, { wide = false, most = 9 }: ValueOptions): number {
    if (dtype === "bool") return this.int(0, 1);
    if (wide && this.chance(0.2)) return this.pick([0x7fffffff, 0x80000000, 0xffffffff, 0, this.int(0, 0xffffffff)]);
    return dtype === "u32" ? this.int(0, most) : this.int(-most, most);
  }

  #floats(
    data: Float32Array,
    { domain = [-3, 3], grid = this.int(0, GRIDS - 1), distinct = false }: ValueOptions,
  ): void {
    const offset = ((grid % GRIDS) + 1) / (8 * GRID);
    const [low, high] = [Math.ceil((domain[0] - offset) * GRID), Math.floor((domain[1] - offset) * GRID)];
    const used = new Set<number>();
    for (let i = 0; i < data.length; i++) {
      let k = this.int(low, high);
      for (let tries = 0; distinct && used.has(k) && tries <= high - low; tries++) k = k === high ? low : k + 1;
      used.add(k);
      data[i] = k / GRID + offset;
    }
  }

  /** An operand of `shape`, often a view: permuted, strided, flipped, repeated, or computed first. */
  operand(shape: Shape, options: ValueOptions = {}): DrawnOperand {
    const plain = (s: Shape = shape): LeafData => this.data(s, options);
    const rank = shape.length;
    const size = sizeOf(shape);
    switch (size === 0 ? 0 : this.int(0, 8)) {
      case 1:
      case 2: {
        if (rank < 2) break;
        const order = this.shuffled(shape.map((_, i) => i));
        const inverse = order.map((_, i) => order.indexOf(i));
        return {
          leaf: plain(order.map((a) => shape[a])),
          view: (t) => t.permute(inverse),
          how: `permute ${inverse.join()}`,
        };
      }
      case 3: {
        if (rank === 0) break;
        const cuts = shape.map((n) => {
          const step = this.pick([1, 1, 2, 3, -1, -1, -2]);
          const before = this.int(0, 2);
          return { step, before, full: before + (n - 1) * Math.abs(step) + 1 + this.int(0, 2) };
        });
        const ranges = cuts.map(({ step, before }, i): Range => {
          const last = before + (shape[i] - 1) * Math.abs(step);
          if (step > 0) return [before, last + 1, step];
          return [last, before === 0 ? null : before - 1, step];
        });
        if (sizeOf(cuts.map((c) => c.full)) > 4000) break;
        return {
          leaf: plain(cuts.map((c) => c.full)),
          view: (t) => t.slice(...ranges),
          how: `slice ${JSON.stringify(ranges)}`,
        };
      }
      case 4: {
        const small = shape.map((n) => (this.chance(0.5) ? 1 : n));
        return { leaf: plain(small), view: (t) => t.expand(shape), how: `expand from ${small.join()}` };
      }
      case 5: {
        const rows = [2, 3, 4, 5].find((d) => size % d === 0) ?? 1;
        return {
          leaf: plain([size / rows, rows]),
          view: (t) => t.transpose().reshape(shape),
          how: `transpose of ${size / rows}×${rows}, reshaped`,
        };
      }
      case 6:
        // Multiplication by 2 and by 0.5 is exact, so a value on the grid stays on it.
        if (isFloat(options.dtype ?? "f32")) return { leaf: plain(), view: (t) => t.mul(2).mul(0.5), how: "computed" };
        break;
      case 7:
        if (rank > 0) return { leaf: plain(), view: (t) => t.flip(this.#always(rank)), how: "flip" };
        break;
      default:
    }
    return { leaf: plain(), view: (t) => t, how: "plain" };
  }

  /** Axes fixed when first asked for: a view is built once a device. */
  #always(rank: number): number[] {
    return Array.from({ length: rank }, (_, i) => i);
  }
}

/** The draws of `Draw.unit`, as a function. */
export function seededRandom(seed: number): () => number {
  const draw = new Draw(seed);
  return () => draw.unit();
}
