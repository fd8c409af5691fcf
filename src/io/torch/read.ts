/**
 * PyTorch checkpoints (`torch.save`, PyTorch 1.6 and later), read without Python.
 *
 * A checkpoint is a zip archive whose entries share one folder: `data.pkl`, a pickle of the saved value in which a
 * storage is only named; `data/KEY`, the bytes of each storage; `version`; and, from PyTorch 2, `byteorder`. (PyTorch:
 * torch/serialization.py, caffe2/serialize/inline_container.h.)
 *
 * Tensors are views of storages. A tensor that covers its part of a storage in row-major order shares the storage's
 * memory here too, so that tied weights stay one array; any other (transposed, expanded, sliced) is copied out.
 */
import {
  openSource,
  withSource,
  type ByteSource,
  type BytesOrPath,
  whenRead,
  type ByteStream,
} from "../byte-source.ts";
import { FormatError, quoteForError } from "../format-error.ts";
import {
  arrayTypeOf,
  bytesPerHostElement,
  checkedElementCount,
  isHostTensor,
  swapByteOrder,
  viewElements,
  type HostDType,
  type HostTensor,
  type TypedArray,
} from "../host-tensor.ts";
import { describe, PickleFault, type PickleItem } from "./pickle-items.ts";
import { loadPickle } from "./pickle-read.ts";
import { pythonTypeName, type PythonValue } from "./python-values.ts";
import { copyStrided, isRowMajor } from "../strided.ts";
import { Storage, StorageType, torchGlobals } from "./globals.ts";
import { looksLikeZip, ZipReader, type ZipLimits } from "../zip/read.ts";

/** How a PyTorch checkpoint is read, and how much memory it may ask for. */
export interface TorchReadOptions extends ZipLimits {
  /** What errors call in-memory bytes. */
  readonly name?: string;
  /**
   * Bytes that copied (not row-major) tensors may take, besides 16 for each byte of the file. An expanded tensor can
   * be far larger than what the file stores of it. Default 64 MiB.
   */
  readonly maxExpandedBytes?: number;
}

/** Bytes of copies allowed for each byte of the file. */
const EXPANSION_PER_BYTE = 16;
/** Largest `data.pkl`: it holds structure and names, not tensors. */
const MAX_PICKLE_BYTES = 256 * 2 ** 20;

/** From a Blob, a Response or a stream, when all of it is there; otherwise as from bytes. */
export function readTorchCheckpoint(input: ByteStream, options?: TorchReadOptions): Promise<PythonValue>;
/**
 * Reads what `torch.save` wrote: nested Maps, arrays, numbers, strings and HostTensors (see python-values.ts).
 * Throws `FormatError` on anything malformed, on classes and calls outside the allow-list, and on the format of
 * PyTorch before 1.6, with the way to convert it.
 */
export function readTorchCheckpoint(input: BytesOrPath, options?: TorchReadOptions): PythonValue;
export function readTorchCheckpoint(
  input: BytesOrPath | ByteStream,
  options: TorchReadOptions = {},
): PythonValue | Promise<PythonValue> {
  return whenRead(input, (given) => {
    const source = openSource(given, options.name);
    try {
      refuseOtherFormats(source);
      return new CheckpointReader(source, options).read();
    } finally {
      source.close();
    }
  });
}

/** From a Blob, a Response or a stream, when all of it is there; otherwise as from bytes. */
export function readPickle(input: ByteStream, name?: string): Promise<PythonValue>;
/**
 * Reads a pickle of plain values from a file of its own, as `pickle.dump` writes lists of names and labels.
 * The same allow-list holds, and no tensors.
 */
export function readPickle(input: BytesOrPath, name?: string): PythonValue;
export function readPickle(input: BytesOrPath | ByteStream, name?: string): PythonValue | Promise<PythonValue> {
  return whenRead(input, (given) => {
    return withSource(given, name, (source) => {
      if (source.size > MAX_PICKLE_BYTES) {
        throw new FormatError(source.name, `pickle of ${source.size} bytes; at most ${MAX_PICKLE_BYTES} are read`);
      }
      const noTensors = (): never => {
        throw new PickleFault("holds a tensor; save it with torch.save");
      };
      const findGlobal = torchGlobals(noTensors, chargeUpTo(2 ** 20 + source.size, "copies"));
      return loadPickle(source.read(0, source.size, "the pickle"), { file: source.name, findGlobal });
    });
  });
}

/**
 * The state dict inside a checkpoint's value, as named tensors: `value` itself, or its item `key` (default
 * "state_dict"; other programs say "model" or "model_state_dict") if there is one. Throws `FormatError`, naming `file`,
 * when that is not a dict of tensors.
 */
export function stateDictOf(value: PythonValue, key = "state_dict", file = "<checkpoint>"): Map<string, HostTensor> {
  const found = value instanceof Map && value.has(key) ? (value.get(key) as PythonValue) : value;
  if (!(found instanceof Map)) throw new FormatError(file, `state dict is a ${pythonTypeName(found)}, not a dict`);
  const result = new Map<string, HostTensor>();
  for (const [name, tensor] of found) {
    if (typeof name !== "string" || !isHostTensor(tensor)) {
      throw new FormatError(
        file,
        `state dict has ${typeof name === "string" ? quoteForError(name) : `a ${pythonTypeName(name)} as a key`}: ` +
          `${pythonTypeName(tensor)}; it takes names and tensors only` +
          (tensor instanceof Map && found === value ? `; name the entry that is one, stateDictOf(value, "model")` : ""),
      );
    }
    result.set(name, tensor);
  }
  return result;
}

class CheckpointReader {
  readonly #zip: ZipReader;
  readonly #folder: string;
  readonly #bigEndian: boolean;
  readonly #storages = new Map<string, Uint8Array>();
  readonly #chargeExpanded: (bytes: number) => void;

  readonly #source: ByteSource;
  constructor(source: ByteSource, options: TorchReadOptions) {
    this.#source = source;
    this.#zip = new ZipReader(source, options);
    this.#folder = this.#findFolder();
    this.#bigEndian = this.#readByteOrder() === "big";
    this.#chargeExpanded = chargeUpTo(
      (options.maxExpandedBytes ?? 64 * 2 ** 20) + EXPANSION_PER_BYTE * source.size,
      "copies of expanded or strided tensors (the option maxExpandedBytes raises the limit)",
    );
  }

  read(): PythonValue {
    const name = `${this.#folder}data.pkl`;
    const size = this.#zip.entries.get(name)?.size ?? 0;
    if (size > MAX_PICKLE_BYTES) {
      throw new FormatError(this.#source.name, `data.pkl of ${size} bytes; at most ${MAX_PICKLE_BYTES} are read`);
    }
    const pickle = this.#zip.read(name);
    return loadPickle(pickle, {
      file: this.#source.name,
      findGlobal: torchGlobals(this.#buildTensor, chargeUpTo(2 ** 20 + pickle.length, "copies")),
      persistentLoad: this.#loadStorage,
    });
  }

  #findFolder(): string {
    const candidates = [...this.#zip.entries.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
    if (candidates.length !== 1) {
      throw new FormatError(
        this.#source.name,
        candidates.length === 0
          ? "is a zip archive, but not a PyTorch checkpoint: it has no FOLDER/data.pkl"
          : `has ${candidates.length} entries FOLDER/data.pkl; a checkpoint has one`,
      );
    }
    const folder = candidates[0].slice(0, -"data.pkl".length);
    if (this.#zip.entries.has(`${folder}constants.pkl`)) {
      throw new FormatError(
        this.#source.name,
        "is a TorchScript program, not a checkpoint; save its state_dict() instead",
      );
    }
    return folder;
  }

  #readByteOrder(): "little" | "big" {
    const name = `${this.#folder}byteorder`;
    const size = this.#zip.entries.get(name)?.size;
    if (size === undefined) return "little";
    const text = size <= 16 ? new TextDecoder().decode(this.#zip.read(name)) : "";
    if (text !== "little" && text !== "big") throw new FormatError(this.#source.name, "byteorder is not little or big");
    return text;
  }

  /** A storage's persistent id is ("storage", storage class, key, device, element count). */
  readonly #loadStorage = (id: PickleItem): PickleItem => {
    if (!Array.isArray(id) || id.length !== 5 || id[0] !== "storage") {
      throw new PickleFault(`has a persistent id that is not a storage's: ${describe(id)}`);
    }
    const [, type, key, , count] = id as readonly PickleItem[];
    if (!(type instanceof StorageType) || typeof key !== "string" || !Number.isSafeInteger(count)) {
      throw new PickleFault("has a storage's persistent id with a wrong class, key or element count");
    }
    const itemBytes = type.dtype === undefined ? 1 : bytesPerHostElement(type.dtype);
    const bytes = this.#storageBytes(key, itemBytes);
    if (bytes.length !== (count as number) * itemBytes) {
      throw new PickleFault(
        `storage ${quoteForError(key)} should have ${count as number} elements of ${itemBytes} bytes; the file has ` +
          `${bytes.length} bytes of it`,
      );
    }
    return new Storage(key, type.dtype, bytes);
  };

  #storageBytes(key: string, itemBytes: number): Uint8Array {
    // Elements of different sizes need different swaps: each is a copy of its own.
    const cacheKey = this.#bigEndian ? `${itemBytes}/${key}` : key;
    const known = this.#storages.get(cacheKey);
    if (known !== undefined) return known;
    const name = `${this.#folder}data/${key}`;
    if (!this.#zip.entries.has(name)) throw new PickleFault(`storage ${quoteForError(key)} is not in the file`);
    if (this.#bigEndian && itemBytes === 1) {
      throw new PickleFault(
        "a storage of single bytes in a big-endian file may hold wider elements, which is not read",
      );
    }
    const stored = this.#zip.read(name);
    // Aligned once here, so that every tensor of the storage shares one array.
    const bytes = this.#bigEndian
      ? swapByteOrder(stored, itemBytes)
      : stored.byteOffset % 8 === 0
        ? stored
        : stored.slice();
    this.#storages.set(cacheKey, bytes);
    return bytes;
  }

  readonly #buildTensor = (
    storage: Storage,
    dtype: HostDType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ): HostTensor => {
    const itemBytes = bytesPerHostElement(dtype);
    const count = checkedElementCount(shape, itemBytes);
    if (typeof count === "string") throw new PickleFault(`builds a tensor with ${count}`);
    const available = Math.floor(storage.bytes.length / itemBytes);
    let last = offset;
    for (let axis = 0; axis < shape.length; axis++) last += (shape[axis] - 1) * strides[axis];
    if (count > 0 && !(last < available)) {
      throw new PickleFault(
        `builds a tensor that reaches element ${last} of storage ${quoteForError(storage.key)}, which has ${available}`,
      );
    }
    const ArrayType = arrayTypeOf(dtype);
    if (count === 0) return { dtype, shape, data: new ArrayType(0) };
    if (isRowMajor(shape, strides)) {
      return { dtype, shape, data: viewElements(storage.bytes.subarray(offset * itemBytes), dtype, count) };
    }
    this.#chargeExpanded(count * itemBytes);
    const elements = viewElements(storage.bytes, dtype, available);
    let data: TypedArray;
    try {
      data = new ArrayType(count);
    } catch {
      throw new PickleFault(
        `builds a tensor of ${count * itemBytes} bytes, more than one array can hold in this process`,
      );
    }
    copyStrided(elements, offset, shape, strides, data);
    return { dtype, shape, data };
  };
}

/** A counter of bytes that throws past its limit. */
function chargeUpTo(limit: number, what: string): (bytes: number) => void {
  let used = 0;
  return (bytes) => {
    used += bytes;
    if (used > limit) throw new PickleFault(`takes more than ${limit} bytes for ${what}`);
  };
}

/** The pickle of the number 0x1950a86a20f9469cfc6c, with which files of PyTorch before 1.6 start. */
const LEGACY_MAGIC = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

function refuseOtherFormats(source: ByteSource): void {
  if (looksLikeZip(source)) return;
  const head = source.read(0, Math.min(source.size, 512), "the file's start");
  const legacyPickle = head[0] === 0x80 && LEGACY_MAGIC.every((byte, i) => head[2 + i] === byte);
  const legacyTar = head.length >= 262 && String.fromCharCode(...head.subarray(257, 262)) === "ustar";
  if (legacyPickle || legacyTar) {
    throw new FormatError(
      source.name,
      "is in the format of PyTorch before 1.6, which is not read; convert it with PyTorch: " +
        `python3 -c "import torch; torch.save(torch.load('IN', map_location='cpu'), 'OUT')"`,
    );
  }
  throw new FormatError(source.name, "is not a PyTorch checkpoint: it does not start as a zip archive does");
}
