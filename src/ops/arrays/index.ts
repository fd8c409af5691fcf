/** Ops on arrays of any meaning: running sums, order, parts and places, activations with settings. */
export { cumprod, cumsum } from "./cumulative.ts";
export { argsort, sort } from "./sort.ts";
export type { SortOptions } from "./sort.ts";
export { chunk, linspace, nonzero, norm, roll, scatter, split, tril, triu, unique } from "./parts.ts";
export type { NormOptions } from "./parts.ts";
export { elu, glu, hardSigmoid, hardSwish, leakyRelu, mish, silu } from "./activations.ts";
