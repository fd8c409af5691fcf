/**
 * Random access to the bytes of a file or of memory, so that one reader serves both, and a large file is read piece
 * by piece.
 *
 * Reading is synchronous: these are local files, read before or between training steps, and a reader without an await
 * in its loops is several times faster on files of many small tensors.
 */
import { builtin } from "./builtin.ts";
import { FormatError } from "./format-error.ts";

const fs = (path: string) => builtin<typeof import("node:fs")>("node:fs", path);

export interface ByteSource {
  /** The path, or the name given to in-memory bytes; every error carries it. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /**
   * The bytes `[offset, offset + length)`. A file gives fresh memory, 8-byte aligned; in-memory bytes give a view.
   * Throws a `FormatError` that names `what` when the range is not inside the source.
   */
  read(offset: number, length: number, what: string): Uint8Array;
  /** Closes the file, if there is one. */
  close(): void;
}

/** What readers accept: a path, or the bytes themselves. */
export type BytesOrPath = string | Uint8Array;

/** Bytes that arrive in time: what browsers have instead of paths. Readers of them give a promise. */
export type ByteStream = Blob | Response | ReadableStream<Uint8Array>;

function isByteStream(input: BytesOrPath | ByteStream): input is ByteStream {
  return (
    (typeof Blob !== "undefined" && input instanceof Blob) ||
    (typeof Response !== "undefined" && input instanceof Response) ||
    (typeof ReadableStream !== "undefined" && input instanceof ReadableStream)
  );
}

/**
 * All bytes of a Blob, a Response or a stream.
 * @throws Error with address and status where a Response is no success
 */
export async function readBytes(input: ByteStream): Promise<Uint8Array> {
  if (input instanceof Response && !input.ok) {
    throw new Error(`${input.url || "the response"}: the server answers ${input.status} ${input.statusText}`.trim());
  }
  const whole = input instanceof ReadableStream ? new Response(input as unknown as BodyInit) : input;
  return new Uint8Array(await whole.arrayBuffer());
}

/** Reads at once from bytes or a path, and as soon as all is there from what arrives in time. */
export function whenRead<Result>(
  input: BytesOrPath | ByteStream,
  read: (input: BytesOrPath) => Result,
): Result | Promise<Result> {
  return isByteStream(input) ? readBytes(input).then(read) : read(input);
}

/** readSync takes at most 2^31-1 bytes at once. */
const READ_CHUNK = 2 ** 30;

/** What was handed in instead of bytes, with what to do about it where that is plain. */
function describeInput(input: unknown): string {
  const kind = Object.prototype.toString.call(input).slice("[object ".length, -1);
  if (kind === "Promise") return "a Promise; await it first";
  if (kind === "ArrayBuffer" || kind === "SharedArrayBuffer") return `an ${kind}; hand in new Uint8Array(buffer)`;
  return kind === "Undefined" || kind === "Null" ? kind.toLowerCase() : `of the kind ${kind}`;
}

/** Whether this is a view of single bytes, of whatever realm: a frame's `Uint8Array` is not this one's. */
function isBytes(input: unknown): input is Uint8Array {
  return ArrayBuffer.isView(input) && (input as Partial<Uint8Array>).BYTES_PER_ELEMENT === 1;
}

/**
 * Opens a path, or wraps bytes (as `name`). A path that cannot be opened throws the system's own error.
 * @throws TypeError where the input is neither: types keep TypeScript's users from it, not everybody
 */
export function openSource(input: BytesOrPath, name = "<bytes>"): ByteSource {
  if (typeof input === "string") return new FileSource(input);
  if (isBytes(input)) return new MemorySource(input, name);
  throw new TypeError(
    `${name}: readers take a path, bytes (a Uint8Array), a Blob, a Response or a stream; this is ${describeInput(input)}`,
  );
}

/** Opens `input`, gives it to `use`, and closes it whether `use` returns or throws. */
export function withSource<T>(input: BytesOrPath, name: string | undefined, use: (source: ByteSource) => T): T {
  const source = openSource(input, name);
  try {
    return use(source);
  } finally {
    source.close();
  }
}

/**
 * All bytes of a regular file. @throws FormatError for a pipe or a folder, where `readFileSync` would wait or fail with
 * the system's words.
 */
export function readFileBytes(path: string): Uint8Array {
  return withSource(path, undefined, (source) => source.read(0, source.size, "the file"));
}

/** A regular file as UTF-8. @throws FormatError as {@link readFileBytes} does. */
export function readFileText(path: string): string {
  return new TextDecoder().decode(readFileBytes(path));
}

function checkRange(source: ByteSource, offset: number, length: number, what: string): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= source.size)) {
    throw new FormatError(
      source.name,
      `truncated: ${what} needs bytes ${offset} to ${offset + length}, the file has ${source.size}`,
    );
  }
}

class MemorySource implements ByteSource {
  readonly size: number;

  readonly #bytes: Uint8Array;

  constructor(
    bytes: Uint8Array,
    readonly name: string,
  ) {
    // A plain view, for a Node Buffer is a Uint8Array with another meaning of slice().
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.size = bytes.length;
  }

  read(offset: number, length: number, what: string): Uint8Array {
    checkRange(this, offset, length, what);
    return this.#bytes.subarray(offset, offset + length);
  }

  close(): void {}
}

class FileSource implements ByteSource {
  readonly size: number;
  #descriptor: number | undefined;

  constructor(readonly name: string) {
    const { constants, fstatSync, openSync } = fs(name);
    // Opening a FIFO waits for a writer, for ever where there is none, unless told not to.
    this.#descriptor = openSync(name, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const status = fstatSync(this.#descriptor);
    if (!status.isFile()) {
      this.close();
      const kind = status.isDirectory() ? "a folder" : status.isFIFO() ? "a pipe" : "a device or socket";
      throw new FormatError(name, `is ${kind}, not a regular file`);
    }
    this.size = status.size;
  }

  read(offset: number, length: number, what: string): Uint8Array {
    checkRange(this, offset, length, what);
    if (this.#descriptor === undefined) throw new Error(`${this.name}: read after close`);
    let result: Uint8Array;
    try {
      result = new Uint8Array(length);
    } catch {
      throw new FormatError(this.name, `${what} takes ${length} bytes, more than one array can hold in this process`);
    }
    const { readSync } = fs(this.name);
    let done = 0;
    while (done < length) {
      const count = readSync(this.#descriptor, result, done, Math.min(READ_CHUNK, length - done), offset + done);
      if (count === 0) throw new FormatError(this.name, `truncated while it was being read, in ${what}`);
      done += count;
    }
    return result;
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    fs(this.name).closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
