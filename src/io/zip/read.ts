/**
 * Zip archives (PKWARE APPNOTE 6.3), read by their central directory: the container of npz and of PyTorch checkpoints.
 *
 * Read are stored and deflated entries, and zip64. Refused are archives that make one byte serve two purposes
 * (entries that overlap, duplicate names), encryption, archives in several parts, and sizes out of proportion:
 * "zip bombs", whether they nest compression or overlap entries (Fifield, "A better zip bomb", 2019).
 */
import { builtinOrNone } from "../builtin.ts";
import type { ByteSource } from "../byte-source.ts";
import { crc32 } from "../crc32.ts";
import { FormatError, quoteForError } from "../format-error.ts";
import { inflateRaw, InflateTooLarge } from "./inflate.ts";

/** What a zip archive may ask for before it is refused. */
export interface ZipLimits {
  /** Bytes that all deflated entries together may unpack to, whatever their ratio. Default 64 MiB. */
  readonly freeBytes?: number;
  /** Beyond `freeBytes`, unpacked bytes allowed for each compressed byte. Default 200 (deflate's own limit is 1032). */
  readonly maxRatio?: number;
  /** Whether checksums are compared. Default true. */
  readonly verifyChecksums?: boolean;
}

interface ZipEntry {
  readonly name: string;
  /** Unpacked size in bytes. */
  readonly size: number;
  readonly compressedSize: number;
  readonly deflated: boolean;
  readonly checksum: number;
  /** Where its local header starts, and where the next entry (or the directory) does. */
  readonly start: number;
  readonly limit: number;
}

const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_ENTRY = 0x02014b50;
const DIRECTORY_END = 0x06054b50;
const DIRECTORY_END_64 = 0x06064b50;
const DIRECTORY_LOCATOR_64 = 0x07064b50;

const STORED = 0;
const DEFLATED = 8;
const FLAG_ENCRYPTED = 0x1;
const EXTRA_ZIP64 = 0x0001;

/** What a deflate stream unpacks to, `size` bytes at most: by zlib, or by the package's own code in browsers. */
function unpacked(packed: Uint8Array, size: number): Uint8Array {
  const zlib = builtinOrNone<typeof import("node:zlib")>("node:zlib");
  if (!zlib) return inflateRaw(packed, size);
  return zlib.inflateRawSync(packed, {
    // zlib refuses a limit of 0; an entry declared empty is caught by the comparison of sizes.
    maxOutputLength: Math.max(1, size),
    chunkSize: Math.min(Math.max(size, 1024), 2 ** 20),
  });
}

/** An archive's directory, and its entries' contents on request. */
export class ZipReader {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  readonly #limits: Required<ZipLimits>;

  /** Reads and checks the directory. Throws `FormatError`. */
  readonly #source: ByteSource;
  constructor(source: ByteSource, limits: ZipLimits = {}) {
    this.#source = source;
    this.#limits = { freeBytes: 64 * 2 ** 20, maxRatio: 200, verifyChecksums: true, ...limits };
    this.entries = readDirectory(source);
    this.#checkProportion();
  }

  /** The bytes of an entry; its name must be in {@link entries}. */
  read(name: string): Uint8Array {
    const entry = this.entries.get(name);
    if (entry === undefined) throw new FormatError(this.#source.name, `zip has no entry ${quoteForError(name)}`);
    const packed = this.#source.read(
      dataStart(this.#source, entry),
      entry.compressedSize,
      `entry ${quoteForError(name)}`,
    );
    const bytes = entry.deflated ? this.#inflate(entry, packed) : packed;
    if (this.#limits.verifyChecksums && crc32(bytes) !== entry.checksum) {
      throw new FormatError(
        this.#source.name,
        `entry ${quoteForError(name)} does not match its checksum ` +
          "(the option verifyChecksums: false reads it as it is)",
      );
    }
    return bytes;
  }

  #inflate(entry: ZipEntry, packed: Uint8Array): Uint8Array {
    let bytes: Uint8Array;
    try {
      bytes = unpacked(packed, entry.size);
    } catch (error) {
      const tooLarge = error instanceof InflateTooLarge || (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
      throw new FormatError(
        this.#source.name,
        `entry ${quoteForError(entry.name)} ` +
          (tooLarge ? `unpacks to more than its declared ${entry.size} bytes` : "is not a valid deflate stream"),
      );
    }
    if (bytes.length !== entry.size) {
      throw new FormatError(
        this.#source.name,
        `entry ${quoteForError(entry.name)} unpacks to ${bytes.length} bytes; it declares ${entry.size}`,
      );
    }
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #checkProportion(): void {
    const { freeBytes, maxRatio } = this.#limits;
    let packed = 0;
    let unpacked = 0;
    for (const entry of this.entries.values()) {
      if (!entry.deflated) continue;
      packed += entry.compressedSize;
      unpacked += entry.size;
    }
    if (unpacked > freeBytes + maxRatio * packed) {
      throw new FormatError(
        this.#source.name,
        `zip declares ${unpacked} bytes out of ${packed} compressed ones; at most ${freeBytes} + ${maxRatio} per ` +
          "compressed byte are unpacked (raise the options freeBytes or maxRatio if the file is trusted)",
      );
    }
  }
}

/** Whether the bytes at the start are those of a zip archive (a local header, or the end of an empty archive). */
export function looksLikeZip(source: ByteSource): boolean {
  if (source.size < 4) return false;
  const [a, b, c, d] = source.read(0, 4, "the zip signature");
  return a === 0x50 && b === 0x4b && ((c === 3 && d === 4) || (c === 5 && d === 6));
}

interface DirectoryPlace {
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function findDirectory(source: ByteSource): DirectoryPlace {
  // The end record is 22 bytes and a comment of at most 65,535, at the very end.
  const tailLength = Math.min(source.size, 22 + 0xffff);
  const tailStart = source.size - tailLength;
  const tail = viewOf(source.read(tailStart, tailLength, "the zip's end"));
  let at = tailLength - 22;
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === DIRECTORY_END && at + 22 + tail.getUint16(at + 20, true) === tailLength)
  ) {
    at--;
  }
  if (at < 0)
    throw new FormatError(source.name, "is not a zip archive, or is truncated: it has no end-of-directory record");
  if (tail.getUint16(at + 4, true) !== 0 || tail.getUint16(at + 6, true) !== 0) {
    throw new FormatError(source.name, "is one part of a zip archive in several parts");
  }
  const place = {
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  };
  const end = tailStart + at;
  const place64 = findDirectory64(source, end);
  const found = place64?.place ?? place;
  if (found.offset + found.size > (place64?.start ?? end)) {
    throw new FormatError(source.name, "zip directory does not lie before its end record");
  }
  if (found.count * 46 > found.size) {
    throw new FormatError(source.name, `zip directory of ${found.size} bytes cannot hold its ${found.count} entries`);
  }
  return found;
}

/** The zip64 form of the end record, where there is one just before the plain one. */
function findDirectory64(source: ByteSource, end: number): { place: DirectoryPlace; start: number } | undefined {
  if (end < 20) return undefined;
  const locator = viewOf(source.read(end - 20, 20, "the zip64 locator"));
  if (locator.getUint32(0, true) !== DIRECTORY_LOCATOR_64) return undefined;
  const start = safeUint64(source, locator, 8, "the zip64 end record's offset");
  const record = viewOf(source.read(start, 56, "the zip64 end record"));
  if (record.getUint32(0, true) !== DIRECTORY_END_64) {
    throw new FormatError(source.name, "zip64 locator does not point at a zip64 end record");
  }
  return {
    start,
    place: {
      count: safeUint64(source, record, 32, "the entry count"),
      size: safeUint64(source, record, 40, "the directory's size"),
      offset: safeUint64(source, record, 48, "the directory's offset"),
    },
  };
}

function safeUint64(source: ByteSource, view: DataView, offset: number, what: string): number {
  const value = Number(view.getBigUint64(offset, true));
  if (!Number.isSafeInteger(value)) throw new FormatError(source.name, `${what} passes 2^53-1`);
  return value;
}

function readDirectory(source: ByteSource): Map<string, ZipEntry> {
  const place = findDirectory(source);
  const bytes = source.read(place.offset, place.size, "the zip directory");
  const view = viewOf(bytes);
  const found: { entry: Omit<ZipEntry, "limit">; headerSize: number }[] = [];
  let at = 0;
  for (let index = 0; index < place.count; index++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== DIRECTORY_ENTRY) {
      throw new FormatError(source.name, `zip directory is malformed at entry ${index} of ${place.count}`);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > bytes.length) throw new FormatError(source.name, `zip directory ends inside entry ${index}`);
    const name = decodeName(bytes.subarray(at + 46, at + 46 + nameLength));
    const extra = bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    found.push({ entry: readDirectoryEntry(source, view, at, name, extra), headerSize: 30 + nameLength });
    at = next;
  }

  found.sort((a, b) => a.entry.start - b.entry.start);
  const entries = new Map<string, ZipEntry>();
  found.forEach(({ entry, headerSize }, index) => {
    const limit = index + 1 < found.length ? found[index + 1].entry.start : place.offset;
    if (entry.start + headerSize + entry.compressedSize > limit) {
      throw new FormatError(source.name, `zip entry ${quoteForError(entry.name)} overlaps what follows it`);
    }
    if (entries.has(entry.name)) {
      throw new FormatError(source.name, `zip has two entries called ${quoteForError(entry.name)}`);
    }
    entries.set(entry.name, { ...entry, limit });
  });
  return entries;
}

function readDirectoryEntry(
  source: ByteSource,
  view: DataView,
  at: number,
  name: string,
  extra: Uint8Array,
): Omit<ZipEntry, "limit"> {
  const fail = (fault: string): never => {
    throw new FormatError(source.name, `zip entry ${quoteForError(name)} ${fault}`);
  };
  if (name.includes("\0")) fail("has a zero character in its name");
  if (view.getUint16(at + 8, true) & FLAG_ENCRYPTED) fail("is encrypted, which is not supported");
  const method = view.getUint16(at + 10, true);
  if (method !== STORED && method !== DEFLATED) fail(`uses compression method ${method}; 0 and 8 (deflate) are read`);
  let compressedSize = view.getUint32(at + 20, true);
  let size = view.getUint32(at + 24, true);
  let start = view.getUint32(at + 42, true);

  // zip64: the fields that did not fit in 32 bits follow in the extra field, in this order.
  const wide = findExtra(extra, EXTRA_ZIP64);
  let position = 0;
  const widen = (narrow: number, what: string): number => {
    if (narrow !== 0xffffffff) return narrow;
    if (wide === undefined || position + 8 > wide.length) return fail(`lacks the zip64 field for its ${what}`);
    position += 8;
    return safeUint64(source, viewOf(wide), position - 8, `the ${what} of zip entry ${quoteForError(name)}`);
  };
  size = widen(size, "size");
  compressedSize = widen(compressedSize, "compressed size");
  start = widen(start, "offset");
  if (method === STORED && size !== compressedSize) fail(`is stored, but declares ${size} bytes in ${compressedSize}`);
  return { name, size, compressedSize, deflated: method === DEFLATED, checksum: view.getUint32(at + 16, true), start };
}

function findExtra(extra: Uint8Array, id: number): Uint8Array | undefined {
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === id) return extra.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  return undefined;
}

/** The local header repeats the name, and says where the data starts. */
function dataStart(source: ByteSource, entry: ZipEntry): number {
  const what = `the local header of entry ${quoteForError(entry.name)}`;
  const header = viewOf(source.read(entry.start, 30, what));
  if (header.getUint32(0, true) !== LOCAL_HEADER)
    throw new FormatError(source.name, `${what} is not where it should be`);
  const nameLength = header.getUint16(26, true);
  const start = entry.start + 30 + nameLength + header.getUint16(28, true);
  const name = decodeName(source.read(entry.start + 30, nameLength, what));
  if (name !== entry.name || header.getUint16(8, true) !== (entry.deflated ? DEFLATED : STORED)) {
    throw new FormatError(source.name, `${what} contradicts the directory`);
  }
  if (start + entry.compressedSize > entry.limit) {
    throw new FormatError(source.name, `zip entry ${quoteForError(entry.name)} overlaps what follows it`);
  }
  return start;
}

/** Names are UTF-8 by every current writer; a name that is not is taken byte for byte. */
function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return new TextDecoder("latin1").decode(bytes);
  }
}
