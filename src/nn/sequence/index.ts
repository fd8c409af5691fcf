/** Layers for sequences that are decoded step by step. */
export { KeyValueCache, LayerCache } from "./cache.ts";
export type { CacheSizes } from "./cache.ts";
export { TransformerDecoderLayer } from "./decoder.ts";
export type { DecoderInputs } from "./decoder.ts";
