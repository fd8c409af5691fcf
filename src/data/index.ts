/**
 * Skeleton data: formats, layouts, protocols, pre-normalisation, streams, augmentation, views.
 */
export * from "./batches/augment.ts";
export * from "./skeleton/bodies.ts";
export * from "./synthetic/body-model.ts";
export * from "./skeleton/clip.ts";
export * from "./store/describe.ts";
export * from "./batches/draws.ts";
export * from "./errors.ts";
export * from "./synthetic/generator.ts";
export * from "./batches/inputs.ts";
export * from "./skeleton/layout.ts";
export * from "./skeleton/layout-map.ts";
export * from "./batches/loader.ts";
export * from "./skeleton/normalize.ts";
export * from "./formats/ntu-names.ts";
export * from "./formats/ntu-skeleton.ts";
export * from "./formats/pku-mmd.ts";
export * from "./sources/prepare.ts";
export * from "./store/protocol.ts";
export * from "./rng.ts";
export * from "./formats/skeleton-csv.ts";
export * from "./formats/skeleton-npy.ts";
export * from "./sources/source.ts";
export * from "./sources/csv.ts";
export * from "./sources/generated.ts";
export * from "./sources/kinds.ts";
export * from "./sources/npy.ts";
export * from "./sources/ntu.ts";
export * from "./sources/pku.ts";
export * from "./store/store.ts";
export type { ClipFacts } from "./store/format.ts";
export * from "./store/writer.ts";
export * from "./skeleton/streams.ts";
export * from "./synthetic/actions.ts";
export * from "./formats/text.ts";
export * from "./batches/views.ts";
export * from "./sources/windows.ts";
