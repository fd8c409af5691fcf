/**
 * Writes a clip store in one pass, clip by clip, whole or not at all.
 *
 * The store appears under its name at `commit`; until then, and after an `abort` or a killed process, what was there
 * before is untouched. A clip that cannot be stored is refused before any byte of it is written, so a caller may skip
 * it and go on.
 */
import { AtomicFile } from "../../io/byte-sink.ts";
import { crc32 } from "../../io/crc32.ts";
import { bytesOf } from "../../io/host-tensor.ts";
import type { Clip } from "../skeleton/clip.ts";
import { checkClip, presentFrames, withPersons } from "../skeleton/clip.ts";
import { fillFromBody, fillInTime, lostJoints } from "../skeleton/missing.ts";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import type { Normalization, NormalizedPer } from "../skeleton/upright.ts";
import type { Protocol } from "./protocol.ts";
import type { ClipFacts, IndexRow } from "./format.ts";
import {
  encodeFooter,
  encodeRow,
  FOOTER_BYTES,
  FOOTER_UNCHECKED,
  lostBytes,
  MAGIC,
  MAX_PROTOCOLS,
  ROW_BYTES,
  sealFooter,
  STORE_VERSION,
} from "./format.ts";

/** What all clips of a new store have in common. */
export interface StoreOptions {
  readonly layout: SkeletonLayout;
  /** Class names; labels are indices into them. */
  readonly classes: readonly string[];
  /** Every clip must have a place in each of these. Default none. */
  readonly protocols?: readonly Protocol[];
  /** Whether the clips are pre-normalised. */
  readonly normalized: boolean;
  /** How. Default: the published form for NTU RGB+D where they are. */
  readonly normalization?: Normalization;
  /** One place and heading a clip or a frame. Default clip. */
  readonly normalizedPer?: NormalizedPer;
  /** Anything else worth keeping, as JSON: source, options, counts of bad clips. Read back as it is. */
  readonly notes?: unknown;
}

/** Writes a clip store, clip by clip; the file appears at `close`, whole or not at all. */
export class ClipStoreWriter {
  readonly path: string;
  readonly #options: StoreOptions;
  readonly #file: AtomicFile;
  readonly #rows: IndexRow[] = [];
  readonly #names: Uint8Array[] = [];
  readonly #taken = new Set<string>();
  #namesBytes = 0;
  readonly #facts: ClipFacts[] = [];

  /**
   * @param path the file to write.
   * @throws Error where the folder cannot be written to or there are more than 16 protocols.
   */
  constructor(path: string, options: StoreOptions) {
    if ((options.protocols?.length ?? 0) > MAX_PROTOCOLS) {
      throw new Error(`a clip store holds at most ${MAX_PROTOCOLS} protocols, got ${options.protocols?.length}`);
    }
    this.path = path;
    this.#options = options;
    this.#file = new AtomicFile(path);
    this.#file.write(new TextEncoder().encode(MAGIC));
  }

  /** What is known of the clips so far. */
  get clips(): readonly ClipFacts[] {
    return this.#facts;
  }

  /** Clips so far. */
  get length(): number {
    return this.#rows.length;
  }

  /**
   * Adds a clip. `marks` says, per frame, person and joint, with 1 which were lost and are filled; joints that are lost
   * still (NaN) are filled here and marked. @throws DataError naming it: `shape` (joints or persons not the layout's), `empty`, `not-finite`,
   * `label` (no such class, a name used twice, a protocol without a place for it).
   */
  add(facts: ClipFacts, given: Clip, marks?: Uint8Array): void {
    const { layout, classes, protocols = [] } = this.#options;
    const fail = (reason: "shape" | "label", detail: string): never => {
      throw new DataError(facts.name, reason, detail);
    };
    const { clip, lost } = filled(given, marks, layout);
    if (clip.joints !== layout.joints.length || clip.persons > layout.persons) {
      fail(
        "shape",
        `${clip.persons} persons of ${clip.joints} joints; layout "${layout.name}" has room for ${layout.persons} ` +
          `of ${layout.joints.length}`,
      );
    }
    if (!Number.isInteger(facts.label) || facts.label < -1 || facts.label >= classes.length) {
      fail("label", `label ${facts.label} is outside 0..${classes.length - 1} (-1: none)`);
    }
    if (facts.name === "" || this.#taken.has(facts.name)) fail("label", "a clip's name must be given, and only once");
    checkClip(clip, facts.name);
    const splits = protocols.map((protocol) => protocol.split(facts));

    const kept = withPersons(clip, lastPresent(clip) + 1);
    const bits = lost && lostBits(lost, clip, kept.persons);
    const bytes = bits ? joined(bytesOf(kept.data), bits) : bytesOf(kept.data);
    const name = new TextEncoder().encode(facts.name);
    this.#taken.add(facts.name);
    this.#names.push(name);
    this.#facts.push(facts);
    this.#namesBytes += name.length;
    this.#rows.push({
      offset: this.#file.position,
      frames: kept.frames,
      persons: kept.persons,
      label: facts.label,
      subject: facts.subject,
      camera: facts.camera,
      setup: facts.setup,
      splits,
      nameEnd: this.#namesBytes,
      checksum: crc32(bytes),
      lost: bits ? bits.reduce((sum, byte) => sum + onesOf(byte), 0) : 0,
    });
    this.#file.write(bytes);
  }

  /** Writes the index and puts the store in place. `notes` replaces those given at first; `more` are protocols that could
   * only be made once all clips were known. @throws Error when empty. */
  commit(notes: unknown = this.#options.notes, more: readonly Protocol[] = []): void {
    if (this.#rows.length === 0) {
      this.abort();
      throw new DataError(this.path, "empty", "not one usable clip: no store is written");
    }
    const { layout, classes, normalized, normalization, normalizedPer } = this.#options;
    const protocols = [...(this.#options.protocols ?? []), ...more];
    if (protocols.length > MAX_PROTOCOLS)
      throw new Error(`a clip store holds at most ${MAX_PROTOCOLS} protocols, got ${protocols.length}`);
    const header = new TextEncoder().encode(
      JSON.stringify({
        layout,
        classes,
        protocols: protocols.map(({ name, rule }) => ({ name, rule })),
        normalized,
        normalization,
        normalizedPer,
        notes,
      }),
    );
    const indexBytes = this.#rows.length * ROW_BYTES;
    const tail = new Uint8Array(indexBytes + this.#namesBytes + header.length + FOOTER_BYTES);
    const view = new DataView(tail.buffer);
    this.#rows.forEach((row, i) => {
      const splits = [...row.splits, ...more.map((protocol) => protocol.split(this.#facts[i]))];
      encodeRow({ ...row, splits }, view, i * ROW_BYTES);
    });
    let at = indexBytes;
    for (const name of this.#names) {
      tail.set(name, at);
      at += name.length;
    }
    tail.set(header, at);
    const footer = encodeFooter({
      indexOffset: this.#file.position,
      namesBytes: this.#namesBytes,
      headerBytes: header.length,
      count: this.#rows.length,
      version: this.#rows.some(({ lost }) => lost > 0) ? STORE_VERSION : 1,
    });
    tail.set(footer, at + header.length);
    sealFooter(tail.subarray(tail.length - FOOTER_BYTES), crc32(tail.subarray(0, tail.length - FOOTER_UNCHECKED)));
    this.#file.write(tail);
    this.#file.commit();
  }

  /** Leaves no trace. Does nothing after `commit`. */
  abort(): void {
    this.#file.abort();
  }
}

/** The last person who is present in any frame. */
function lastPresent(clip: Clip): number {
  for (let m = clip.persons - 1; m > 0; m--) if (presentFrames(clip, m).length > 0) return m;
  return 0;
}

/** The clip without lost joints, and which there were; `given` is untouched. */
function filled(given: Clip, marks: Uint8Array | undefined, layout: SkeletonLayout): { clip: Clip; lost?: Uint8Array } {
  const own = lostJoints(given);
  if (!own) return { clip: given, lost: marks };
  const clip = { ...given, data: given.data.slice() };
  if (layout.parents.length === clip.joints) {
    fillInTime(clip, layout.parents);
    fillFromBody(clip, layout.parents);
  }
  marks?.forEach((flag, i) => (own[i] |= flag));
  return { clip, lost: own };
}

/** The flags of the first `persons` as bits; undefined where none is set. */
function lostBits(lost: Uint8Array, { frames, persons: all, joints }: Clip, persons: number): Uint8Array | undefined {
  const bits = new Uint8Array(lostBytes(frames * persons * joints));
  let any = false;
  for (let t = 0; t < frames; t++)
    for (let i = 0; i < persons * joints; i++) {
      if (!lost[t * all * joints + i]) continue;
      const to = t * persons * joints + i;
      bits[to >> 3] |= 1 << (to & 7);
      any = true;
    }
  return any ? bits : undefined;
}

function onesOf(byte: number): number {
  let ones = 0;
  for (let rest = byte; rest > 0; rest >>= 1) ones += rest & 1;
  return ones;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
