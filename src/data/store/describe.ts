/** A clip store in numbers. */
import type { Normalization, NormalizedPer } from "../skeleton/upright.ts";
import { ClipStore } from "./store.ts";

/** What is in a clip store, in numbers. */
export interface StoreDescription {
  readonly path: string;
  readonly clips: number;
  readonly classes: readonly { readonly name: string; readonly clips: number }[];
  readonly layout: string;
  readonly joints: number;
  readonly persons: number;
  readonly normalized: boolean;
  readonly normalization: Normalization;
  readonly normalizedPer: NormalizedPer;
  readonly frames: { readonly least: number; readonly median: number; readonly most: number };
  readonly protocols: readonly {
    readonly name: string;
    readonly rule: string;
    readonly train: number;
    readonly test: number;
  }[];
  /** Joints that were lost and are filled, and the clips that they are in. */
  readonly lost: { readonly joints: number; readonly clips: number };
  readonly notes: unknown;
  /** What is wrong with damaged clips; only where asked for. */
  readonly damaged?: readonly string[];
}

/** @param verify whether to read every clip and compare its checksum. */
/**
 * Describes the store at `path`; with `verify`, every checksum is compared.
 *
 * @throws FormatError where it is no sound store
 */
export function describeStore(path: string, verify = false): StoreDescription {
  const store = ClipStore.open(path);
  try {
    const { header, length } = store;
    const frames = Array.from({ length }, (_, i) => store.frames(i)).sort((a, b) => a - b);
    const lost = Array.from({ length }, (_, i) => store.lostCount(i));
    const counts = new Array<number>(header.classes.length).fill(0);
    for (let i = 0; i < length; i++) if (store.label(i) >= 0) counts[store.label(i)]++;
    return {
      path,
      clips: length,
      classes: header.classes.map((name, i) => ({ name, clips: counts[i] })),
      layout: header.layout.name,
      joints: header.layout.joints.length,
      persons: header.layout.persons,
      normalized: header.normalized,
      normalization: header.normalization,
      normalizedPer: header.normalizedPer,
      frames: { least: frames[0], median: frames[length >> 1], most: frames[length - 1] },
      protocols: header.protocols.map(({ name, rule }) => ({
        name,
        rule,
        train: store.indices(name, "train").length,
        test: store.indices(name, "test").length,
      })),
      lost: {
        joints: lost.reduce((sum, count) => sum + count, 0),
        clips: lost.filter((count) => count > 0).length,
      },
      notes: header.notes,
      damaged: verify ? store.verify().map(({ message }) => message) : undefined,
    };
  } finally {
    store.close();
  }
}
