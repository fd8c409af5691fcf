/**
 * Random numbers from one counter-based generator: the same bits on every device, whatever the order of work.
 *
 * Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
 * element i of call c is word i mod 2 of the block with counter (⌊i/2⌋, c) under the seed's key. Additions, rotations
 * and exclusive-ors of 32-bit words are exact everywhere, so only the arithmetic done on the bits is rounded.
 */
import * as build from "./build.ts";
import { requireNumber } from "./door/door.ts";
import { checkDType, isFloat } from "./dtype.ts";
import type { DType } from "./dtype.ts";
import type { Node } from "./node.ts";
import { requireSizes, sizeOf } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { Tensor } from "./tensor.ts";
import { threefry2x32 } from "./threefry.ts";
import { refusedInTrace, onceInTrace, tracing } from "./program/trace.ts";

/** Draws, in the order asked for. The whole state is the seed and the number of calls so far. */
export class Generator {
  #key: readonly [number, number] = [0, 0];
  #seed = 0;
  #calls = 0;
  /** The traced function that made it: every call of that makes it anew, and draws the same. */
  readonly #maker = tracing();
  /** The step of a loop that made it. */
  readonly #step = build.drawsHandedOut();

  constructor(seed: number, calls = 0) {
    this.#start(seed, calls);
  }

  /** Calls made so far; set it to resume where another run stopped, which is refused where `reseed` is. */
  get calls(): number {
    return this.#calls;
  }
  set calls(calls: number) {
    this.reseed(this.#seed, calls);
  }

  /** The seed it was made with. */
  get seed(): number {
    return this.#seed;
  }

  /**
   * Starts again from this seed, as after `calls` draws; compiled functions that draw from the generator do so too.
   *
   * @throws Error inside a compiled function, for a generator from outside, and inside a scan's cell.
   */
  reseed(seed: number, calls = 0): void {
    build.refuseInStep("seed", "seed before the scan");
    if (tracing() && tracing() !== this.#maker)
      throw onceInTrace("seed", "seed before the call, or make a Generator inside the function");
    this.#start(seed, calls);
  }

  #start(seed: number, calls: number): void {
    if (!Number.isSafeInteger(seed)) throw new Error(`Generator: the seed must be a whole number, not ${seed}`);
    this.#seed = seed;
    this.#key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
    this.#calls = calls;
  }

  /** 32 random bits an element, u32. */
  bits(shape: Shape): Tensor {
    requireSizes("random", shape);
    if (sizeOf(shape) === 0) return new Tensor(build.full([...shape], 0, "u32"));
    if (this.#step && this.#step === build.drawsHandedOut())
      build.refuseInStep("Generator", "it draws anew for every step: make the generator outside of the cell");
    const next = () => Uint32Array.of(this.#key[0], this.#key[1], this.#calls++, 0);
    const key = this.#maker && tracing() === this.#maker ? this.#again(next()) : build.drawn(next, [4], "u32");
    return new Tensor(build.makeNode({ kind: "bits" }, [key], [...shape], "u32"));
  }

  /** The same key at every call of the function that made the generator. */
  #again(key: Uint32Array): Node {
    if (build.drawsHandedOut())
      throw onceInTrace("Generator", "a scan draws anew for every step: make the generator outside of the function");
    return build.makeNode({ kind: "data", data: key }, [], [4], "u32");
  }

  /** Uniform in [low, high), 24 random bits each. */
  uniform(shape: Shape, low = 0, high = 1, dtype: DType = "f32"): Tensor {
    requireDraw("uniform", shape, dtype, { low, high });
    if (low > high) throw new Error(`Generator.uniform: low = ${low} must not be above high = ${high}`);
    const unit = this.bits(shape)
      .shiftRight(8)
      .cast(dtype)
      .mul(2 ** -24);
    const spread = unit.mul(high - low).add(low);
    // Adding may round up to the end that does not belong to the range.
    return low === 0 || high <= low || dtype === "f16" ? spread : spread.minimum(below(high));
  }

  /** Normal with this mean and standard deviation (Box–Muller). */
  normal(shape: Shape, mean = 0, deviation = 1, dtype: DType = "f32"): Tensor {
    requireDraw("normal", shape, dtype, { mean, deviation });
    const pair = this.bits([2, ...shape])
      .shiftRight(8)
      .cast(dtype);
    // (0, 1]: the logarithm of 0 must not occur.
    const radius = pair
      .slice(0)
      .add(1)
      .mul(2 ** -24)
      .log()
      .mul(-2)
      .maximum(0)
      .sqrt();
    const angle = pair.slice(1).mul(2 ** -24 * 2 * Math.PI);
    return radius.mul(angle.cos()).mul(deviation).add(mean);
  }

  /** Whole numbers in [low, high), i32 (biased by less than (high − low) / 2^24; above 2^16 of them, / 2^32). */
  integers(shape: Shape, low: number, high: number): Tensor {
    const fits = Number.isInteger(low) && Number.isInteger(high) && low >= -(2 ** 31) && high <= 2 ** 31;
    if (!fits || low >= high)
      throw new Error(`Generator.integers: [${low}, ${high}) is no range of 32-bit integers; low must be below high`);
    const count = high - low;
    if (count > 2 ** 16 || Math.max(-low, high) > 2 ** 24) return this.#wideIntegers(shape, low, count);
    return this.uniform(shape, low, high)
      .floor()
      .cast("i32")
      .minimum(high - 1);
  }

  /** low + ⌊bits · count / 2^32⌋: the high word of a product of two words, from products of their halves. */
  #wideIntegers(shape: Shape, low: number, count: number): Tensor {
    const bits = this.bits(shape);
    if (count === 2 ** 32) return bits.cast("i32");
    const [top, bottom] = [bits.shiftRight(16), bits.bitAnd(0xffff)];
    const [countTop, countBottom] = [Math.floor(count / 2 ** 16), count % 2 ** 16];
    const middle = top.mul(countBottom).add(bottom.mul(countBottom).shiftRight(16));
    const carry = bottom.mul(countTop).add(middle.bitAnd(0xffff)).shiftRight(16);
    return top.mul(countTop).add(middle.shiftRight(16)).add(carry).cast("i32").add(low);
  }

  /** 1/(1 − p) with probability 1 − p, else 0: multiply by it for inverted dropout. */
  dropoutMask(shape: Shape, p: number, dtype: DType = "f32"): Tensor {
    if (!(p >= 0 && p < 1)) throw new Error(`dropoutMask: p must be in [0, 1), not ${p}`);
    const threshold = Math.round(p * 2 ** 24);
    return this.bits(shape)
      .shiftRight(8)
      .ge(threshold)
      .where(new Tensor(build.full([], 1 / (1 - p), dtype)), 0);
  }

  /**
   * The numbers 0 … n−1 in random order, i32. Every element is the rank of a random key, so the work grows with n²;
   * above some 10⁵ elements shuffle on the host with `shuffled`.
   */
  permutation(n: number): Tensor {
    if (n === 0) return new Tensor(build.full([0], 0, "i32"));
    const keys = this.bits([n]).contiguous();
    const mine = keys.unsqueeze(1).expand([n, n]);
    const other = keys.unsqueeze(0).expand([n, n]);
    const position = new Tensor(build.iota([n]));
    const earlier = position.unsqueeze(0).lt(position.unsqueeze(1));
    return other.lt(mine).or(other.eq(mine).and(earlier)).cast("i32").sum(1);
  }

  /** 0 … n−1 in random order on the host (Fisher–Yates). Counts as one call. */
  shuffled(n: number): Uint32Array {
    if (tracing()) throw refusedInTrace("Generator.shuffled");
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    const call = this.#calls++;
    for (let i = n - 1; i > 0; i--) {
      const [high] = threefry2x32(this.#key[0], this.#key[1], i, call);
      const j = Math.floor((high / 2 ** 32) * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
}

/** Throws unless real numbers of a floating dtype are asked for. */
function requireDraw(
  name: "uniform" | "normal",
  shape: Shape,
  dtype: DType,
  numbers: Readonly<Record<string, unknown>>,
): void {
  const op = `Generator.${name}`;
  requireSizes(op, shape);
  for (const [argument, value] of Object.entries(numbers)) requireNumber(op, argument, value);
  checkDType(op, dtype);
  if (!isFloat(dtype))
    throw new Error(`${op}: the dtype must be a floating one, not ${dtype}; .integers draws whole numbers`);
}

/** The largest float32 below `x`. */
function below(x: number): number {
  const value = Float32Array.of(x);
  if (value[0] < x) return value[0];
  if (x === 0) return -(2 ** -126);
  new Int32Array(value.buffer)[0] += x > 0 ? -1 : 1;
  return value[0];
}

const shared = new Generator(0);

/**
 * Restarts the shared generator with `value` as its seed, for compiled functions too, but not inside one; see `rng`.
 */
export function seed(value: number): void {
  shared.reseed(value);
}

/** The generator that initialisers and dropout use unless handed another. */
export function rng(): Generator {
  return shared;
}
