/**
 * Layers, optimizers and losses, with PyTorch's names, shapes and defaults.
 *
 * ```ts
 * import { Linear, Sequential, SGD } from "hico-webgpu/nn";
 * ```
 */
export { Module } from "./module.ts";
export type { TensorModule } from "./module.ts";
export { loadState, readState } from "./state.ts";
export type { LoadOptions, LoadReport, ShapedArray, StateSource, StateValue } from "./state.ts";
