/** The pretraining step that `hico-step.ts` and `hico-alone.ts` take. */
export const BATCH = 64;
export const QUEUE = 2048;
/** Tokens and features of the two views of `batch` clips of two persons. */
export function shapesOf(batch: number) {
  return {
    queryTemporal: [batch, 64, 150],
    querySpatial: [batch, 50, 192],
    keyTemporal: [batch, 64, 150],
    keySpatial: [batch, 50, 192],
  } as const;
}
