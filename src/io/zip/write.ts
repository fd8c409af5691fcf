/**
 * Zip archives (PKWARE APPNOTE 6.3), written front to back: entries, then the directory.
 *
 * Entries are stored or deflated; an entry's data can be aligned in the file, as PyTorch does so that it can map
 * storages into memory. zip64 is used where a size, an offset or the count asks for it, and only there. The archive
 * of given contents is the same bytes every time: the date of every entry is 1980-01-01, the format's zero.
 */
import { builtinOrNone } from "../builtin.ts";
import type { ByteSink } from "../byte-sink.ts";
import { crc32 } from "../crc32.ts";

interface ZipEntryOptions {
  /** Whether to compress. Default false. */
  readonly deflate?: boolean;
  /** Start the entry's data at a multiple of this many bytes, by padding its extra field. */
  readonly align?: number;
}

interface Written {
  readonly name: Uint8Array;
  readonly flags: number;
  readonly method: number;
  readonly checksum: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly start: number;
}

const LIMIT_32 = 0xffffffff;
const LIMIT_16 = 0xffff;
const VERSION = 20;
const VERSION_ZIP64 = 45;
/** 1980-01-01 in MS-DOS form: year 0, month 1, day 1. */
const DATE = 0x0021;
const FLAG_UTF8 = 0x0800;
/** The extra field that PyTorch's own writer pads with, "FB". */
const EXTRA_PADDING = 0x4246;

function deflated(bytes: Uint8Array): Uint8Array {
  const zlib = builtinOrNone<typeof import("node:zlib")>("node:zlib");
  if (zlib) return zlib.deflateRawSync(bytes);
  throw new Error(
    "zip: nothing compresses here (a browser); leave { compress: true } out to store entries as they are",
  );
}

export class ZipWriter {
  readonly #written: Written[] = [];
  readonly #names = new Set<string>();

  readonly #sink: ByteSink;
  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Adds an entry. A name that was added before throws. */
  add(name: string, bytes: Uint8Array, options: ZipEntryOptions = {}): void {
    if (this.#names.has(name)) throw new Error(`zip: two entries called ${JSON.stringify(name)}`);
    this.#names.add(name);
    const encoded = new TextEncoder().encode(name);
    if (encoded.length > LIMIT_16) throw new Error("zip: an entry's name takes more than 65,535 bytes");
    const data = options.deflate ? deflated(bytes) : bytes;
    const start = this.#sink.position;
    const entry: Written = {
      name: encoded,
      flags: encoded.length === name.length ? 0 : FLAG_UTF8,
      method: options.deflate ? 8 : 0,
      checksum: crc32(bytes),
      compressedSize: data.length,
      size: bytes.length,
      start,
    };
    const wide = entry.size >= LIMIT_32 || entry.compressedSize >= LIMIT_32;
    const wideLength = wide ? 20 : 0;
    let paddingLength = 0;
    if (options.align !== undefined) {
      const unpadded = start + 30 + encoded.length + wideLength + 4;
      paddingLength = 4 + ((options.align - (unpadded % options.align)) % options.align);
    }
    const header = new Uint8Array(30 + encoded.length + wideLength + paddingLength);
    const view = new DataView(header.buffer);
    view.setUint32(0, 0x04034b50, true);
    writeCommon(view, 4, entry, wide, wide);
    view.setUint16(28, wideLength + paddingLength, true);
    header.set(encoded, 30);
    let at = 30 + encoded.length;
    if (wide) at = writeWide(view, at, [entry.size, entry.compressedSize]);
    if (paddingLength > 0) {
      view.setUint16(at, EXTRA_PADDING, true);
      view.setUint16(at + 2, paddingLength - 4, true);
    }
    this.#sink.write(header);
    this.#sink.write(data);
    this.#written.push(entry);
  }

  /** Writes the directory. Nothing may be added after it. */
  finish(): void {
    const start = this.#sink.position;
    for (const entry of this.#written) this.#sink.write(directoryEntry(entry));
    const size = this.#sink.position - start;
    const count = this.#written.length;
    if (count >= LIMIT_16 || size >= LIMIT_32 || start >= LIMIT_32) this.#finish64(start, size, count);
    const end = new DataView(new ArrayBuffer(22));
    end.setUint32(0, 0x06054b50, true);
    end.setUint16(8, Math.min(count, LIMIT_16), true);
    end.setUint16(10, Math.min(count, LIMIT_16), true);
    end.setUint32(12, Math.min(size, LIMIT_32), true);
    end.setUint32(16, Math.min(start, LIMIT_32), true);
    this.#sink.write(new Uint8Array(end.buffer));
  }

  #finish64(start: number, size: number, count: number): void {
    const recordStart = this.#sink.position;
    const view = new DataView(new ArrayBuffer(56 + 20));
    view.setUint32(0, 0x06064b50, true);
    view.setBigUint64(4, 44n, true);
    view.setUint16(12, VERSION_ZIP64, true);
    view.setUint16(14, VERSION_ZIP64, true);
    view.setBigUint64(24, BigInt(count), true);
    view.setBigUint64(32, BigInt(count), true);
    view.setBigUint64(40, BigInt(size), true);
    view.setBigUint64(48, BigInt(start), true);
    view.setUint32(56, 0x07064b50, true);
    view.setBigUint64(64, BigInt(recordStart), true);
    view.setUint32(72, 1, true);
    this.#sink.write(new Uint8Array(view.buffer));
  }
}

/** The fields that the local header (from its byte 4) and the directory entry (from its byte 6) share. */
function writeCommon(view: DataView, at: number, entry: Written, wide: boolean, wideSizes: boolean): void {
  view.setUint16(at, wide ? VERSION_ZIP64 : VERSION, true);
  view.setUint16(at + 2, entry.flags, true);
  view.setUint16(at + 4, entry.method, true);
  view.setUint16(at + 8, DATE, true);
  view.setUint32(at + 10, entry.checksum, true);
  view.setUint32(at + 14, wideSizes ? LIMIT_32 : entry.compressedSize, true);
  view.setUint32(at + 18, wideSizes ? LIMIT_32 : entry.size, true);
  view.setUint16(at + 22, entry.name.length, true);
}

function writeWide(view: DataView, at: number, values: number[]): number {
  view.setUint16(at, 0x0001, true);
  view.setUint16(at + 2, 8 * values.length, true);
  values.forEach((value, i) => view.setBigUint64(at + 4 + 8 * i, BigInt(value), true));
  return at + 4 + 8 * values.length;
}

function directoryEntry(entry: Written): Uint8Array {
  const wideSizes = entry.size >= LIMIT_32 || entry.compressedSize >= LIMIT_32;
  const wideStart = entry.start >= LIMIT_32;
  const values = [...(wideSizes ? [entry.size, entry.compressedSize] : []), ...(wideStart ? [entry.start] : [])];
  const extraLength = values.length === 0 ? 0 : 4 + 8 * values.length;
  const bytes = new Uint8Array(46 + entry.name.length + extraLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x02014b50, true);
  view.setUint16(4, values.length > 0 ? VERSION_ZIP64 : VERSION, true);
  writeCommon(view, 6, entry, values.length > 0, wideSizes);
  view.setUint16(30, extraLength, true);
  view.setUint32(42, wideStart ? LIMIT_32 : entry.start, true);
  bytes.set(entry.name, 46);
  if (values.length > 0) writeWide(view, 46 + entry.name.length, values);
  return bytes;
}
