/** What one flipped byte of a file does to what is read from it: found, harmless, or come through. */
import { createHash } from "node:crypto";
import { ClipStore } from "../src/data/store/store.ts";
import { readRun } from "../src/hico/run/state.ts";
import { bytesOf } from "../src/io/host-tensor.ts";

export interface Flips {
  /** Reading threw. */
  readonly found: number;
  /** What was read is what was written. */
  readonly harmless: number;
  /** Places whose change was read as if it were right. */
  readonly changed: readonly number[];
}

/** @param contents everything that a reader takes from a file, as text; throws where it refuses */
export function flips(whole: Uint8Array, contents: (bytes: Uint8Array) => string, draws: number, seed: number): Flips {
  const expected = contents(whole);
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let [found, harmless] = [0, 0];
  const changed: number[] = [];
  for (let draw = 0; draw < draws; draw++) {
    const bytes = whole.slice();
    // Half of the draws fall into the first and last few thousand bytes, where headers and indexes lie.
    const edge = Math.min(4096, bytes.length);
    const at = [random(bytes.length), random(bytes.length), random(edge), bytes.length - 1 - random(edge)][draw % 4];
    bytes[at] ^= 1 + random(255);
    let read: string | undefined;
    try {
      read = contents(bytes);
    } catch {
      found++;
      continue;
    }
    if (read === expected) harmless++;
    else changed.push(at);
  }
  return { found, harmless, changed };
}

const digest = (data: ArrayBufferView): string => createHash("sha256").update(bytesOf(data)).digest("hex");

/** All that a clip store gives: header, what is known of every clip, its coordinates, which joints were lost. */
export function storeContents(bytes: Uint8Array): string {
  const store = ClipStore.open(bytes, "store");
  const clips = Array.from({ length: store.length }, (_, i) => {
    const { data, ...shape } = store.read(i);
    const lost = store.lost(i);
    return [store.facts(i), shape, digest(data), lost && digest(lost)];
  });
  const splits = store.header.protocols.flatMap(({ name }) => [
    store.indices(name, "train"),
    store.indices(name, "test"),
  ]);
  return JSON.stringify([store.header, clips, splits]);
}

/** All that a checkpoint gives: tensors, and metadata but for the name under which the checksum stands. */
export function checkpointContents(bytes: Uint8Array): string {
  const { tensors, metadata } = readRun(bytes, "checkpoint");
  const meta = ["format", "progress", "settings"].map((name) => metadata.get(name));
  return JSON.stringify([
    meta,
    [...tensors].map(([name, { dtype, shape, data }]) => [name, dtype, shape, digest(data)]),
  ]);
}
