/**
 * Pickle, Python's object format, read without Python and without running anything.
 *
 * A pickle is a program for a small stack machine (CPython's `pickletools` documents every opcode). Two of its
 * instructions are what makes pickles dangerous: GLOBAL names any function or class of the Python installation, and
 * REDUCE calls it. Here a name is looked up in a table that the caller supplies; a name that is not in it ends the
 * reading with an error, before anything could be called. Instructions that only instances of other classes need
 * (INST, OBJ, NEWOBJ, ...) are refused as a whole.
 *
 * Read are the binary opcodes of protocols 2 to 5. The result is checked to be plain (plain-check.ts).
 */
import { FormatError, quoteForError } from "../format-error.ts";
import { describe, PickleFault, PickleFunction, PickleObject, type PickleItem } from "./pickle-items.ts";
import { checkPlain } from "./plain-check.ts";
import { OrderedDict, type PythonValue } from "./python-values.ts";

interface PickleOptions {
  /** The file's name, for errors. */
  readonly file: string;
  /** The allow-list: the value for `module` and `name`, or undefined to refuse it. */
  readonly findGlobal: (module: string, name: string) => PickleItem | undefined;
  /** Resolves a persistent id (PyTorch: a storage). Without it, persistent ids are refused. */
  readonly persistentLoad?: (id: PickleItem) => PickleItem;
}

/** Longest integer, in bytes: the most that LONG1 holds. */
const MAX_LONG_BYTES = 255;
/** Longest module or class name in a GLOBAL instruction. */
const MAX_NAME = 512;
/** Values that a pickle may unfold to, besides {@link UNFOLD_PER_BYTE} for each of its bytes. */
const UNFOLD_FREE = 1_000_000;
const UNFOLD_PER_BYTE = 16;

/** Reads one pickle that is all of `bytes`. Throws `FormatError` on anything malformed or refused. */
export function loadPickle(bytes: Uint8Array, options: PickleOptions): PythonValue {
  const machine = new Machine(bytes, options);
  try {
    return machine.run();
  } catch (error) {
    if (!(error instanceof PickleFault)) throw error;
    throw new FormatError(options.file, `pickle, byte ${machine.position}: ${error.message}`);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Machine {
  /** Where the current instruction starts. */
  position = 0;
  #at = 0;
  readonly #view: DataView;
  readonly #stack: PickleItem[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleItem>();

  readonly #bytes: Uint8Array;
  readonly #options: PickleOptions;
  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#bytes = bytes;
    this.#options = options;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  run(): PythonValue {
    for (;;) {
      this.position = this.#at;
      const opcode = this.#bytes[this.#take(1)];
      if (opcode === 0x2e) return this.#stop();
      this.#step(opcode);
    }
  }

  #stop(): PythonValue {
    if (this.#stack.length !== 1 || this.#marks.length !== 0) {
      throw new PickleFault(`ends with ${this.#stack.length} values on its stack instead of 1`);
    }
    if (this.#at !== this.#bytes.length) throw new PickleFault(`${this.#bytes.length - this.#at} bytes follow its end`);
    const result = this.#stack[0];
    checkPlain(result, UNFOLD_FREE + UNFOLD_PER_BYTE * this.#bytes.length);
    return result;
  }

  #step(opcode: number): void {
    switch (opcode) {
      case 0x80: // PROTO
        return this.#protocol(this.#uint8());
      case 0x95: // FRAME: a hint for buffered reading
        this.#length64("a frame");
        return;
      case 0x28: // MARK
        this.#marks.push(this.#stack.length);
        return;
      case 0x30: // POP: as in CPython, on a mark it pops the mark
        if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
        else this.#pop();
        return;
      case 0x31: // POP_MARK
        this.#popMark();
        return;
      case 0x32: // DUP
        return this.#push(this.#peek());

      case 0x4e: // NONE
        return this.#push(null);
      case 0x88: // NEWTRUE
        return this.#push(true);
      case 0x89: // NEWFALSE
        return this.#push(false);
      case 0x4a: // BININT
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case 0x4b: // BININT1
        return this.#push(this.#uint8());
      case 0x4d: // BININT2
        return this.#push(this.#view.getUint16(this.#take(2), true));
      case 0x8a: // LONG1
        return this.#push(this.#long(this.#uint8()));
      case 0x8b: // LONG4
        return this.#push(this.#long(this.#uint32()));
      case 0x47: // BINFLOAT, the one big-endian number
        return this.#push(this.#view.getFloat64(this.#take(8), false));

      case 0x58: // BINUNICODE
        return this.#push(this.#text(this.#uint32()));
      case 0x8c: // SHORT_BINUNICODE
        return this.#push(this.#text(this.#uint8()));
      case 0x8d: // BINUNICODE8
        return this.#push(this.#text(this.#length64("a string")));
      case 0x54: // BINSTRING, Python 2's str
        return this.#push(this.#text(this.#uint32()));
      case 0x55: // SHORT_BINSTRING
        return this.#push(this.#text(this.#uint8()));
      case 0x42: // BINBYTES
        return this.#push(this.#binary(this.#uint32()));
      case 0x43: // SHORT_BINBYTES
        return this.#push(this.#binary(this.#uint8()));
      case 0x8e: // BINBYTES8
        return this.#push(this.#binary(this.#length64("a bytes object")));
      case 0x96: // BYTEARRAY8
        return this.#push(this.#binary(this.#length64("a bytearray")));

      case 0x5d: // EMPTY_LIST
        return this.#push([]);
      case 0x6c: // LIST
        return this.#push(this.#popMark() as PythonValue[]);
      case 0x61: // APPEND
        return this.#append([this.#pop()]);
      case 0x65: // APPENDS
        return this.#append(this.#popMark());
      case 0x29: // EMPTY_TUPLE
        return this.#pushTuple(0);
      case 0x85: // TUPLE1
        return this.#pushTuple(1);
      case 0x86: // TUPLE2
        return this.#pushTuple(2);
      case 0x87: // TUPLE3
        return this.#pushTuple(3);
      case 0x74: // TUPLE
        return this.#push(Object.freeze(this.#popMark()) as PythonValue);
      case 0x7d: // EMPTY_DICT
        return this.#push(new Map());
      case 0x64: // DICT
        return this.#push(fill(new Map(), this.#popMark()));
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        return this.#setItems([this.#pop(), value]);
      }
      case 0x75: // SETITEMS
        return this.#setItems(this.#popMark());

      case 0x71: // BINPUT
        return this.#put(this.#uint8());
      case 0x72: // LONG_BINPUT
        return this.#put(this.#uint32());
      case 0x94: // MEMOIZE
        return this.#put(this.#memo.size);
      case 0x68: // BINGET
        return this.#get(this.#uint8());
      case 0x6a: // LONG_BINGET
        return this.#get(this.#uint32());

      case 0x63: {
        // GLOBAL
        const module = this.#line();
        return this.#global(module, this.#line());
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof module !== "string" || typeof name !== "string")
          throw new PickleFault("names a class by a non-string");
        return this.#global(module, name);
      }
      case 0x52: {
        // REDUCE
        const args = this.#pop();
        return this.#reduce(this.#pop(), args);
      }
      case 0x62: {
        // BUILD
        const state = this.#pop();
        return this.#build(this.#peek(), state);
      }
      case 0x51: // BINPERSID
        return this.#persistent(this.#pop());
      default:
        throw new PickleFault(this.#refusal(opcode));
    }
  }

  #refusal(opcode: number): string {
    const code = `0x${opcode.toString(16).padStart(2, "0")}`;
    switch (opcode) {
      case 0x69: // INST
        return `asks for an instance of ${this.#line()}.${this.#line()} (INST), which is refused`;
      case 0x6f: // OBJ
        return `asks for an instance of ${describe(this.#popMark()[0])} (OBJ), which is refused`;
      case 0x81: // NEWOBJ
        this.#pop();
        return `asks for an instance of ${describe(this.#pop())} (NEWOBJ), which is refused`;
      case 0x92: // NEWOBJ_EX
        this.#pop();
        this.#pop();
        return `asks for an instance of ${describe(this.#pop())} (NEWOBJ_EX), which is refused`;
      case 0x82: // EXT1, EXT2, EXT4
      case 0x83:
      case 0x84:
        return "asks for a class by its extension code (EXT), which is refused";
      case 0x50: // PERSID
        return "has a persistent id as text (PERSID), which is refused";
      case 0x8f: // EMPTY_SET, ADDITEMS, FROZENSET
      case 0x90:
      case 0x91:
        return "holds a set, which is refused; store a list";
      default:
        return `opcode ${code} is unknown, or belongs to the text protocols 0 and 1, which are not read`;
    }
  }

  #protocol(version: number): void {
    if (version > 5) throw new PickleFault(`protocol ${version} is unknown; 2 to 5 are read`);
  }

  /** Moves past `count` bytes and returns where they start. */
  #take(count: number): number {
    const start = this.#at;
    if (count > this.#bytes.length - start) {
      throw new PickleFault(`truncated: ${count} bytes needed, ${this.#bytes.length - start} left`);
    }
    this.#at = start + count;
    return start;
  }

  #uint8(): number {
    return this.#bytes[this.#take(1)];
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #length64(what: string): number {
    const length = this.#view.getBigUint64(this.#take(8), true);
    if (length > BigInt(this.#bytes.length - this.#at)) {
      throw new PickleFault(`truncated: ${what} of ${length} bytes, ${this.#bytes.length - this.#at} left`);
    }
    return Number(length);
  }

  #binary(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  #text(length: number): string {
    try {
      return utf8.decode(this.#binary(length));
    } catch (error) {
      if (error instanceof PickleFault) throw error;
      throw new PickleFault("a string is not valid UTF-8");
    }
  }

  /** Text up to a line end: the operands of GLOBAL and INST. */
  #line(): string {
    const end = this.#bytes.subarray(this.#at, this.#at + MAX_NAME).indexOf(0x0a);
    if (end < 0) throw new PickleFault(`a name without an end within ${MAX_NAME} bytes`);
    const text = this.#text(end);
    this.#at++;
    return text;
  }

  /** A two's complement little-endian integer. */
  #long(length: number): number | bigint {
    if (length > MAX_LONG_BYTES) {
      throw new PickleFault(`an integer of ${length} bytes; at most ${MAX_LONG_BYTES} are read`);
    }
    const bytes = this.#binary(length);
    let hex = "";
    for (let i = length - 1; i >= 0; i--) hex += bytes[i].toString(16).padStart(2, "0");
    const value = length === 0 ? 0n : BigInt.asIntN(8 * length, BigInt(`0x${hex}`));
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #push(value: PickleItem): void {
    this.#stack.push(value);
  }

  /** The stack below the last mark is out of reach until the mark is popped, as in CPython. */
  #floor(): number {
    return this.#marks.length > 0 ? this.#marks[this.#marks.length - 1] : 0;
  }

  #peek(): PickleItem {
    if (this.#stack.length <= this.#floor()) throw new PickleFault("takes a value from an empty stack");
    return this.#stack[this.#stack.length - 1];
  }

  #pop(): PickleItem {
    const value = this.#peek();
    this.#stack.pop();
    return value;
  }

  #popMark(): PickleItem[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new PickleFault("goes back to a mark that was not set");
    return this.#stack.splice(mark);
  }

  #pushTuple(size: number): void {
    if (this.#stack.length - this.#floor() < size) throw new PickleFault("takes a value from an empty stack");
    this.#push(Object.freeze(this.#stack.splice(this.#stack.length - size)) as PythonValue);
  }

  #append(items: PickleItem[]): void {
    const list = this.#peek();
    if (!Array.isArray(list) || Object.isFrozen(list)) throw new PickleFault(`appends to a ${describe(list)}`);
    for (const item of items) list.push(item);
  }

  #setItems(items: PickleItem[]): void {
    const dict = this.#peek();
    if (!(dict instanceof Map)) throw new PickleFault(`sets items of a ${describe(dict)}`);
    fill(dict, items);
  }

  #put(index: number): void {
    this.#memo.set(index, this.#peek());
  }

  #get(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleFault(`takes memo ${index}, which was not set`);
    this.#push(value);
  }

  #global(module: string, name: string): void {
    const found = this.#options.findGlobal(module, name);
    if (found === undefined) {
      throw new PickleFault(
        `asks for ${quoteForError(`${module}.${name}`)}, which is not on the allow-list; refused, nothing was executed`,
      );
    }
    this.#push(found);
  }

  #reduce(callee: PickleItem, args: PickleItem): void {
    if (!(callee instanceof PickleFunction)) throw new PickleFault(`calls a ${describe(callee)}, which is refused`);
    if (!Array.isArray(args) || !Object.isFrozen(args)) {
      throw new PickleFault(`calls ${callee.name} with a ${describe(args)} in place of its tuple of arguments`);
    }
    this.#push(callee.call(args));
  }

  #build(target: PickleItem, state: PickleItem): void {
    if (target instanceof OrderedDict && state instanceof Map) {
      target.attributes = state;
    } else if (target instanceof PickleObject) {
      target.build(state);
    } else {
      throw new PickleFault(`sets the state of a ${describe(target)} (BUILD), which is refused`);
    }
  }

  #persistent(id: PickleItem): void {
    if (this.#options.persistentLoad === undefined)
      throw new PickleFault("has a persistent id, which only checkpoints have");
    this.#push(this.#options.persistentLoad(id));
  }
}

/** Sets alternating keys and values. */
function fill(dict: Map<PythonValue, PythonValue>, items: PickleItem[]): Map<PythonValue, PythonValue> {
  if (items.length % 2 !== 0) throw new PickleFault("a dict has a key without a value");
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i];
    if (typeof key === "object" && key !== null && !(Array.isArray(key) && Object.isFrozen(key))) {
      throw new PickleFault(`a dict has a ${describe(key)} as a key`);
    }
    dict.set(key as PythonValue, items[i + 1] as PythonValue);
  }
  return dict;
}
