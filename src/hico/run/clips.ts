/** Which clips of a store train and test: a protocol of the store, and what is held out to choose settings by. */
import type { Split } from "../../data/store/protocol.ts";
import type { ClipStore } from "../../data/store/store.ts";
import { DataError } from "../../data/errors.ts";
import type { RunSettings } from "./settings.ts";

/** The protocol that settings name, else the store's first; undefined where it has none. */
export function protocolOf(store: ClipStore, { protocol }: Pick<RunSettings, "protocol">): string | undefined {
  return protocol || store.header.protocols[0]?.name;
}

/** Settings that say which clips train and which test. */
export type SplitSettings = Pick<RunSettings, "protocol" | "holdOut" | "holdOutCameras">;

/** The store's clips of a split, ascending. Without any protocol in the store, all of its clips train. */
export function clipsOf(
  store: ClipStore,
  split: Split,
  { protocol, holdOut, holdOutCameras }: SplitSettings,
): number[] {
  const all = (): number[] => Array.from({ length: store.length }, (_, i) => i);
  const name = protocolOf(store, { protocol });
  if (holdOut.length + holdOutCameras.length === 0) {
    if (name !== undefined) return store.indices(name, split);
    return split === "train" ? all() : [];
  }
  const training = name === undefined ? all() : store.indices(name, "train");
  const held = [heldBy(store, training, "subject", holdOut), heldBy(store, training, "camera", holdOutCameras)];
  return training.filter((i) => held.some((isHeld) => isHeld(i)) === (split === "test"));
}

/** Whether a clip is of one of the subjects, or cameras. @throws Error where no training clip is of one of them. */
function heldBy(
  store: ClipStore,
  training: readonly number[],
  fact: "subject" | "camera",
  values: readonly number[],
): (clip: number) => boolean {
  const there = new Set(training.map((i) => store.facts(i)[fact]));
  const stranger = values.find((value) => !there.has(value));
  if (stranger !== undefined) {
    const known = [...there].filter((value) => value !== undefined).sort((a, b) => a - b);
    throw new Error(
      `${store.path}: no training clip of ${fact} ${stranger}; there are ${known.join(", ") || `no ${fact}s`}`,
    );
  }
  const held = new Set<number | undefined>(values);
  return (i) => held.has(store.facts(i)[fact]);
}

/** The clips of a split that have a label. @throws DataError where there are none. */
export function labelledClips(store: ClipStore, split: Split, settings: SplitSettings): number[] {
  const clips = clipsOf(store, split, settings).filter((i) => store.label(i) >= 0);
  if (clips.length > 0) return clips;
  const known = store.header.protocols.map(({ name }) => name).join(", ") || "none";
  throw new DataError(
    store.path,
    "empty",
    `no labelled clip to ${split} with; its protocols are ${known}. Prepare the data with a split, or name a protocol`,
  );
}
