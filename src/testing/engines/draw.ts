/** Numbers of a seed, the same in every version and on every machine. */
import { threefry2x32 } from "../../tensor/threefry.ts";

export class Numbers {
  #call = 0;
  readonly #seed: number;
  readonly #stream: number;

  /** @param stream numbers of one seed that do not depend on how many were drawn from another. */
  constructor(seed: number, stream: number) {
    this.#seed = seed;
    this.#stream = stream;
  }

  /** In [0, 1). */
  unit(): number {
    return threefry2x32(this.#seed, this.#stream, this.#call++, 0)[0] / 2 ** 32;
  }

  /** Whole, both ends included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)];
  }

  /** Float32 numbers of an interval. */
  floats(size: number, [low, high]: readonly [number, number]): number[] {
    return Array.from({ length: size }, () => Math.fround(low + this.unit() * (high - low)));
  }

  /** Cotangents in ±[0.5, 1.5): none is lost, and no two cancel. */
  weights(size: number): number[] {
    return Array.from({ length: size }, () => Math.fround((0.5 + this.unit()) * (this.unit() < 0.5 ? -1 : 1)));
  }
}
