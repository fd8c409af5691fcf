/** The tensor layer: lazy arrays, variables, random numbers. */
export { Tensor } from "./tensor.ts";
export { concat, stack } from "./methods/join.ts";
export type { Axes, NestedArray, Operand, Range } from "./tensor.ts";
export { Variable, variable } from "./variable.ts";
export type { VariableOptions } from "./variable.ts";
export * from "./create.ts";
export { Generator, rng, seed } from "./random.ts";
export { einsum } from "./einsum.ts";
export { compile } from "./program/compile.ts";
export type { Outputs } from "./program/compile.ts";
export { realize } from "./program/realize.ts";
export { setDefaultDevice } from "./backend.ts";
export type { Backend, Storage } from "./backend.ts";
export type { DType, HostArray } from "./dtype.ts";
export type { Shape } from "./shape.ts";
export { ELEMENTWISE } from "./elementwise.ts";
export type { ElementwiseName, ElementwiseOp } from "./elementwise.ts";
export type { FusedOp } from "./fused.ts";
