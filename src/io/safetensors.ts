/**
 * safetensors: named tensors in one file, with nothing in it that could run.
 *
 * Layout (https://github.com/huggingface/safetensors, "Format"): 8 bytes, the header's length N as an unsigned
 * little-endian 64-bit integer; N bytes of JSON, `{name: {dtype, shape, data_offsets: [begin, end]}, ...}` with an
 * optional `__metadata__` of string to string; then the tensors' bytes, offsets counted from the end of the header.
 *
 * Everything the format promises is checked before any tensor is read: the header's length (at most 100 MB), its
 * JSON and keys, sizes that overflow, ranges that leave the file, overlap, or leave a hole. So no byte of the file
 * has two meanings, or none.
 */
import { writeFileAtomic, collectBytes, type ByteSink } from "./byte-sink.ts";
import { openSource, withSource, type ByteSource, type BytesOrPath, whenRead, type ByteStream } from "./byte-source.ts";
import { FormatError, quoteForError } from "./format-error.ts";
import {
  bytesOf,
  bytesPerHostElement,
  checkedElementCount,
  hostTensorFault,
  viewElements,
  type HostDType,
  type HostTensor,
} from "./host-tensor.ts";
import { JsonFault, parseStrictJson, type JsonValue } from "./strict-json.ts";

const DTYPE_NAMES: Record<HostDType, string> = {
  f64: "F64",
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  i64: "I64",
  i32: "I32",
  i16: "I16",
  i8: "I8",
  u64: "U64",
  u32: "U32",
  u16: "U16",
  u8: "U8",
  bool: "BOOL",
};
const DTYPES_BY_NAME = new Map(Object.entries(DTYPE_NAMES).map(([dtype, name]) => [name, dtype as HostDType]));

/** The format's own limit on the header, in bytes. */
const MAX_SAFETENSORS_HEADER = 100_000_000;

/** One tensor as the header describes it. `begin` and `end` are byte offsets in the file. */
export interface SafetensorsEntry {
  readonly dtype: HostDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A whole file: tensors in the header's order, and its metadata (empty where it has none). */
export interface SafetensorsContents {
  readonly tensors: Map<string, HostTensor>;
  readonly metadata: Map<string, string>;
}

/** An open file whose tensors are read one at a time. */
export class SafetensorsFile {
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: ReadonlyMap<string, string>;

  readonly #source: ByteSource;
  readonly #empty = new Map<HostDType, HostTensor["data"]>();
  private constructor(source: ByteSource) {
    this.#source = source;
    const { entries, metadata } = readHeader(source);
    this.entries = entries;
    this.metadata = metadata;
  }

  /** Opens a file and reads and checks its header; `name` is what errors call bytes. Throws `FormatError`. */
  static open(input: BytesOrPath, name?: string): SafetensorsFile {
    const source = openSource(input, name);
    try {
      return new SafetensorsFile(source);
    } catch (error) {
      source.close();
      throw error;
    }
  }

  /** Reads one tensor from its range of the file. A name that the file does not have throws. */
  read(name: string): HostTensor {
    const entry = this.entries.get(name);
    if (entry === undefined) {
      throw new Error(
        `${this.#source.name}: no tensor ${quoteForError(name)}; it has ${listSome(this.entries.keys())}`,
      );
    }
    return this.#tensorOf(name, entry);
  }

  /** Reads every tensor, in the header's order. */
  readAll(): Map<string, HostTensor> {
    const tensors = new Map<string, HostTensor>();
    for (const [name, entry] of this.entries) tensors.set(name, this.#tensorOf(name, entry));
    return tensors;
  }

  #tensorOf(name: string, { dtype, shape, begin, end }: SafetensorsEntry): HostTensor {
    if (begin === end) return { dtype, shape, data: this.#nothing(dtype) };
    const bytes = this.#source.read(begin, end - begin, `tensor ${quoteForError(name)}`);
    return { dtype, shape, data: viewElements(bytes, dtype, (end - begin) / bytesPerHostElement(dtype)) };
  }

  /** A file may hold a million tensors without elements: all of a dtype share one array. */
  #nothing(dtype: HostDType): HostTensor["data"] {
    const data = this.#empty.get(dtype) ?? viewElements(new Uint8Array(0), dtype, 0);
    this.#empty.set(dtype, data);
    return data;
  }

  /** Closes the file. */
  close(): void {
    this.#source.close();
  }
}

/** Opens a safetensors file (or bytes, called `name` in errors) to read tensors singly; `close()` it afterwards. */
export function openSafetensors(input: BytesOrPath, name?: string): SafetensorsFile {
  return SafetensorsFile.open(input, name);
}

/** From a Blob, a Response or a stream, called `name` in errors, when all of it is there; otherwise as from bytes. */
export function readSafetensors(input: ByteStream, name?: string): Promise<SafetensorsContents>;
/**
 * Reads a whole safetensors file. From bytes, tensors share their memory where they are aligned. Throws `FormatError`
 * with the file and the fault on anything malformed.
 *
 * @param name what errors call bytes that are given; a file is called by its path.
 */
export function readSafetensors(input: BytesOrPath, name?: string): SafetensorsContents;
export function readSafetensors(
  input: BytesOrPath | ByteStream,
  name?: string,
): SafetensorsContents | Promise<SafetensorsContents> {
  return whenRead(input, (given) => {
    const file = openSafetensors(given, name);
    try {
      return { tensors: file.readAll(), metadata: new Map(file.metadata) };
    } finally {
      file.close();
    }
  });
}

/**
 * Writes tensors to `path`, one after the other, with no copy of them in memory; the file appears whole or not at
 * all. Tensors are laid out by falling element size, then as given, so that each is aligned, as the format's own
 * library does. Throws before anything is written when a tensor or a name is invalid.
 */
export function writeSafetensors(path: string, tensors: NamedTensors, metadata?: NamedStrings): void {
  writeFileAtomic(path, (sink) => emitSafetensors(sink, tensors, metadata));
}

/** The bytes {@link writeSafetensors} would write. */
export function encodeSafetensors(tensors: NamedTensors, metadata?: NamedStrings): Uint8Array {
  return collectBytes((sink) => emitSafetensors(sink, tensors, metadata));
}

/** Tensors by name: a state dictionary on the host. */
export type NamedTensors = ReadonlyMap<string, HostTensor> | Readonly<Record<string, HostTensor>>;
/** Texts by name: a file's metadata. */
export type NamedStrings = ReadonlyMap<string, string> | Readonly<Record<string, string>>;

/**
 * The metadata and tensor list of a file, without reading any tensor.
 *
 * @param name what errors call bytes that are given; a file is called by its path.
 */
export function listSafetensors(
  input: BytesOrPath,
  name?: string,
): { entries: Map<string, SafetensorsEntry>; metadata: Map<string, string> } {
  return withSource(input, name, readHeader);
}

function readHeader(source: ByteSource): {
  entries: Map<string, SafetensorsEntry>;
  metadata: Map<string, string>;
} {
  const prefix = source.read(0, 8, "the header's length");
  const declared = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (declared > BigInt(MAX_SAFETENSORS_HEADER)) {
    throw new FormatError(
      source.name,
      `header of ${declared} bytes; safetensors allows ${MAX_SAFETENSORS_HEADER}. Is it a safetensors file?`,
    );
  }
  const headerBytes = source.read(8, Number(declared), "the header");
  const dataStart = 8 + headerBytes.length;
  let metadata = new Map<string, string>();
  const entries = parseHeader(source.name, headerBytes, dataStart, (name, value) => {
    if (name !== METADATA) return checkEntry(source.name, name, value, dataStart);
    metadata = checkMetadata(source.name, value);
    return NO_TENSOR;
  });
  entries.delete(METADATA);
  checkCoverage(source, entries, dataStart);
  return { entries, metadata };
}

/** The header's member that describes no tensor. */
const METADATA = "__metadata__";
const NO_TENSOR: SafetensorsEntry = { dtype: "u8", shape: [0], begin: 0, end: 0 };

function parseHeader(
  file: string,
  bytes: Uint8Array,
  dataStart: number,
  entryOf: (name: string, value: JsonValue) => SafetensorsEntry,
): Map<string, SafetensorsEntry> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FormatError(file, "header is not valid UTF-8");
  }
  let value: ReturnType<typeof parseStrictJson<SafetensorsEntry>>;
  try {
    const quick = entryReader(text, dataStart);
    value = parseStrictJson(text, 4, entryOf, (name, at) => (name === METADATA ? undefined : quick(at)));
  } catch (error) {
    if (error instanceof JsonFault) throw new FormatError(file, `header is not valid JSON: ${error.message}`);
    throw error;
  }
  if (!(value instanceof Map)) throw new FormatError(file, "header is not a JSON object");
  return value;
}

const [DTYPE, SHAPE, OFFSETS] = ['{"dtype":"', '","shape":[', '],"data_offsets":['];
/** Longer than the name of any dtype. */
const LONGEST_DTYPE = 8;

/**
 * Reads right entries in the spelling of most writers (three fields in this order, without blanks) straight from the
 * text: of a header of a million entries their Maps, keys and lists were most of the work. What it does not read, the
 * parser does, or says what is wrong. One object is given again and again.
 */
function entryReader(
  text: string,
  dataStart: number,
): (at: number) => { readonly value: SafetensorsEntry; readonly end: number } | undefined {
  const found = { value: NO_TENSOR, end: 0 };
  const sizes = new Array<number>(16).fill(0);
  let at = 0;

  /** A whole number below 10^15 as JSON has it, else -1. */
  function whole(): number {
    const start = at;
    let value = 0;
    for (let code = text.charCodeAt(at); code >= 0x30 && code <= 0x39; code = text.charCodeAt(++at))
      value = value * 10 + (code - 0x30);
    const digits = at - start;
    return digits === 0 || digits > 15 || (digits > 1 && text.charCodeAt(start) === 0x30) ? -1 : value;
  }

  function words(expected: string): boolean {
    if (!text.startsWith(expected, at)) return false;
    at += expected.length;
    return true;
  }

  return (start) => {
    at = start;
    if (!words(DTYPE)) return undefined;
    const name = at;
    while (at - name < LONGEST_DTYPE && text.charCodeAt(at) !== 0x22) at++;
    const dtype = DTYPES_BY_NAME.get(text.slice(name, at));
    if (dtype === undefined || !words(SHAPE)) return undefined;
    let rank = 0;
    while (text.charCodeAt(at) !== 0x5d) {
      if (rank > 0 && text.charCodeAt(at++) !== 0x2c) return undefined;
      const size = whole();
      if (size < 0 || rank === sizes.length) return undefined;
      sizes[rank++] = size;
    }
    // A list that grows by itself has room for 17.
    const shape = sizes.slice(0, rank);
    if (!words(OFFSETS)) return undefined;
    const begin = whole();
    if (begin < 0 || text.charCodeAt(at++) !== 0x2c) return undefined;
    const end = whole();
    if (end < begin || !words("]}")) return undefined;
    const itemBytes = bytesPerHostElement(dtype);
    const count = checkedElementCount(shape, itemBytes);
    if (typeof count === "string" || end - begin !== count * itemBytes) return undefined;
    found.value = { dtype, shape, begin: dataStart + begin, end: dataStart + end };
    found.end = at;
    return found;
  };
}

function checkMetadata(file: string, value: JsonValue): Map<string, string> {
  if (!(value instanceof Map)) throw new FormatError(file, "__metadata__ is not an object of strings");
  for (const [key, text] of value) {
    if (typeof text !== "string") throw new FormatError(file, `__metadata__ ${quoteForError(key)} is not a string`);
  }
  return value as Map<string, string>;
}

function checkEntry(file: string, name: string, value: JsonValue, dataStart: number): SafetensorsEntry {
  const fail = (fault: string): never => {
    throw new FormatError(file, `tensor ${quoteForError(name)}: ${fault}`);
  };
  if (!(value instanceof Map)) return fail("its entry is not an object");
  for (const key of value.keys()) {
    if (key !== "dtype" && key !== "shape" && key !== "data_offsets") fail(`unknown field ${quoteForError(key)}`);
  }
  const dtypeName = value.get("dtype");
  if (typeof dtypeName !== "string") return fail("dtype is missing or not a string");
  const dtype = DTYPES_BY_NAME.get(dtypeName);
  if (dtype === undefined) {
    return fail(
      `dtype ${quoteForError(dtypeName)} is not supported; it reads ${[...DTYPES_BY_NAME.keys()].join(", ")}`,
    );
  }
  const shape = value.get("shape");
  if (!isNumberArray(shape)) return fail("shape is missing or not an array of numbers");
  const itemBytes = bytesPerHostElement(dtype);
  const count = checkedElementCount(shape, itemBytes);
  if (typeof count === "string") return fail(`it has ${count}`);
  const offsets = value.get("data_offsets");
  if (!isNumberArray(offsets) || offsets.length !== 2 || !offsets.every((o) => Number.isSafeInteger(o) && o >= 0)) {
    return fail("data_offsets is not [begin, end] of integers from 0 to 2^53-1");
  }
  const [begin, end] = offsets;
  if (end < begin || end - begin !== count * itemBytes) {
    return fail(
      `data_offsets [${begin}, ${end}] span ${end - begin} bytes; its dtype and shape need ${count * itemBytes}`,
    );
  }
  return { dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/** The ranges, in order of offset, must follow each other without a gap or an overlap, and end with the file. */
function checkCoverage(source: ByteSource, entries: Map<string, SafetensorsEntry>, dataStart: number): void {
  let expected = dataStart;
  let previous: string | undefined;
  const before = (): string => (previous === undefined ? "the header" : `tensor ${quoteForError(previous)}`);
  for (const [name, { begin, end }] of byOffset(entries)) {
    if (begin < expected) {
      throw new FormatError(
        source.name,
        `tensor ${quoteForError(name)} overlaps ${before()} by ${expected - begin} bytes`,
      );
    }
    if (begin > expected) {
      throw new FormatError(source.name, `hole of ${begin - expected} bytes before tensor ${quoteForError(name)}`);
    }
    if (end > source.size) {
      throw new FormatError(
        source.name,
        `truncated: tensor ${quoteForError(name)} ends at byte ${end}, the file has ${source.size}`,
      );
    }
    expected = end;
    previous = name;
  }
  if (expected !== source.size) {
    throw new FormatError(source.name, `${source.size - expected} bytes after the last tensor belong to none`);
  }
}

/** The entries in order of their offsets: as they stand where they follow each other, which writers see to. */
function byOffset(entries: Map<string, SafetensorsEntry>): Iterable<[string, SafetensorsEntry]> {
  let [begin, end] = [0, 0];
  for (const entry of entries.values()) {
    if (entry.begin < begin || (entry.begin === begin && entry.end < end))
      return [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
    ({ begin, end } = entry);
  }
  return entries;
}

function emitSafetensors(sink: ByteSink, tensors: NamedTensors, metadata: NamedStrings | undefined): void {
  const given: [string, HostTensor][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  for (const [name, tensor] of given) {
    if (name === "__metadata__") throw new Error(`writeSafetensors: a tensor cannot be called "__metadata__"`);
    const fault = hostTensorFault(tensor);
    if (fault !== undefined) throw new Error(`writeSafetensors: tensor ${quoteForError(name)}: ${fault}`);
  }
  const ordered = given.sort(([, a], [, b]) => bytesPerHostElement(b.dtype) - bytesPerHostElement(a.dtype));
  const fields: string[] = [];
  const metadataText = metadataJson(metadata);
  if (metadataText !== undefined) fields.push(`"__metadata__":${metadataText}`);
  let offset = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    const data_offsets = [offset, offset + data.byteLength];
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype: DTYPE_NAMES[dtype], shape, data_offsets })}`);
    offset += data.byteLength;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  // Padded with spaces, so that the data starts 8-byte aligned in the file.
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_SAFETENSORS_HEADER) {
    throw new Error(`writeSafetensors: the header takes ${length} bytes; the format allows ${MAX_SAFETENSORS_HEADER}`);
  }
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  sink.write(header);
  for (const [, tensor] of ordered) sink.write(bytesOf(tensor.data));
}

function metadataJson(metadata: NamedStrings | undefined): string | undefined {
  if (metadata === undefined) return undefined;
  const given = metadata instanceof Map ? [...metadata] : Object.entries(metadata as Record<string, string>);
  if (given.length === 0) return undefined;
  const parts = given.map(([key, text]) => {
    if (typeof text !== "string") throw new Error(`writeSafetensors: metadata ${quoteForError(key)} is not a string`);
    return `${JSON.stringify(key)}:${JSON.stringify(text)}`;
  });
  return `{${parts.join(",")}}`;
}

function isNumberArray(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === "number");
}

/** The first names of a list, for an error that tells what there is. */
function listSome(names: Iterable<string>): string {
  const all = [...names];
  const shown = all.slice(0, 8).map((name) => quoteForError(name, 60));
  return all.length > shown.length ? `${shown.join(", ")} and ${all.length - shown.length} more` : shown.join(", ");
}
