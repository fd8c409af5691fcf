/**
 * A counter-based random generator: the n-th number of a stream is a function of (key, n) alone.
 *
 * Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Because a
 * stream is named by its key, the draws of a clip depend on (seed, epoch, clip, view) and not on which worker thread
 * prepares it or in which order, and resuming needs no saved generator state.
 */

import { threefry2x32, threefryInto } from "../tensor/threefry.ts";

/** The two words drawn last, of whichever stream. */
const drawn = new Uint32Array(2);

/** A stream of random numbers under one key. */
export class CounterRandom {
  readonly key: readonly [number, number];
  #counter = 0;

  constructor(key: readonly [number, number]) {
    this.key = key;
  }

  /** The stream of a user's seed: any safe non-negative integer. */
  static fromSeed(seed: number): CounterRandom {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`seed ${seed} is not an integer from 0 to 2^53-1`);
    }
    return new CounterRandom([Math.floor(seed / 2 ** 32), seed >>> 0]);
  }

  /** A separate stream for each tuple of indices; does not advance this one. */
  fold(...indices: readonly number[]): CounterRandom {
    let key = this.key;
    for (const index of indices) {
      if (!Number.isSafeInteger(index) || index < 0) {
        throw new RangeError(`stream index ${index} is not an integer from 0 to 2^53-1`);
      }
      // Words of the index run from the top of the counter space, numbers of a stream from the bottom: no overlap.
      key = threefry2x32(key[0], key[1], ~Math.floor(index / 2 ** 32), index >>> 0);
    }
    return new CounterRandom(key);
  }

  /** Puts the next two words into `drawn`. */
  #next(): void {
    const n = this.#counter++;
    threefryInto(drawn, this.key[0], this.key[1], Math.floor(n / 2 ** 32), n >>> 0);
  }

  /** Uniform in [0, 1), 53 random bits. */
  uniform(): number {
    this.#next();
    return ((drawn[0] >>> 5) * 2 ** 26 + (drawn[1] >>> 6)) * 2 ** -53;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** Uniform integer in [0, count). */
  integer(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  /** Standard normal (Box-Muller, one of the pair, on 32-bit words: no further out than 6.8). */
  normal(): number {
    this.#next();
    return Math.sqrt(-2 * Math.log((drawn[0] + 0.5) * 2 ** -32)) * Math.cos(2 * Math.PI * drawn[1] * 2 ** -32);
  }

  /** `count` distinct integers of `[0, from)`, in random order (partial Fisher-Yates). */
  distinct(count: number, from: number): number[] {
    if (count > from) throw new RangeError(`cannot draw ${count} distinct numbers from ${from}`);
    const pool = Array.from({ length: from }, (_, i) => i);
    for (let i = 0; i < count; i++) {
      const j = i + this.integer(from - i);
      [pool[i], pool[j]] = [pool[j], pool[i]];
    }
    return pool.slice(0, count);
  }
}
