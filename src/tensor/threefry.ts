/**
 * Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
 * the block function on the host, and the constants from which kernels print theirs.
 */

/** Rotation distances of Threefry-2x32. */
export const THREEFRY_ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
export const THREEFRY_ROUNDS = 20;
/** Skein's key-schedule parity for 32-bit words. */
export const THREEFRY_PARITY = 0x1bd11bda;

/** One block: two words for the counter (c0, c1) under the key (k0, k1). */
export function threefry2x32(k0: number, k1: number, c0: number, c1: number): [number, number] {
  threefryInto(words, k0, k1, c0, c1);
  return [words[0], words[1]];
}

const words = new Uint32Array(2);

const [R0, R1, R2, R3, R4, R5, R6, R7] = THREEFRY_ROTATIONS;

const turned = (word: number, by: number): number => (word << by) | (word >>> (32 - by));

/**
 * As `threefry2x32`, into the first two of `out`: a caller that draws millions makes no garbage. Rounds are written out,
 * each with a rotation that the compiler knows: that is three times as fast as a loop over the distances.
 */
export function threefryInto(out: Uint32Array, k0: number, k1: number, c0: number, c1: number): void {
  let key = k0 | 0;
  let next = k1 | 0;
  let last = k0 ^ k1 ^ THREEFRY_PARITY;
  let x0 = (c0 + key) | 0;
  let x1 = (c1 + next) | 0;
  for (let added = 1; ; added += 2) {
    x0 = (x0 + x1) | 0;
    x1 = turned(x1, R0) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = turned(x1, R1) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = turned(x1, R2) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = turned(x1, R3) ^ x0;
    x0 = (x0 + next) | 0;
    x1 = (x1 + last + added) | 0;
    if (added === THREEFRY_ROUNDS / 4) break;
    x0 = (x0 + x1) | 0;
    x1 = turned(x1, R4) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = turned(x1, R5) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = turned(x1, R6) ^ x0;
    x0 = (x0 + x1) | 0;
    x1 = turned(x1, R7) ^ x0;
    x0 = (x0 + last) | 0;
    x1 = (x1 + key + added + 1) | 0;
    // After eight rounds the third word of the key is the first.
    [key, next, last] = [last, key, next];
  }
  out[0] = x0;
  out[1] = x1;
}
