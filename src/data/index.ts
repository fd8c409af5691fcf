/**
 * Skeleton data: formats, layouts, protocols, pre-normalisation, streams, augmentation, views.
 */
export * from "./augment.ts";
export * from "./bodies.ts";
export * from "./body-model.ts";
export * from "./clip.ts";
export * from "./describe-store.ts";
export * from "./draws.ts";
export * from "./errors.ts";
export * from "./generator.ts";
export * from "./inputs.ts";
export * from "./layout.ts";
export * from "./layout-map.ts";
export * from "./loader.ts";
export * from "./normalize.ts";
export * from "./ntu-names.ts";
export * from "./ntu-skeleton.ts";
export * from "./pku-mmd.ts";
export * from "./prepare.ts";
export * from "./protocol.ts";
export * from "./rng.ts";
export * from "./skeleton-csv.ts";
export * from "./skeleton-npy.ts";
export * from "./source.ts";
export * from "./source-csv.ts";
export * from "./source-generated.ts";
export * from "./source-kinds.ts";
export * from "./source-npy.ts";
export * from "./source-ntu.ts";
export * from "./source-pku.ts";
export * from "./store.ts";
export type { ClipFacts } from "./store-format.ts";
export * from "./store-writer.ts";
export * from "./streams.ts";
export * from "./synthetic-actions.ts";
export * from "./text.ts";
export * from "./views.ts";
export * from "./windows.ts";
