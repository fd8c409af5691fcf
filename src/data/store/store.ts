/**
 * Reads a clip store clip by clip, checking everything it reads.
 *
 * Opening reads the index; a clip is one positioned read of its record. Any number of threads may open the same file.
 * The form of the file is described in `store-format.ts`.
 */
import type { ByteSource, BytesOrPath } from "../../io/byte-source.ts";
import { openSource } from "../../io/byte-source.ts";
import { crc32 } from "../../io/crc32.ts";
import { viewElements } from "../../io/host-tensor.ts";
import type { Clip } from "../skeleton/clip.ts";
import { withPersons } from "../skeleton/clip.ts";
import { DataError } from "../errors.ts";
import type { SkeletonLayout } from "../skeleton/layout.ts";
import { parseLayout } from "../skeleton/layout.ts";
import type { Normalization, NormalizedPer } from "../skeleton/upright.ts";
import { NORMALIZATIONS, NORMALIZED_PER } from "../skeleton/upright.ts";
import type { Split } from "./protocol.ts";
import type { ClipFacts, IndexRow } from "./format.ts";
import {
  decodeFooter,
  decodeRow,
  FOOTER_BYTES,
  FOOTER_UNCHECKED,
  lostBytes,
  MAGIC,
  MAX_PROTOCOLS,
  ROW_BYTES,
  STORE_VERSION,
} from "./format.ts";

/** The store's header: what holds for all of its clips. */
export interface StoreHeader {
  readonly layout: SkeletonLayout;
  readonly classes: readonly string[];
  readonly protocols: readonly { readonly name: string; readonly rule: string }[];
  readonly normalized: boolean;
  /** How; a header without it is of a store in the published form for NTU RGB+D, or in none. */
  readonly normalization: Normalization;
  readonly normalizedPer: NormalizedPer;
  readonly notes?: unknown;
}

/** A file of clips with a checksum each, read at random: what training and evaluation work on. */
export class ClipStore {
  readonly path: string;
  readonly header: StoreHeader;
  readonly length: number;
  /** CRC-32 of the index, which holds the checksum of every clip: equal for stores of equal contents. */
  readonly checksum: number;
  readonly #source: ByteSource;
  readonly #rows: readonly IndexRow[];
  readonly #names: readonly string[];

  private constructor(source: ByteSource) {
    this.#source = source;
    this.path = source.name;
    const { header, rows, names, checksum } = readTail(source);
    this.checksum = checksum;
    this.header = header;
    this.#rows = rows;
    this.#names = names;
    this.length = rows.length;
  }

  /** Opens a store by path, or from bytes called `name`. @throws DataError `unreadable`, `empty` or `format`. */
  static open(input: BytesOrPath, name?: string): ClipStore {
    let source: ByteSource;
    try {
      source = openSource(input, name);
    } catch (cause) {
      throw new DataError(String(input), "unreadable", (cause as Error).message, { cause });
    }
    try {
      return new ClipStore(source);
    } catch (error) {
      source.close();
      throw error;
    }
  }

  /** What is known of clip `i`. */
  facts(i: number): ClipFacts {
    const { label, subject, camera, setup } = this.#row(i);
    return { name: this.#names[i], label, subject, camera, setup };
  }

  /** The class of clip `i`; −1 where it has none. */
  label(i: number): number {
    return this.#row(i).label;
  }

  /** Frames of clip `i`, without reading it. */
  frames(i: number): number {
    return this.#row(i).frames;
  }

  /** Clip `i`, with as many persons as the layout has room for. @throws DataError `format` where bytes have changed, `not-finite`. */
  read(i: number): Clip {
    const { frames, persons } = this.#row(i);
    const joints = this.header.layout.joints.length;
    const data = viewElements(this.#record(i), "f32", frames * persons * joints * 3) as Float32Array;
    // A store's joints are all there, lost ones filled: a writer of another kind may have left a hole.
    const hole = firstNotFinite(data);
    if (hole >= 0) {
      const joint = Math.floor(hole / 3);
      const where = `frame ${Math.floor(joint / (joints * persons))}, person ${Math.floor(joint / joints) % persons}, joint ${joint % joints}`;
      throw new DataError(
        this.path,
        "not-finite",
        `clip ${i} (${this.#names[i]}): ${"xyz"[hole % 3]} is ${data[hole]} in ${where}`,
      );
    }
    return withPersons({ data, frames, persons, joints }, this.header.layout.persons);
  }

  /** How many joints of clip `i` were lost and are filled, without reading it. */
  lostCount(i: number): number {
    return this.#row(i).lost;
  }

  /**
   * Which joints of clip `i` were lost and are filled: 1 for those, per frame, person and joint; undefined where none
   * was. @throws DataError `format` where bytes have changed.
   */
  lost(i: number): Uint8Array | undefined {
    const { frames, persons, lost } = this.#row(i);
    if (lost === 0) return undefined;
    const { layout } = this.header;
    const own = persons * layout.joints.length;
    const bits = this.#record(i).subarray(frames * own * 12);
    const flags = new Uint8Array(frames * layout.persons * layout.joints.length);
    for (let t = 0; t < frames; t++)
      for (let j = 0; j < own; j++) {
        const at = t * own + j;
        flags[t * layout.persons * layout.joints.length + j] = (bits[at >> 3] >> (at & 7)) & 1;
      }
    return flags;
  }

  /** The bytes of clip `i`, checked. */
  #record(i: number): Uint8Array {
    const { offset, checksum } = this.#row(i);
    const bytes = this.#source.read(offset, recordBytes(this.#row(i), this.header.layout), `clip ${this.#names[i]}`);
    if (crc32(bytes) === checksum) return bytes;
    throw new DataError(this.path, "format", `clip ${i} (${this.#names[i]}) is damaged: its checksum does not match`);
  }

  /** The clips that train or test under a protocol of this store, ascending. */
  indices(protocol: string, split: Split): number[] {
    const at = this.header.protocols.findIndex((known) => known.name === protocol);
    if (at < 0) {
      const known = this.header.protocols.map((p) => p.name).join(", ") || "none";
      throw new Error(`${this.path}: no protocol "${protocol}"; this store has ${known}`);
    }
    const found: number[] = [];
    this.#rows.forEach((row, i) => {
      if (row.splits[at] === split) found.push(i);
    });
    return found;
  }

  /** Reads every clip; gives the damaged ones. */
  verify(): DataError[] {
    const damaged: DataError[] = [];
    for (let i = 0; i < this.length; i++) {
      try {
        this.read(i);
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        damaged.push(error);
      }
    }
    return damaged;
  }

  /** Closes the file. */
  close(): void {
    this.#source.close();
  }

  #row(i: number): IndexRow {
    const row = this.#rows[i];
    if (!row) throw new RangeError(`${this.path}: no clip ${i}; there are ${this.length}`);
    return row;
  }
}

/** Index, names and header, checked against the checksum and against each other. */
function readTail(source: ByteSource): { header: StoreHeader; rows: IndexRow[]; names: string[]; checksum: number } {
  const fail = (detail: string): never => {
    throw new DataError(source.name, "format", detail);
  };
  const smallest = MAGIC.length + FOOTER_BYTES;
  if (source.size === 0) throw new DataError(source.name, "empty", "the file holds nothing");
  if (source.size < smallest) fail(`not a clip store: ${source.size} bytes`);
  const magic = String.fromCharCode(...source.read(0, MAGIC.length, "the magic"));
  if (magic !== MAGIC) fail(`not a clip store: it does not start with ${MAGIC}`);
  const footer = decodeFooter(source.read(source.size - FOOTER_BYTES, FOOTER_BYTES, "the footer"));
  if (footer.magic !== MAGIC) fail("cut off: a clip store ends with its magic");
  const { indexOffset, namesBytes, headerBytes, count, version } = footer;
  if (version < 1 || version > STORE_VERSION)
    fail(`a clip store of version ${version}; this reads versions 1 to ${STORE_VERSION}`);
  const indexBytes = count * ROW_BYTES;
  const end = indexOffset + indexBytes + namesBytes + headerBytes + FOOTER_BYTES;
  if (indexOffset < MAGIC.length || end !== source.size) {
    fail("the footer does not match the file's size: it is cut off or damaged");
  }
  const tail = source.read(indexOffset, source.size - indexOffset, "the index");
  if (crc32(tail.subarray(0, tail.length - FOOTER_UNCHECKED)) !== footer.checksum) {
    fail("the index is damaged: its checksum does not match");
  }

  const text = new TextDecoder("utf-8", { fatal: true });
  const headerText = text.decode(tail.subarray(indexBytes + namesBytes, tail.length - FOOTER_BYTES));
  const header = parseHeader(headerText, source.name);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  const rows = Array.from({ length: count }, (_, i) => decodeRow(view, i * ROW_BYTES, header.protocols.length));
  const names: string[] = [];
  let nameStart = 0;
  let at = MAGIC.length;
  for (const row of rows) {
    const fits = row.persons <= header.layout.persons && row.nameEnd >= nameStart && row.nameEnd <= namesBytes;
    if (row.offset !== at || !fits) fail(`row ${names.length} of the index contradicts the rest`);
    const name = text.decode(tail.subarray(indexBytes + nameStart, indexBytes + row.nameEnd));
    if (row.label < -1 || row.label >= header.classes.length) {
      fail(
        `clip ${names.length} has the label ${row.label}; labels are 0 to ${header.classes.length - 1}, or -1 for none (it is called ${name})`,
      );
    }
    names.push(name);
    nameStart = row.nameEnd;
    at += recordBytes(row, header.layout);
  }
  if (at !== indexOffset) fail("the records do not end where the index starts");
  return { header, rows, names, checksum: footer.checksum };
}

function recordBytes({ frames, persons, lost }: IndexRow, layout: SkeletonLayout): number {
  const joints = frames * persons * layout.joints.length;
  return joints * 12 + (lost > 0 ? lostBytes(joints) : 0);
}

function parseHeader(text: string, file: string): StoreHeader {
  const fail = (detail: string): never => {
    throw new DataError(file, "format", detail);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return fail(`its header is not JSON: ${(error as Error).message}`);
  }
  const { layout, classes, protocols, normalized, notes } = (value ?? {}) as Record<string, unknown>;
  if (!Array.isArray(classes) || !classes.every((name) => typeof name === "string")) {
    return fail(`"classes" in its header is not a list of names`);
  }
  const isProtocol = (p: Record<string, unknown> | null): boolean =>
    typeof p?.name === "string" && typeof p.rule === "string";
  if (!Array.isArray(protocols) || protocols.length > MAX_PROTOCOLS || !protocols.every(isProtocol)) {
    return fail(`"protocols" in its header is not a list of at most ${MAX_PROTOCOLS} {name, rule}`);
  }
  if (typeof normalized !== "boolean") return fail(`"normalized" in its header is not true or false`);
  const { normalization = normalized ? "full" : "none", normalizedPer = "clip" } = value as Record<string, unknown>;
  if (!NORMALIZATIONS.includes(normalization as Normalization) || (normalization !== "none") !== normalized) {
    return fail(`"normalization" in its header is ${JSON.stringify(normalization)}, "normalized" ${normalized}`);
  }
  if (!NORMALIZED_PER.includes(normalizedPer as NormalizedPer)) {
    return fail(`"normalizedPer" in its header is ${JSON.stringify(normalizedPer)}, neither clip nor frame`);
  }
  return {
    layout: parseLayout(layout, file),
    classes: classes as string[],
    protocols,
    normalized,
    normalization: normalization as Normalization,
    normalizedPer: normalizedPer as NormalizedPer,
    notes,
  };
}

/**
 * Where the first NaN or infinity is; -1 where there is none. Only what is not finite differs from itself, less itself,
 * by more than 0. `findIndex` takes ten times as long, and V8 makes an object of every number given to
 * `Number.isFinite`.
 */
function firstNotFinite(data: Float32Array): number {
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (value - value !== 0) return i;
  }
  return -1;
}
