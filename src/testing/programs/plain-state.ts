/**
 * What a plain interpreter remembers beside values, and its random numbers.
 *
 * Threefry-2x32 with 20 rounds is written out once more, from the paper (Salmon, Moraes, Dror, Shaw: "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011), with numbers of any size instead of 32-bit operators: element i of call c is
 * word i mod 2 of the block of the counter (⌊i / 2⌋, c), and the seed is the key.
 */
export interface PlainState {
  seed: number;
  calls: number;
  training: boolean;
  live: number;
  saved: readonly Float64Array[] | undefined;
}

export const plainState = (): PlainState => ({ seed: 0, calls: 0, training: true, live: 0.5, saved: undefined });

const WORD = 2n ** 32n;
const ROTATIONS = [13n, 15n, 26n, 6n, 17n, 29n, 16n, 24n];

function block(key: bigint, counter: bigint, call: bigint): readonly [bigint, bigint] {
  const keys = [key, 0n, key ^ 0x1bd11bdan];
  let [x, y] = [(counter + keys[0]) % WORD, (call + keys[1]) % WORD];
  for (let round = 0; round < 20; round++) {
    x = (x + y) % WORD;
    const r = ROTATIONS[round % 8];
    y = (((y << r) % WORD) | (y >> (32n - r))) ^ x;
    if (round % 4 !== 3) continue;
    const s = (round + 1) / 4;
    x = (x + keys[s % 3]) % WORD;
    y = (y + keys[(s + 1) % 3] + BigInt(s)) % WORD;
  }
  return [x, y];
}

/** The next call's words. */
function words(state: PlainState, count: number): bigint[] {
  const call = BigInt(state.calls++);
  return Array.from({ length: count }, (_, i) => block(BigInt(state.seed), BigInt(i >> 1), call)[i % 2]);
}

/** Of [low, high), from the upper 24 bits. */
export function uniformly(state: PlainState, count: number, low: number, high: number): number[] {
  return words(state, count).map((bits) => (Number(bits >> 8n) / 2 ** 24) * (high - low) + low);
}

/** Of [0, 2³⁰): the upper bits. */
export function wholeNumbers(state: PlainState, count: number): number[] {
  return words(state, count).map((bits) => Number(bits >> 2n));
}
