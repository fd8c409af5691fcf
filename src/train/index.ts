/** Training: the loop around a compiled step. */
export { trainLoop } from "./loop.ts";
export type { TrainLoopOptions } from "./loop.ts";
