/** Ops on sequences: attention between any query and key, rotary positions, drawing of tokens. */
export { causalMask, rotaryEmbedding, scaledDotProductAttention } from "./masked-attention.ts";
export type { RotaryOptions, ScaledAttentionOptions } from "./masked-attention.ts";
export { filterLogits, sampleTokens } from "./sampling.ts";
export type { SamplingOptions } from "./sampling.ts";
