/**
 * Pickle, protocol 2, of the plain values of python-values.ts: the one form that every PyTorch 1.6 and later reads,
 * also with `weights_only=True`.
 *
 * Containers, tensors and strings that occur more than once are written once and referred to (the memo), so shared
 * objects stay shared. The opcodes are those that CPython's own pickler picks for the same value.
 */
import { isHostTensor, type HostTensor } from "../host-tensor.ts";
import { MAX_PICKLE_DEPTH } from "./plain-check.ts";
import { OrderedDict, pythonTypeName, TorchDevice, TorchDType } from "./python-values.ts";

/** What a writer takes: values of python-values.ts, and plain objects, which become dicts with string keys. */
export type PicklableValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly PicklableValue[]
  | ReadonlyMap<unknown, unknown>
  | { readonly [key: string]: PicklableValue }
  | HostTensor
  | TorchDType
  | TorchDevice
  | Uint8Array;

/** Writes one tensor, by the instructions that rebuild it. */
type TensorPickler = (tensor: HostTensor, writer: PickleWriter, path: string) => void;

export class PickleWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #memoSize = 0;
  readonly #memo = new Map<unknown, number>();
  readonly #globals = new Map<string, number>();
  readonly #open = new Set<unknown>();

  readonly #pickleTensor: TensorPickler;
  constructor(pickleTensor: TensorPickler) {
    this.#pickleTensor = pickleTensor;
  }

  /** The pickle of `value`. Throws, naming the place in `value`, on what has no plain Python form. */
  dump(value: PicklableValue): Uint8Array {
    this.#opcode(0x80, 2); // PROTO
    this.value(value, "value");
    this.#opcode(0x2e); // STOP
    return this.#bytes.slice(0, this.#length);
  }

  /** Pushes a value; `path` names it in errors. */
  value(value: PicklableValue, path: string): void {
    if (value === null) return this.#opcode(0x4e); // NONE
    if (typeof value === "boolean") return this.#opcode(value ? 0x88 : 0x89); // NEWTRUE, NEWFALSE
    if (typeof value === "number") return this.#number(value);
    if (typeof value === "bigint") return this.#integer(value, path);
    if (typeof value === "string") return this.#string(value, path);
    if (typeof value !== "object") throw this.#unwritable(value, path);
    if (this.#recall(value)) return;
    if (this.#open.has(value)) throw new Error(`writeTorchCheckpoint: ${path} contains itself`);
    if (this.#open.size >= MAX_PICKLE_DEPTH && isContainer(value)) {
      throw new Error(`writeTorchCheckpoint: ${path} is nested deeper than ${MAX_PICKLE_DEPTH} levels`);
    }
    this.#open.add(value);
    this.#object(value, path);
    this.#open.delete(value);
  }

  /** Pushes a function or class by name. */
  global(module: string, name: string): void {
    const key = `global ${module} ${name}`;
    const known = this.#globals.get(key);
    if (known !== undefined) return this.#get(known);
    this.#opcode(0x63); // GLOBAL
    this.#ascii(`${module}\n${name}\n`);
    this.#globals.set(key, this.#put());
  }

  /** Pushes a tuple of what `items` push, one value each. */
  tuple(...items: (() => void)[]): void {
    if (items.length === 0) return this.#opcode(0x29); // EMPTY_TUPLE
    if (items.length > 3) this.#opcode(0x28); // MARK
    for (const item of items) item();
    this.#opcode(tupleOpcode(items.length));
  }

  /** Calls the function below the tuple on top of the stack. */
  reduce(): void {
    this.#opcode(0x52); // REDUCE
  }

  /** Turns the tuple on top of the stack into what it identifies, a storage. */
  persistentId(): void {
    this.#opcode(0x51); // BINPERSID
  }

  #object(value: object, path: string): void {
    if (isHostTensor(value)) {
      this.#pickleTensor(value, this, path);
      this.#remember(value);
    } else if (value instanceof Uint8Array) {
      // Protocol 2 has no bytes; CPython writes them as text, to be encoded on reading.
      this.global("_codecs", "encode");
      const text = Array.from(value, (byte) => String.fromCharCode(byte)).join("");
      this.tuple(
        () => this.value(text, path),
        () => this.value("latin1", path),
      );
      this.reduce();
      this.#remember(value);
    } else if (Array.isArray(value)) {
      if (Object.isFrozen(value)) this.#frozenArray(value, path);
      else this.#list(value, path);
    } else if (value instanceof OrderedDict) {
      this.global("collections", "OrderedDict");
      this.tuple();
      this.reduce();
      this.#remember(value);
      this.#items(value, path);
      if (value.attributes !== undefined) {
        this.value(value.attributes as PicklableValue, `${path}.attributes`);
        this.#opcode(0x62); // BUILD
      }
    } else if (value instanceof Map) {
      this.#opcode(0x7d); // EMPTY_DICT
      this.#remember(value);
      this.#items(value, path);
    } else if (value instanceof TorchDType) {
      this.global("torch", value.name);
    } else if (value instanceof TorchDevice) {
      const { type, index } = value;
      this.global("torch", "device");
      if (index === undefined) this.tuple(() => this.value(type, path));
      else
        this.tuple(
          () => this.value(type, path),
          () => this.value(index, path),
        );
      this.reduce();
    } else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null) {
      this.#opcode(0x7d); // EMPTY_DICT
      this.#remember(value);
      this.#items(new Map(Object.entries(value)), path);
    } else {
      throw this.#unwritable(value, path);
    }
  }

  #unwritable(value: unknown, path: string): Error {
    const hint = ArrayBuffer.isView(value) ? "; wrap a typed array as a HostTensor: { dtype, shape, data }" : "";
    return new Error(`writeTorchCheckpoint: ${path} is ${describeKind(value)}, which has no plain Python form${hint}`);
  }

  #items(map: ReadonlyMap<unknown, PicklableValue>, path: string): void {
    if (map.size === 0) return;
    this.#opcode(0x28); // MARK
    for (const [key, value] of map) {
      const place = `${path}[${keyText(key)}]`;
      const keyIsPlain = key === null || typeof key !== "object" || (Array.isArray(key) && Object.isFrozen(key));
      if (!keyIsPlain) throw new Error(`writeTorchCheckpoint: ${path} has a ${pythonTypeName(key)} as a key`);
      this.value(key as PicklableValue, `a key of ${path}`);
      this.value(value, place);
    }
    this.#opcode(0x75); // SETITEMS
  }

  #list(items: readonly PicklableValue[], path: string): void {
    this.#opcode(0x5d); // EMPTY_LIST
    this.#remember(items);
    if (items.length === 0) return;
    this.#opcode(0x28); // MARK
    for (let i = 0; i < items.length; i++) this.value(items[i], `${path}[${i}]`);
    this.#opcode(0x65); // APPENDS
  }

  #frozenArray(items: readonly PicklableValue[], path: string): void {
    if (items.length === 0) return this.tuple();
    if (items.length > 3) this.#opcode(0x28); // MARK
    for (let i = 0; i < items.length; i++) this.value(items[i], `${path}[${i}]`);
    this.#opcode(tupleOpcode(items.length));
    this.#remember(items);
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return this.#integer(BigInt(value), "");
    this.#opcode(0x47); // BINFLOAT
    const start = this.#grow(8);
    this.#view.setFloat64(start, value, false);
  }

  #integer(value: bigint, path: string): void {
    if (value >= 0n && value <= 0xffn) return this.#opcode(0x4b, Number(value)); // BININT1
    if (value >= 0n && value <= 0xffffn) {
      this.#opcode(0x4d); // BININT2
      const start = this.#grow(2);
      return this.#view.setUint16(start, Number(value), true);
    }
    if (value >= -0x80000000n && value <= 0x7fffffffn) {
      this.#opcode(0x4a); // BININT
      const start = this.#grow(4);
      return this.#view.setInt32(start, Number(value), true);
    }
    // The fewest bytes that hold the value and its sign.
    let length = 5;
    while (BigInt.asIntN(8 * length, value) !== value) length++;
    if (length > 255) throw new Error(`writeTorchCheckpoint: ${path} is an integer of more than 255 bytes`);
    this.#opcode(0x8a, length); // LONG1
    const start = this.#grow(length);
    for (let i = 0; i < length; i++) this.#bytes[start + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }

  #string(value: string, path: string): void {
    if (this.#recall(value)) return;
    if (/\p{Surrogate}/u.test(value))
      throw new Error(`writeTorchCheckpoint: ${path} is a string with half a surrogate pair`);
    const encoded = new TextEncoder().encode(value);
    this.#opcode(0x58); // BINUNICODE
    this.#uint32(encoded.length);
    const start = this.#grow(encoded.length);
    this.#bytes.set(encoded, start);
    this.#remember(value);
  }

  #remember(value: unknown): void {
    this.#memo.set(value, this.#put());
  }

  #recall(value: unknown): boolean {
    const index = this.#memo.get(value);
    if (index === undefined || this.#open.has(value)) return false;
    this.#get(index);
    return true;
  }

  #put(): number {
    const index = this.#memoSize++;
    if (index <= 0xff) {
      this.#opcode(0x71, index); // BINPUT
    } else {
      this.#opcode(0x72); // LONG_BINPUT
      this.#uint32(index);
    }
    return index;
  }

  #get(index: number): void {
    if (index <= 0xff) return this.#opcode(0x68, index); // BINGET
    this.#opcode(0x6a); // LONG_BINGET
    this.#uint32(index);
  }

  #opcode(...bytes: number[]): void {
    const start = this.#grow(bytes.length);
    for (let i = 0; i < bytes.length; i++) this.#bytes[start + i] = bytes[i];
  }

  #uint32(value: number): void {
    const start = this.#grow(4);
    this.#view.setUint32(start, value, true);
  }

  #ascii(text: string): void {
    const start = this.#grow(text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[start + i] = text.charCodeAt(i);
  }

  /**
   * Makes room for `count` bytes and returns where they go. It may move the buffer, so `this.view` and `this.bytes`
   * are looked up after the call, not in the same expression.
   */
  #grow(count: number): number {
    const start = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, start));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }
}

/** A key in an error's path. A tuple is only named: its text can be exponentially longer than it is in memory. */
function keyText(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key);
  return typeof key === "object" && key !== null ? pythonTypeName(key) : String(key);
}

/** Whether a value counts as a level of nesting, by the reader's count. */
function isContainer(value: object): boolean {
  return !(
    isHostTensor(value) ||
    value instanceof Uint8Array ||
    value instanceof TorchDType ||
    value instanceof TorchDevice
  );
}

/** TUPLE1, TUPLE2, TUPLE3, or TUPLE (from the mark). */
function tupleOpcode(size: number): number {
  return size <= 3 ? 0x84 + size : 0x74;
}

function describeKind(value: unknown): string {
  if (value === undefined) return "undefined";
  return typeof value === "object" ? `a ${pythonTypeName(value)}` : `a ${typeof value}`;
}
