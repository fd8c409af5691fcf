/**
 * MATLAB's `.mat` files of level 5 (`save` without options, `-v6`, `-v7`): their numeric arrays, read without MATLAB.
 *
 * A file is a header of 128 bytes and elements of (type, size, data), each possibly zlib-compressed. Real numeric
 * arrays are read, whatever type they are stored in; other variables (cells, structures, text, sparse and complex
 * arrays) are named in an error when somebody asks for them. Files of `-v7.3` are HDF5, and refused with the way out.
 */
import { builtinOrNone } from "./builtin.ts";
import { type BytesOrPath, withSource, whenRead, type ByteStream } from "./byte-source.ts";
import { FormatError, quoteForError } from "./format-error.ts";
import { inflateRaw, InflateTooLarge } from "./zip/inflate.ts";
import { checkedElementCount, type HostTensor } from "./host-tensor.ts";
import { formatShape } from "../tensor/shape.ts";

/** A variable of a file: an array as float64 in row-major order, or why it is not one. */
export type MatVariable = HostTensor | { readonly refused: string };

/** A zlib stream (RFC 1950) unpacked: by zlib, or by the package's own code in browsers, without its checksum. */
function inflateZlib(data: Uint8Array, most: number): Uint8Array {
  const zlib = builtinOrNone<typeof import("node:zlib")>("node:zlib");
  return zlib ? zlib.inflateSync(data, { maxOutputLength: most }) : inflateRaw(data.subarray(2), most);
}

/** Most bytes a file may unpack to. */
const MAX_UNPACKED = 2 ** 28;
/** Most axes of an array. */
const MAX_AXES = 32;
/** Most variables of a file. */
const MAX_VARIABLES = 4096;

const COMPRESSED = 15;
const MATRIX = 14;

const CLASS_NAMES: Readonly<Record<number, string>> = {
  1: "a cell array",
  2: "a structure",
  3: "an object",
  4: "text",
  5: "a sparse array",
  16: "a function",
  17: "an opaque object",
};

interface Element {
  readonly type: number;
  readonly data: Uint8Array;
  readonly next: number;
}

/** From a Blob, a Response or a stream, when all of it is there; otherwise as from bytes. */
export function readMat(input: ByteStream, name?: string): Promise<Map<string, MatVariable>>;
/** Every variable of a file by name. @throws FormatError on anything malformed. */
export function readMat(input: BytesOrPath, name?: string): Map<string, MatVariable>;
export function readMat(
  input: BytesOrPath | ByteStream,
  name?: string,
): Map<string, MatVariable> | Promise<Map<string, MatVariable>> {
  return whenRead(input, (given) => {
    return withSource(given, name, (source) => {
      if (source.size > MAX_UNPACKED) {
        throw new FormatError(source.name, `is ${source.size} bytes; .mat files are read up to ${MAX_UNPACKED}`);
      }
      return new MatReader(source.name, source.read(0, source.size, "the file")).run();
    });
  });
}

/**
 * The array called `name` among the `variables` that `readMat` found in `file`. @throws FormatError naming what there
 * is instead.
 */
export function matArray(variables: ReadonlyMap<string, MatVariable>, name: string, file: string): HostTensor {
  const found = variables.get(name);
  if (found === undefined) {
    const known = [...variables.keys()].slice(0, 16).map((key) => quoteForError(key, 60));
    throw new FormatError(file, `has no variable "${name}"; it has ${known.join(", ") || "none"}`);
  }
  if ("refused" in found) throw new FormatError(file, `variable "${name}" is ${found.refused}; a real array is needed`);
  return found;
}

class MatReader {
  #little = true;
  #unpacked = 0;

  readonly #file: string;
  readonly #bytes: Uint8Array;
  constructor(file: string, bytes: Uint8Array) {
    this.#file = file;
    this.#bytes = bytes;
  }

  run(): Map<string, MatVariable> {
    this.#header();
    const variables = new Map<string, MatVariable>();
    for (let at = 128; at < this.#bytes.length; ) {
      const { type, data, next } = this.#element(this.#bytes, at, false);
      at = next;
      const matrix = type === COMPRESSED ? this.#inflated(data) : type === MATRIX ? data : undefined;
      if (matrix === undefined) throw this.#fault(`an element of type ${type} where a variable belongs`);
      const { name, variable } = this.#variable(matrix);
      if (variables.has(name)) throw this.#fault(`holds the variable ${quoteForError(name, 60)} twice`);
      if (variables.size === MAX_VARIABLES) throw this.#fault(`holds more than ${MAX_VARIABLES} variables`);
      variables.set(name, variable);
    }
    return variables;
  }

  #fault(detail: string): FormatError {
    return new FormatError(this.#file, detail);
  }

  #header(): void {
    const bytes = this.#bytes;
    const text = String.fromCharCode(...bytes.subarray(0, 19));
    if (text.startsWith("MATLAB 7.3") || text.startsWith("\x89HDF")) {
      throw this.#fault("is a MATLAB file of version 7.3 (HDF5), which is not read; save it with save(..., '-v7')");
    }
    if (bytes.length < 128 || !text.startsWith("MATLAB 5.0 MAT-file")) {
      throw this.#fault("is not a MATLAB 5 file: its first words must be MATLAB 5.0 MAT-file");
    }
    const mark = String.fromCharCode(bytes[126], bytes[127]);
    if (mark !== "IM" && mark !== "MI") throw this.#fault("has no byte order mark (IM or MI) at byte 126");
    this.#little = mark === "IM";
  }

  #view(bytes: Uint8Array): DataView {
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** The element at `at`; inside a variable, elements are padded to 8 bytes. */
  #element(bytes: Uint8Array, at: number, padded: boolean): Element {
    if (at + 8 > bytes.length) throw this.#fault(`truncated: ${bytes.length - at} bytes where an element of 8 begins`);
    const view = this.#view(bytes);
    const first = view.getUint32(at, this.#little);
    if (first >>> 16 !== 0) {
      const size = first >>> 16;
      if (size > 4) throw this.#fault(`a small element of ${size} bytes; at most 4 fit`);
      return { type: first & 0xffff, data: bytes.subarray(at + 4, at + 4 + size), next: at + 8 };
    }
    const size = view.getUint32(at + 4, this.#little);
    const end = at + 8 + size;
    if (end > bytes.length) {
      throw this.#fault(`truncated: an element of ${size} bytes, ${bytes.length - at - 8} are left`);
    }
    const next = padded ? Math.min(bytes.length, (end + 7) & ~7) : end;
    return { type: first, data: bytes.subarray(at + 8, end), next };
  }

  #inflated(data: Uint8Array): Uint8Array {
    let plain: Uint8Array;
    try {
      plain = inflateZlib(data, MAX_UNPACKED - this.#unpacked + 1);
    } catch (error) {
      if (error instanceof InflateTooLarge || (error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE") {
        throw this.#fault(`unpacks to more than ${MAX_UNPACKED} bytes, which is refused`);
      }
      throw this.#fault(`a compressed variable is damaged: ${(error as Error).message}`);
    }
    this.#unpacked += plain.length;
    const { type, data: inner } = this.#element(plain, 0, false);
    if (type !== MATRIX) throw this.#fault(`a compressed element of type ${type}; it must be a variable`);
    return inner;
  }

  #variable(matrix: Uint8Array): { name: string; variable: MatVariable } {
    const flags = this.#element(matrix, 0, true);
    if (flags.type !== 6 || flags.data.length !== 8) throw this.#fault("a variable does not begin with its flags");
    const word = this.#view(flags.data).getUint32(0, this.#little);
    const kind = word & 0xff;
    // An opaque object has no sizes; its name comes at once.
    const sizes = kind === 17 ? flags : this.#element(matrix, flags.next, true);
    const label = this.#element(matrix, sizes.next, true);
    if (label.type !== 1) throw this.#fault("a variable has no name");
    const name = String.fromCharCode(...label.data);
    if (Object.hasOwn(CLASS_NAMES, kind)) return { name, variable: { refused: CLASS_NAMES[kind] } };
    if (kind < 6 || kind > 15) throw this.#fault(`variable ${quoteForError(name, 60)} is of the unknown class ${kind}`);
    if ((word & 0x800) !== 0) return { name, variable: { refused: "a complex array" } };
    if (sizes.type !== 5 || sizes.data.length % 4 !== 0 || sizes.data.length < 8)
      throw this.#fault(`variable ${quoteForError(name, 60)} has no sizes`);
    const shape = Array.from({ length: sizes.data.length / 4 }, (_, i) =>
      this.#view(sizes.data).getInt32(4 * i, this.#little),
    );
    if (shape.length > MAX_AXES) throw this.#fault(`an array of ${shape.length} axes; at most ${MAX_AXES} are read`);
    const count = checkedElementCount(shape, 8);
    if (typeof count === "string") throw this.#fault(`variable ${quoteForError(name, 60)} has ${count}`);
    const values = this.#numbers(this.#element(matrix, label.next, true), count, name, shape);
    return { name, variable: { dtype: "f64", shape, data: rowMajor(values, shape) } };
  }

  /** Numbers of any storage type: MATLAB stores a double that is a small integer as one. */
  #numbers({ type, data }: Element, count: number, name: string, shape: readonly number[]): Float64Array {
    const view = this.#view(data);
    const little = this.#little;
    const readers: Readonly<Record<number, readonly [number, (at: number) => number]>> = {
      1: [1, (at) => view.getInt8(at)],
      2: [1, (at) => view.getUint8(at)],
      3: [2, (at) => view.getInt16(at, little)],
      4: [2, (at) => view.getUint16(at, little)],
      5: [4, (at) => view.getInt32(at, little)],
      6: [4, (at) => view.getUint32(at, little)],
      7: [4, (at) => view.getFloat32(at, little)],
      9: [8, (at) => view.getFloat64(at, little)],
      12: [8, (at) => exact(view.getBigInt64(at, little), this.#file)],
      13: [8, (at) => exact(view.getBigUint64(at, little), this.#file)],
    };
    if (!Object.hasOwn(readers, type))
      throw this.#fault(`variable ${quoteForError(name, 60)} is stored as type ${type}`);
    const [size, read] = readers[type];
    if (data.length !== count * size) {
      throw this.#fault(
        `variable ${quoteForError(name, 60)} of sizes ${formatShape(shape)} needs ${count * size} bytes, has ${data.length}`,
      );
    }
    return Float64Array.from({ length: count }, (_, i) => read(i * size));
  }
}

function exact(value: bigint, file: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new FormatError(file, `holds the integer ${value}, beyond ±(2^53-1), which a number cannot hold exactly`);
}

/** From MATLAB's order, first axis fastest, to last axis fastest. */
function rowMajor(values: Float64Array, shape: readonly number[]): Float64Array {
  const out = new Float64Array(values.length);
  const index = new Array<number>(shape.length).fill(0);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    out[at] = values[i];
    for (let axis = 0; axis < shape.length; axis++) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return out;
}
