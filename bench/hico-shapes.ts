/** The pretraining step that `hico-step.ts` and `hico-memory.ts` take. */
export const BATCH = 64;
export const QUEUE = 2048;
/** Tokens and features of the two views of a clip of two persons. */
export const SHAPES = {
  queryTemporal: [BATCH, 64, 150], querySpatial: [BATCH, 50, 192],
  keyTemporal: [BATCH, 64, 150], keySpatial: [BATCH, 50, 192],
} as const;
