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
  /** Those of one class, and the protocols that part them. */
  readonly #alike: { readonly facts: ClipFacts; readonly first: ClipFacts; readonly parted: readonly string[] }[] = [];

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
    const parted = parting(this.#protocols, facts, first);
    if (first.label !== facts.label)
      this.#ofTwoClasses.push(`${facts.name} (${this.#classOf(facts)}) is ${first.name} (${this.#classOf(first)})`);
    else this.#alike.push({ facts, first, parted });
  }

  #classOf({ label }: ClipFacts): string {
    return this.#classes[label] ?? "no class";
  }

  /** @param folds protocols that could only be made once all clips were known */
  remarks(folds: readonly Protocol[] = []): Remark[] {
    const onBothSides: string[] = [];
    const others: string[] = [];
    for (const { facts, first, parted } of this.#alike) {
      const by = [...parted, ...parting(folds, facts, first)];
      const pair = `${facts.name} is ${first.name}`;
      if (by.length > 0) onBothSides.push(`${pair} (${by.join(", ")})`);
      else others.push(pair);
    }
    const are = this.#skips ? "clips are left out, the same recording as" : "clips are the same recording as";
    return [
      { what: `${are} one of another class, so that one of the two labels is wrong`, names: this.#ofTwoClasses },
      {
        what: `${are} one on the other side of a protocol, which trains on it and tests with it`,
        names: onBothSides,
        harmless: this.#skips,
      },
      { what: `${are} another`, names: others, harmless: true },
    ].filter(({ names }) => names.length > 0);
  }
}

/** The protocols under which one of two clips trains and the other tests. */
function parting(protocols: readonly Protocol[], one: ClipFacts, other: ClipFacts): string[] {
  return protocols.filter(({ split }) => split(one) !== split(other)).map(({ name }) => name);
}
