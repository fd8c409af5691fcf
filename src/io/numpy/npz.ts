/**
 * npz: several npy arrays in a zip archive, each in an entry `NAME.npy` (`numpy.savez`, `numpy.savez_compressed`).
 */
import { openSource, type ByteSource, type BytesOrPath, whenRead, type ByteStream } from "../byte-source.ts";
import { collectBytes, writeFileAtomic, type ByteSink } from "../byte-sink.ts";
import { FormatError, quoteForError } from "../format-error.ts";
import type { HostTensor } from "../host-tensor.ts";
import { encodeNpy, readNpy, readNpyArray, type NpyArray } from "./npy.ts";
import { ZipReader, type ZipLimits } from "../zip/read.ts";
import { ZipWriter } from "../zip/write.ts";

/** How an npz archive is read. */
export interface NpzReadOptions extends ZipLimits {
  /** What errors call in-memory bytes. */
  readonly name?: string;
}

/** An open npz file whose arrays are read one at a time. */
export class NpzFile {
  /** The arrays' names, without `.npy`. */
  readonly names: readonly string[];
  readonly #zip: ZipReader;
  readonly #entryNames = new Map<string, string>();

  readonly #source: ByteSource;
  private constructor(source: ByteSource, options: NpzReadOptions) {
    this.#source = source;
    this.#zip = new ZipReader(source, options);
    for (const entry of this.#zip.entries.keys()) {
      const name = entry.endsWith(".npy") ? entry.slice(0, -4) : undefined;
      if (name === undefined) {
        throw new FormatError(source.name, `entry ${quoteForError(entry)} is not an .npy array: not an npz file`);
      }
      this.#entryNames.set(name, entry);
    }
    this.names = [...this.#entryNames.keys()];
  }

  /** Opens a file by path, or bytes. @throws FormatError where it is none */
  static open(input: BytesOrPath, options: NpzReadOptions = {}): NpzFile {
    const source = openSource(input, options.name);
    try {
      return new NpzFile(source, options);
    } catch (error) {
      source.close();
      throw error;
    }
  }

  /** An array of numbers or booleans. A name that the file does not have throws. */
  read(name: string): HostTensor {
    return readNpy(this.#bytes(name), this.#label(name));
  }

  /** The array of this name, of numbers, booleans or text. A name that the file does not have throws. */
  readArray(name: string): NpyArray {
    return readNpyArray(this.#bytes(name), this.#label(name));
  }

  /** Closes the file. */
  close(): void {
    this.#source.close();
  }

  #label(name: string): string {
    return `${this.#source.name}[${name}]`;
  }

  #bytes(name: string): Uint8Array {
    const entry = this.#entryNames.get(name);
    if (entry === undefined) {
      const known = this.names
        .slice(0, 16)
        .map((n) => quoteForError(n, 60))
        .join(", ");
      throw new Error(`${this.#source.name}: no array ${quoteForError(name)}; it has ${known}`);
    }
    return this.#zip.read(entry);
  }
}

/** Opens an npz file to read arrays singly; `close()` it afterwards. */
export function openNpz(input: BytesOrPath, options?: NpzReadOptions): NpzFile {
  return NpzFile.open(input, options);
}

/** From a Blob, a Response or a stream, when all of it is there; otherwise as from bytes. */
export function readNpz(input: ByteStream, options?: NpzReadOptions): Promise<Map<string, NpyArray>>;
/** Reads every array of an npz file, by name. Throws `FormatError` on anything malformed. */
export function readNpz(input: BytesOrPath, options?: NpzReadOptions): Map<string, NpyArray>;
export function readNpz(
  input: BytesOrPath | ByteStream,
  options?: NpzReadOptions,
): Map<string, NpyArray> | Promise<Map<string, NpyArray>> {
  return whenRead(input, (given) => {
    const file = openNpz(given, options);
    try {
      return new Map(file.names.map((name) => [name, file.readArray(name)]));
    } finally {
      file.close();
    }
  });
}

/** Arrays by name, for an npz file. */
export type NamedArrays = ReadonlyMap<string, NpyArray> | Readonly<Record<string, NpyArray>>;

/** Writes arrays to an npz file at `path`, whole or not at all; deflated with the options `{ compress: true }`. */
export function writeNpz(path: string, arrays: NamedArrays, options: { compress?: boolean } = {}): void {
  writeFileAtomic(path, (sink) => emitNpz(sink, arrays, options.compress ?? false));
}

/** The bytes {@link writeNpz} would write with the same options. */
export function encodeNpz(arrays: NamedArrays, options: { compress?: boolean } = {}): Uint8Array {
  return collectBytes((sink) => emitNpz(sink, arrays, options.compress ?? false));
}

function emitNpz(sink: ByteSink, arrays: NamedArrays, deflate: boolean): void {
  const zip = new ZipWriter(sink);
  const given = arrays instanceof Map ? [...arrays] : Object.entries(arrays as Record<string, NpyArray>);
  for (const [name, array] of given)
    zip.add(`${name}.npy`, encodeNpy(array), { deflate, align: deflate ? undefined : 64 });
  zip.finish();
}
