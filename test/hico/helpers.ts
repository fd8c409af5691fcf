/** A small HiCo and batches for it. */
import type { HiCoBatch, HiCoOptions } from "../../src/hico/index.ts";
import { Generator } from "../../src/tensor/random.ts";
import { tensor } from "../../src/tensor/create.ts";
import { seededRandom } from "../support/draw.ts";

export const SMALL: HiCoOptions = {
  temporalInput: 6,
  spatialInput: 8,
  hidden: 8,
  heads: 2,
  granularity: 3,
  projection: 4,
  queue: 8,
  dropout: 0,
};

/** A small model's options, with first values from a generator of its own. */
export function small(options: HiCoOptions = {}): HiCoOptions {
  return { ...SMALL, generator: new Generator(7), ...options };
}

/** `clips` random clips of 16 temporal and 12 spatial tokens. */
export function batchOf(clips: number, seed = 1): HiCoBatch {
  const random = seededRandom(seed);
  const draw = (...shape: number[]) =>
    tensor(
      Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 2 * random() - 1),
      { shape },
    );
  return {
    queryTemporal: draw(clips, 16, 6),
    querySpatial: draw(clips, 12, 8),
    keyTemporal: draw(clips, 16, 6),
    keySpatial: draw(clips, 12, 8),
  };
}
