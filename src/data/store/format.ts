/**
 * The bytes of a clip store: one file that holds a prepared data set and is read clip by clip.
 *
 *     magic "HICOCLIP"
 *     records   one per clip: float32 coordinates (frames, persons kept, joints, 3), as in memory; where joints were lost
 *               and are filled, a bit for each joint besides, 1 for a lost one, lowest bit first, padded to 4 bytes
 *     index     one row of fixed size per clip (`ROW_BYTES`): where its record lies, its checksum, what is known of it
 *     names     of the clips, UTF-8, end to end
 *     header    JSON: layout, class names, protocols, what was done to the clips
 *     footer    where the index starts, lengths, count, version, checksum, magic
 *
 * What describes the clips comes last, so a data set of any size is written in one pass without being held in memory;
 * the index is small, so opening is quick. Trailing persons who are absent throughout a clip are not stored. Every byte
 * is under a CRC-32 (each record its own; index to footer together) or compared with the magic. Little-endian.
 */
import type { Split } from "./protocol.ts";

export const MAGIC = "HICOCLIP";
/** A store without lost joints is of version 1, one with them of version 2. */
export const STORE_VERSION = 2;
export const ROW_BYTES = 48;
export const FOOTER_BYTES = 40;
/** Checksum and closing magic: the end of the footer that the checksum does not cover. */
export const FOOTER_UNCHECKED = 12;

/** What is known of one clip. Labels count from 0, -1 is none; the rest counts from 1, as the data sets do. */
export interface ClipFacts {
  readonly name: string;
  readonly label: number;
  readonly subject?: number;
  readonly camera?: number;
  readonly setup?: number;
}

/** One row of the index. */
export interface IndexRow {
  readonly offset: number;
  readonly frames: number;
  /** Persons stored. */
  readonly persons: number;
  readonly label: number;
  readonly subject?: number;
  readonly camera?: number;
  readonly setup?: number;
  /** Per protocol of the header, in order; undefined where the clip takes no part. At most `MAX_PROTOCOLS`. */
  readonly splits: readonly (Split | undefined)[];
  /** Where the clip's name ends among the names; it starts where the previous one ends. */
  readonly nameEnd: number;
  readonly checksum: number;
  /** Joints that were lost. */
  readonly lost: number;
}

/** Bytes of a record's bits. */
export function lostBytes(joints: number): number {
  return 4 * Math.ceil(joints / 32);
}

/** Two bits each in a 32-bit word. */
export const MAX_PROTOCOLS = 16;

const SPLIT_CODES: readonly (Split | undefined)[] = [undefined, "train", "test"];
const ABSENT = -1;

export function encodeRow(row: IndexRow, view: DataView, at: number): void {
  view.setBigUint64(at, BigInt(row.offset), true);
  view.setUint32(at + 8, row.frames, true);
  view.setUint32(at + 12, row.persons, true);
  view.setInt32(at + 16, row.label, true);
  view.setInt32(at + 20, row.subject ?? ABSENT, true);
  view.setInt32(at + 24, row.camera ?? ABSENT, true);
  view.setInt32(at + 28, row.setup ?? ABSENT, true);
  let splits = 0;
  row.splits.forEach((split, i) => (splits |= SPLIT_CODES.indexOf(split) << (2 * i)));
  view.setUint32(at + 32, splits >>> 0, true);
  view.setUint32(at + 36, row.nameEnd, true);
  view.setUint32(at + 40, row.checksum, true);
  view.setUint32(at + 44, row.lost, true);
}

export function decodeRow(view: DataView, at: number, protocols: number): IndexRow {
  const optional = (offset: number): number | undefined => {
    const value = view.getInt32(at + offset, true);
    return value === ABSENT ? undefined : value;
  };
  const splits = view.getUint32(at + 32, true);
  return {
    offset: Number(view.getBigUint64(at, true)),
    frames: view.getUint32(at + 8, true),
    persons: view.getUint32(at + 12, true),
    label: view.getInt32(at + 16, true),
    subject: optional(20),
    camera: optional(24),
    setup: optional(28),
    splits: Array.from({ length: protocols }, (_, i) => SPLIT_CODES[(splits >>> (2 * i)) & 3]),
    nameEnd: view.getUint32(at + 36, true),
    checksum: view.getUint32(at + 40, true),
    lost: view.getUint32(at + 44, true),
  };
}

interface Footer {
  readonly indexOffset: number;
  readonly namesBytes: number;
  readonly headerBytes: number;
  readonly count: number;
  readonly version: number;
  readonly checksum: number;
  readonly magic: string;
}

export function encodeFooter(footer: Omit<Footer, "magic" | "checksum">): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(footer.indexOffset), true);
  view.setUint32(8, footer.namesBytes, true);
  view.setUint32(12, footer.headerBytes, true);
  view.setUint32(16, footer.count, true);
  view.setUint32(20, footer.version, true);
  bytes.set(new TextEncoder().encode(MAGIC), FOOTER_BYTES - MAGIC.length);
  return bytes;
}

/** Puts the checksum of index, names, header and the footer's first part into the footer. */
export function sealFooter(footer: Uint8Array, checksum: number): void {
  new DataView(footer.buffer, footer.byteOffset).setUint32(FOOTER_BYTES - FOOTER_UNCHECKED, checksum, true);
}

export function decodeFooter(bytes: Uint8Array): Footer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, FOOTER_BYTES);
  return {
    indexOffset: Number(view.getBigUint64(0, true)),
    namesBytes: view.getUint32(8, true),
    headerBytes: view.getUint32(12, true),
    count: view.getUint32(16, true),
    version: view.getUint32(20, true),
    checksum: view.getUint32(FOOTER_BYTES - FOOTER_UNCHECKED, true),
    magic: String.fromCharCode(...bytes.subarray(FOOTER_BYTES - MAGIC.length, FOOTER_BYTES)),
  };
}
