/** Training: the loop around a compiled step. */
export { trainLoop } from "./loop.ts";
export type { StepValues, TrainLoopOptions } from "./loop.ts";
