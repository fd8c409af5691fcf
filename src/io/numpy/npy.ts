/**
 * npy: NumPy's file of one array.
 *
 * Layout (NEP 1 and numpy.lib.format): the bytes `\x93NUMPY`, a major and a minor version, the header's length (16
 * bits in version 1, 32 bits in versions 2 and 3), the header, the elements. The header is the text of a Python dict
 * with `descr` (element type), `fortran_order` and `shape`; ASCII-compatible Latin-1, in version 3 UTF-8.
 *
 * Arrays of Python objects are refused: their content is a pickle, which can run code.
 */
import {
  openSource,
  withSource,
  type ByteSource,
  type BytesOrPath,
  whenRead,
  type ByteStream,
} from "../byte-source.ts";
import { collectBytes, writeFileAtomic, type ByteSink } from "../byte-sink.ts";
import { FormatError, quoteForError } from "../format-error.ts";
import {
  arrayTypeOf,
  bytesOf,
  bytesPerHostElement,
  checkedElementCount,
  hostTensorFault,
  swapByteOrder,
  viewElements,
  type HostDType,
  type HostTensor,
} from "../host-tensor.ts";
import { LiteralFault, parsePythonLiteral, type LiteralValue } from "./python-literal.ts";
import { copyStrided } from "../strided.ts";
import { contiguousStrides } from "../../tensor/shape.ts";

/** An array of text (`<U12`, `S8`): names and labels in npy and npz files. */
export interface HostStrings {
  readonly dtype: "str";
  readonly shape: readonly number[];
  readonly data: string[];
}

/** What an npy file holds: numbers, or text. */
export type NpyArray = HostTensor | HostStrings;

const DTYPES: ReadonlyMap<string, HostDType> = new Map([
  ["f8", "f64"],
  ["f4", "f32"],
  ["f2", "f16"],
  ["i8", "i64"],
  ["i4", "i32"],
  ["i2", "i16"],
  ["i1", "i8"],
  ["u8", "u64"],
  ["u4", "u32"],
  ["u2", "u16"],
  ["u1", "u8"],
  ["b1", "bool"],
]);

/** Longest header read. NumPy's own default limit is 10,000; only structured types, not read here, need more. */
const MAX_HEADER = 65_536;
/** Longest header a version 1 file can have. */
const MAX_HEADER_V1 = 65_535;

/** What an npy header says. `kind` is "str" for `U` (UTF-32) and "bytes" for `S` (one byte a character) text. */
interface NpyHeader {
  readonly kind: HostDType | "str" | "bytes";
  readonly itemBytes: number;
  readonly bigEndian: boolean;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
  readonly count: number;
  readonly dataStart: number;
}

/** From a Blob, a Response or a stream, called `name` in errors, when all of it is there; otherwise as from bytes. */
export function readNpy(input: ByteStream, name?: string): Promise<HostTensor>;
/**
 * Reads an npy file of numbers or booleans. Fortran-order arrays come in row-major order, big-endian ones in the
 * machine's. From bytes, the tensor shares their memory where it is aligned. Throws `FormatError` on anything
 * malformed, and on text (read that with {@link readNpyArray}).
 *
 * @param name what errors call bytes that are given; a file is called by its path.
 */
export function readNpy(input: BytesOrPath, name?: string): HostTensor;
export function readNpy(input: BytesOrPath | ByteStream, name?: string): HostTensor | Promise<HostTensor> {
  return whenRead(input, (given) => {
    return withSource(given, name, (source) => numeric(source.name, readArray(source)));
  });
}

/** From a Blob, a Response or a stream, called `name` in errors, when all of it is there; otherwise as from bytes. */
export function readNpyArray(input: ByteStream, name?: string): Promise<NpyArray>;
/**
 * Reads an npy file of numbers, booleans or text. Throws `FormatError` on anything malformed.
 *
 * @param name what errors call bytes that are given; a file is called by its path.
 */
export function readNpyArray(input: BytesOrPath, name?: string): NpyArray;
export function readNpyArray(input: BytesOrPath | ByteStream, name?: string): NpyArray | Promise<NpyArray> {
  return whenRead(input, (given) => {
    return withSource(given, name, readArray);
  });
}

/** An open npy file that is read by ranges of its first axis: for data sets larger than memory. */
export class NpyFile {
  readonly dtype: HostDType;
  readonly shape: readonly number[];
  readonly #header: NpyHeader;

  readonly #source: ByteSource;
  private constructor(source: ByteSource) {
    this.#source = source;
    const header = readHeader(source);
    if (header.kind === "str" || header.kind === "bytes") throw textFault(source.name);
    if (header.fortranOrder && header.shape.length > 1) {
      throw new FormatError(
        source.name,
        "is in Fortran order, which has no contiguous rows; save it with np.ascontiguousarray(x), or read it whole with readNpy",
      );
    }
    if (header.shape.length === 0) throw new FormatError(source.name, "is a scalar, which has no rows; use readNpy");
    this.#header = header;
    this.dtype = header.kind;
    this.shape = header.shape;
  }

  /** Opens a file by path, or bytes called `name`. @throws FormatError where it is none */
  static open(input: BytesOrPath, name?: string): NpyFile {
    const source = openSource(input, name);
    try {
      return new NpyFile(source);
    } catch (error) {
      source.close();
      throw error;
    }
  }

  /** Rows `[start, start + count)` of the first axis: shape `(count, ...shape[1:])`. Throws when out of range. */
  readRows(start: number, count: number): HostTensor {
    const rows = this.shape[0];
    if (!Number.isInteger(start) || !Number.isInteger(count) || start < 0 || count < 0 || start + count > rows) {
      throw new Error(`${this.#source.name}: rows ${start} to ${start + count} asked for; it has rows 0 to ${rows}`);
    }
    const rowElements = rows === 0 ? 0 : this.#header.count / rows;
    const rowBytes = rowElements * this.#header.itemBytes;
    const bytes = this.#source.read(this.#header.dataStart + start * rowBytes, count * rowBytes, "rows");
    const native = this.#header.bigEndian ? swapByteOrder(bytes, this.#header.itemBytes) : bytes;
    return {
      dtype: this.dtype,
      shape: [count, ...this.shape.slice(1)],
      data: viewElements(native, this.dtype, count * rowElements),
    };
  }

  /** Closes the file. */
  close(): void {
    this.#source.close();
  }
}

/**
 * Opens an npy file of numbers or booleans in C order to read it by rows; `close()` it afterwards.
 *
 * @param name what errors call bytes that are given; a file is called by its path.
 */
export function openNpy(input: BytesOrPath, name?: string): NpyFile {
  return NpyFile.open(input, name);
}

/**
 * Writes an npy file to `path` (version 1.0, C order, little-endian), whole or not at all. bf16 has no npy type and
 * throws.
 */
export function writeNpy(path: string, array: NpyArray): void {
  writeFileAtomic(path, (sink) => emitNpy(sink, array));
}

/** The bytes {@link writeNpy} would write. */
export function encodeNpy(array: NpyArray): Uint8Array {
  return collectBytes((sink) => emitNpy(sink, array));
}

function numeric(file: string, array: NpyArray): HostTensor {
  if (array.dtype === "str") throw textFault(file);
  return array;
}

function textFault(file: string): FormatError {
  return new FormatError(file, "holds text, not numbers; read it with readNpyArray");
}

function readHeader(source: ByteSource): NpyHeader {
  const start = source.read(0, 8, "the npy signature");
  if (start[0] !== 0x93 || String.fromCharCode(...start.subarray(1, 6)) !== "NUMPY") {
    throw new FormatError(source.name, "is not an npy file: it does not start with \\x93NUMPY");
  }
  const [major, minor] = [start[6], start[7]];
  if (major < 1 || major > 3 || minor !== 0) {
    throw new FormatError(source.name, `npy version ${major}.${minor} is unknown; 1.0, 2.0 and 3.0 are read`);
  }
  const lengthBytes = major === 1 ? 2 : 4;
  const prefix = source.read(8, lengthBytes, "the header's length");
  const view = new DataView(prefix.buffer, prefix.byteOffset, lengthBytes);
  const length = major === 1 ? view.getUint16(0, true) : view.getUint32(0, true);
  if (length > MAX_HEADER) {
    throw new FormatError(source.name, `header of ${length} bytes; at most ${MAX_HEADER} are read`);
  }
  const bytes = source.read(8 + lengthBytes, length, "the header");
  let text: string;
  try {
    text = new TextDecoder(major === 3 ? "utf-8" : "latin1", { fatal: true }).decode(bytes);
  } catch {
    throw new FormatError(source.name, "header is not valid UTF-8");
  }
  const header = parseHeader(source.name, text, 8 + lengthBytes + length);
  const expected = header.dataStart + header.count * header.itemBytes;
  if (expected !== source.size) {
    throw new FormatError(
      source.name,
      source.size < expected
        ? `truncated: the array ends at byte ${expected}, the file has ${source.size}`
        : `${source.size - expected} bytes follow the array`,
    );
  }
  return header;
}

function parseHeader(file: string, text: string, dataStart: number): NpyHeader {
  let fields: LiteralValue;
  try {
    fields = parsePythonLiteral(text);
  } catch (error) {
    if (!(error instanceof LiteralFault)) throw error;
    throw new FormatError(file, `header is not a Python dict: ${error.message}`);
  }
  if (!(fields instanceof Map)) throw new FormatError(file, "header is not a Python dict");
  for (const key of fields.keys()) {
    if (key !== "descr" && key !== "fortran_order" && key !== "shape") {
      throw new FormatError(file, `header has an unknown key ${quoteForError(String(key))}`);
    }
  }
  const fortranOrder = fields.get("fortran_order");
  if (typeof fortranOrder !== "boolean") throw new FormatError(file, "header's fortran_order is not True or False");
  const shape = fields.get("shape");
  if (!Array.isArray(shape) || !shape.every((size) => typeof size === "number")) {
    throw new FormatError(file, "header's shape is not a tuple of integers");
  }
  const type = parseDescr(file, fields.get("descr"));
  // Text of no characters (`<U0`) still counts its elements, so that they are bounded like any others.
  const count = checkedElementCount(shape as number[], Math.max(1, type.itemBytes));
  if (typeof count === "string") throw new FormatError(file, `the array has ${count}`);
  if (type.itemBytes === 0 && count > MAX_EMPTY_STRINGS) {
    throw new FormatError(file, `${count} strings of no characters; at most ${MAX_EMPTY_STRINGS} are read`);
  }
  return { ...type, fortranOrder, shape: shape as number[], count, dataStart };
}

/** Strings of no characters take no bytes in the file, so the file's size does not bound them. */
const MAX_EMPTY_STRINGS = 1_000_000;

function parseDescr(
  file: string,
  descr: LiteralValue | undefined,
): { kind: NpyHeader["kind"]; itemBytes: number; bigEndian: boolean } {
  if (Array.isArray(descr))
    throw new FormatError(file, "holds records (a structured dtype); save its fields separately");
  const match = typeof descr === "string" ? /^([<>=|]?)([a-zA-Z])(\d{0,9})$/.exec(descr) : null;
  if (match === null) throw new FormatError(file, `header's descr is not an element type`);
  const [, order, kind, size] = match;
  const bigEndian = order === ">";
  if (kind === "O") throw new FormatError(file, "holds Python objects, which are refused: a pickle could run code");
  if (kind === "U") return { kind: "str", itemBytes: 4 * Number(size), bigEndian };
  if (kind === "S" || kind === "a") return { kind: "bytes", itemBytes: Number(size), bigEndian: false };
  const dtype = kind === "?" ? "bool" : DTYPES.get(kind + size);
  if (dtype === undefined) {
    const known = [...DTYPES.keys()].join(", ");
    throw new FormatError(file, `element type ${quoteForError(match[0])} is not supported; it reads ${known}, U and S`);
  }
  const itemBytes = bytesPerHostElement(dtype);
  return { kind: dtype, itemBytes, bigEndian: bigEndian && itemBytes > 1 };
}

function readArray(source: ByteSource): NpyArray {
  const header = readHeader(source);
  const { kind, itemBytes, count, shape } = header;
  let bytes = source.read(header.dataStart, count * itemBytes, "the array");
  if (kind === "str" || kind === "bytes") {
    const strings = kind === "str" ? decodeUtf32(source.name, bytes, header) : decodeByteStrings(bytes, header);
    return { dtype: "str", shape, data: header.fortranOrder ? stringsToRowMajor(strings, shape) : strings };
  }
  if (header.bigEndian) bytes = swapByteOrder(bytes, itemBytes);
  const data = viewElements(bytes, kind, count);
  if (!header.fortranOrder || shape.length < 2) return { dtype: kind, shape, data };
  const ordered = new (arrayTypeOf(kind))(count);
  copyStrided(data, 0, shape, fortranStrides(shape), ordered);
  return { dtype: kind, shape, data: ordered };
}

function fortranStrides(shape: readonly number[]): number[] {
  return contiguousStrides([...shape].reverse()).reverse();
}

function stringsToRowMajor(strings: string[], shape: readonly number[]): string[] {
  const positions = Float64Array.from(strings.keys());
  const ordered = new Float64Array(strings.length);
  copyStrided(positions, 0, shape, fortranStrides(shape), ordered);
  return Array.from(ordered, (position) => strings[position]);
}

/** NumPy pads text with zero characters, and drops them on reading. */
function decodeUtf32(file: string, bytes: Uint8Array, { itemBytes, count, bigEndian }: NpyHeader): string[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const result = new Array<string>(count);
  for (let i = 0; i < count; i++) {
    let end = itemBytes;
    while (end > 0 && view.getUint32(i * itemBytes + end - 4, true) === 0) end -= 4;
    let text = "";
    for (let at = 0; at < end; at += 4) {
      const point = view.getUint32(i * itemBytes + at, !bigEndian);
      if (point > 0x10ffff) {
        throw new FormatError(file, `string ${i} has the code point 0x${point.toString(16)}; Unicode ends at 0x10ffff`);
      }
      text += String.fromCodePoint(point);
    }
    result[i] = text;
  }
  return result;
}

function decodeByteStrings(bytes: Uint8Array, { itemBytes, count }: NpyHeader): string[] {
  const decoder = new TextDecoder("latin1");
  const result = new Array<string>(count);
  for (let i = 0; i < count; i++) {
    let end = (i + 1) * itemBytes;
    while (end > i * itemBytes && bytes[end - 1] === 0) end--;
    result[i] = decoder.decode(bytes.subarray(i * itemBytes, end));
  }
  return result;
}

function emitNpy(sink: ByteSink, array: NpyArray): void {
  const { descr, bytes } = array.dtype === "str" ? encodeUtf32(array) : encodeNumbers(array);
  const shape = array.shape.length === 1 ? `(${array.shape[0]},)` : `(${array.shape.join(", ")})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  // Padded with spaces and a line end, so that the elements start 64-byte aligned.
  const total = Math.ceil((10 + text.length + 1) / 64) * 64;
  if (total - 10 > MAX_HEADER_V1) throw new Error("writeNpy: the shape's text passes npy's header limit");
  const header = new Uint8Array(total).fill(0x20);
  header.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  new DataView(header.buffer).setUint16(8, total - 10, true);
  header.set(new TextEncoder().encode(text), 10);
  header[total - 1] = 0x0a;
  sink.write(header);
  sink.write(bytes);
}

function encodeNumbers(tensor: HostTensor): { descr: string; bytes: Uint8Array } {
  const fault = hostTensorFault(tensor);
  if (fault !== undefined) throw new Error(`writeNpy: ${fault}`);
  const code = [...DTYPES].find(([, dtype]) => dtype === tensor.dtype)?.[0];
  if (code === undefined) throw new Error(`writeNpy: npy has no element type for ${tensor.dtype}; convert it to f32`);
  return { descr: `${bytesPerHostElement(tensor.dtype) === 1 ? "|" : "<"}${code}`, bytes: bytesOf(tensor.data) };
}

function encodeUtf32({ shape, data }: HostStrings): { descr: string; bytes: Uint8Array } {
  const count = checkedElementCount(shape, 1);
  if (count !== data.length)
    throw new Error(`writeNpy: shape [${shape.join(", ")}] does not hold ${data.length} strings`);
  const points = data.map((text) => Array.from(text, (character) => character.codePointAt(0) as number));
  const width = points.reduce((longest, list) => Math.max(longest, list.length), 1);
  const bytes = new Uint8Array(4 * width * data.length);
  const view = new DataView(bytes.buffer);
  points.forEach((list, i) => list.forEach((point, j) => view.setUint32(4 * (i * width + j), point, true)));
  return { descr: `<U${width}`, bytes };
}
