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
  const keys = [k0 | 0, k1 | 0, (k0 ^ k1 ^ THREEFRY_PARITY) | 0];
  let x0 = (c0 + keys[0]) | 0;
  let x1 = (c1 + keys[1]) | 0;
  for (let round = 0; round < THREEFRY_ROUNDS; round++) {
    const r = THREEFRY_ROTATIONS[round % 8];
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      x0 = (x0 + keys[s % 3]) | 0;
      x1 = (x1 + keys[(s + 1) % 3] + s) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}
