/**
 * Clips that are the same recording, to the last bit of what is stored: files copied into two folders, or listed twice
 * under other names. Of two classes, one of the labels is wrong; where one trains and the other tests, what is tested was
 * seen before.
 */
import { createHash } from "node:crypto";
import type { Clip } from "../skeleton/clip.ts";
import type { ClipFacts } from "../store/format.ts";
import type { Protocol } from "../store/protocol.ts";
import type { Remark } from "./source.ts";

export class SameRecordings {
  readonly #protocols: readonly Protocol[];
  readonly #classes: readonly string[];
  readonly #skips: boolean;
  /** The first clip of each recording, by a hash of its numbers. */
  readonly #first = new Map<string, ClipFacts>();
  readonly #ofTwoClasses: string[] = [];
  readonly #onBothSides: string[] = [];
  readonly #others: string[] = [];

  /** @param skips whether a clip that is the same recording as one before it is left out */
  constructor(protocols: readonly Protocol[], classes: readonly string[], skips: boolean) {
    this.#protocols = protocols;
    this.#classes = classes;
    this.#skips = skips;
  }

  /** Stores a clip by `store`, unless it is to be left out. One that cannot be stored is none that others are the same as. */
  add(facts: ClipFacts, { data, frames }: Clip, store: () => void): void {
    const frame = data.length / frames;
    // Bodies that never move are alike without being the same recording.
    if (!data.some((x, i) => x !== data[i % frame])) return store();
    const hash = createHash("sha1").update(data).digest("base64");
    const first = this.#first.get(hash);
    if (!first || !this.#skips) store();
    if (!first) {
      this.#first.set(hash, facts);
      return;
    }
    const parted = this.#protocols.filter(({ split }) => split(first) !== split(facts)).map(({ name }) => name);
    if (first.label !== facts.label)
      this.#ofTwoClasses.push(`${facts.name} (${this.#classOf(facts)}) is ${first.name} (${this.#classOf(first)})`);
    else if (parted.length > 0) this.#onBothSides.push(`${facts.name} is ${first.name} (${parted.join(", ")})`);
    else this.#others.push(`${facts.name} is ${first.name}`);
  }

  #classOf({ label }: ClipFacts): string {
    return this.#classes[label] ?? "no class";
  }

  remarks(): Remark[] {
    const are = this.#skips ? "clips are left out, the same recording as" : "clips are the same recording as";
    return [
      { what: `${are} one of another class, so that one of the two labels is wrong`, names: this.#ofTwoClasses },
      {
        what: `${are} one on the other side of a protocol, which trains on it and tests with it`,
        names: this.#onBothSides,
        harmless: this.#skips,
      },
      { what: `${are} another`, names: this.#others, harmless: true },
    ].filter(({ names }) => names.length > 0);
  }
}
