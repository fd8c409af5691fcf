/** Which clips of a store train and test: a protocol of the store, and subjects held out to choose settings by. */
import type { Split } from "../data/protocol.ts";
import type { ClipStore } from "../data/store.ts";
import { DataError } from "../data/errors.ts";
import type { RunSettings } from "./settings.ts";

/** The protocol that settings name, else the store's first; undefined where it has none. */
export function protocolOf(store: ClipStore, { protocol }: Pick<RunSettings, "protocol">): string | undefined {
  return protocol || store.header.protocols[0]?.name;
}

/** The store's clips of a split, ascending. Without any protocol in the store, all of its clips train. */
export function clipsOf(
  store: ClipStore,
  split: Split,
  { protocol, holdOut }: Pick<RunSettings, "protocol" | "holdOut">,
): number[] {
  const all = (): number[] => Array.from({ length: store.length }, (_, i) => i);
  const name = protocolOf(store, { protocol });
  if (holdOut.length === 0) {
    if (name !== undefined) return store.indices(name, split);
    return split === "train" ? all() : [];
  }
  const training = name === undefined ? all() : store.indices(name, "train");
  const subjects = new Set(training.map((i) => store.facts(i).subject));
  const stranger = holdOut.find((subject) => !subjects.has(subject));
  if (stranger !== undefined) {
    const known = [...subjects].filter((subject) => subject !== undefined).sort((a, b) => a - b);
    throw new Error(
      `${store.path}: no training clip of subject ${stranger}; there are ${known.join(", ") || "no subjects"}`,
    );
  }
  const held = new Set<number | undefined>(holdOut);
  return training.filter((i) => held.has(store.facts(i).subject) === (split === "test"));
}

/** The clips of a split that have a label. @throws DataError where there are none. */
export function labelledClips(
  store: ClipStore,
  split: Split,
  settings: Pick<RunSettings, "protocol" | "holdOut">,
): number[] {
  const clips = clipsOf(store, split, settings).filter((i) => store.label(i) >= 0);
  if (clips.length > 0) return clips;
  const known = store.header.protocols.map(({ name }) => name).join(", ") || "none";
  throw new DataError(
    store.path,
    "empty",
    `no labelled clip to ${split} with; its protocols are ${known}. Prepare the data with a split, or name a protocol`,
  );
}
