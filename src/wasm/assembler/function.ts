/**
 * The body of a WebAssembly function, written statement by statement: locals, stores, loops, branches and calls.
 */
import type { Value, ValueType } from "./instructions.ts";
import { i32, immediate, select, unsignedLeb } from "./instructions.ts";

/** A local variable of a function: `set` gives it a value, and as a value it is what it then holds. */
export interface Local extends Value {
  readonly index: number;
}

export interface Signature {
  readonly parameters: readonly ValueType[];
  readonly result?: ValueType;
}

/** A function that can be called: one of the module, or an import. */
export interface Callee {
  readonly index: number;
  readonly signature: Signature;
}

const TYPE_CODES: Record<ValueType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

const STORES: Record<ValueType, readonly number[]> = {
  i32: [0x36, 2],
  i64: [0x37, 3],
  f32: [0x38, 2],
  f64: [0x39, 3],
  v128: [0xfd, 0x0b, 2],
};

export function typeCode(type: ValueType): number {
  return TYPE_CODES[type];
}

export class FunctionBuilder {
  readonly parameters: readonly Local[];
  readonly #locals: ValueType[] = [];
  /** Locals of scopes that have ended. */
  #free: Local[] = [];
  /** Locals of scopes that have not. */
  readonly #taken: Local[] = [];
  readonly #code: number[] = [];
  /** A vector that is never set. */
  #zero: Local | undefined;

  constructor(readonly signature: Signature) {
    this.parameters = signature.parameters.map((type, index) => localValue(type, index));
  }

  // --- locals

  /** A fresh local, 0 unless `initial` is given. In a loop it keeps its value from the round before. */
  local(type: ValueType, initial?: Value): Local {
    // One that was used before does not begin with 0.
    const reusable = initial && this.#free.find((free) => free.type === type);
    this.#free = this.#free.filter((free) => free !== reusable);
    const local = reusable ?? localValue(type, this.signature.parameters.length + this.#locals.push(type) - 1);
    this.#taken.push(local);
    if (initial) this.set(local, initial);
    return local;
  }

  /**
   * Writes `body`, after which the locals it took are given to others. A function of many parts that have locals each is
   * slow to compile: engines look at all locals wherever branches meet.
   */
  scope(body: () => void): void {
    const first = this.#taken.length;
    body();
    this.#free.push(...this.#taken.splice(first));
  }

  /** A local that holds `value`: for what is used more than once. Constants and locals are handed back as they are. */
  name(value: Value): Value {
    if (value.constant !== undefined || (value.code[0] === 0x20 && value.code.length <= 3)) return value;
    return this.local(value.type, value);
  }

  /** The smaller of two signed integers, in a local. */
  least(x: Value, y: Value | number): Value {
    const [a, b] = [this.name(x), typeof y === "number" ? i32.const(y) : this.name(y)];
    return this.name(select(i32.ltS(a, b), a, b));
  }

  /**
   * Writes `body`, after which the vectors it named hold 0: nothing of them outlives a round of the loop around it.
   * Locals do by themselves, and an engine that joins vectors takes what outlives a loop for used.
   */
  forgetting(body: () => void): void {
    const first = this.#locals.length;
    body();
    const last = this.#locals.length;
    if (first === last) return;
    this.#zero ??= this.local("v128");
    const start = this.signature.parameters.length;
    for (let i = first; i < last; i++) {
      if (this.#locals[i] === "v128") this.set(localValue("v128", start + i), this.#zero);
    }
  }

  set(local: Local, value: Value): void {
    if (local.type !== value.type) throw new Error(`internal: ${value.type} for a local of ${local.type}`);
    this.#push(value.code, immediate(0x21, local.index));
  }

  // --- memory

  store(address: Value, value: Value, offset = 0): void {
    this.#push(address.code, value.code, STORES[value.type], unsignedLeb(offset));
  }

  store8(address: Value, value: Value, offset = 0): void {
    this.#push(address.code, value.code, [0x3a, 0], unsignedLeb(offset));
  }

  store16(address: Value, value: Value, offset = 0): void {
    this.#push(address.code, value.code, [0x3b, 1], unsignedLeb(offset));
  }

  /** One 32-bit lane of a vector. */
  store32Lane(address: Value, vector: Value, lane: number, offset = 0): void {
    this.#push(address.code, vector.code, [0xfd, 0x5a, 2], unsignedLeb(offset), [lane]);
  }

  /** The two low 32-bit lanes of a vector. */
  store64Lane(address: Value, vector: Value, lane: number, offset = 0): void {
    this.#push(address.code, vector.code, [0xfd, 0x5b, 2], unsignedLeb(offset), [lane]);
  }

  copyBytes(to: Value, from: Value, count: Value): void {
    this.#push(to.code, from.code, count.code, [0xfc, 0x0a, 0, 0]);
  }

  fillBytes(at: Value, byte: Value, count: Value): void {
    this.#push(at.code, byte.code, count.code, [0xfc, 0x0b, 0]);
  }

  // --- control flow

  if(condition: Value, then: () => void, otherwise?: () => void): void {
    this.#push(condition.code, [0x04, 0x40]);
    then();
    if (otherwise) {
      this.#push([0x05]);
      otherwise();
    }
    this.#push([0x0b]);
  }

  /** Repeats the body for as long as it ends with a condition that holds. */
  doWhile(body: () => Value): void {
    this.#push([0x03, 0x40]);
    this.#push(body().code, [0x0d, 0, 0x0b]);
  }

  while(condition: () => Value, body: () => void): void {
    this.#push([0x02, 0x40, 0x03, 0x40]);
    this.#push(i32.eqz(condition()).code, [0x0d, 1]);
    body();
    this.#push([0x0c, 0, 0x0b, 0x0b]);
  }

  /** `index` runs from `from` up to but not including `to`. Values that use `index` are current within the body. */
  for(from: Value, to: Value, step: number, body: (index: Local) => void): void {
    if (from.constant !== undefined && to.constant !== undefined && from.constant >= to.constant) return;
    const index = this.local("i32", from);
    const end = this.name(to);
    const certain = from.constant !== undefined && to.constant !== undefined;
    const rounds = () =>
      this.doWhile(() => {
        body(index);
        this.set(index, i32.add(index, i32.const(step)));
        return i32.ltS(index, end);
      });
    if (certain) rounds();
    else this.if(i32.ltS(index, end), rounds);
  }

  call(callee: Callee, args: readonly Value[]): Value | undefined {
    const code = [...args.flatMap((a) => a.code), ...immediate(0x10, callee.index)];
    if (callee.signature.result) return { type: callee.signature.result, code };
    this.#push(code);
    return undefined;
  }

  /** Computes a value for its effect (an atomic operation). */
  drop(value: Value): void {
    this.#push(value.code, [0x1a]);
  }

  return(value?: Value): void {
    if (value) this.#push(value.code);
    this.#push([0x0f]);
  }

  /** Leaves the function's result on the stack: the last statement of a function that has one. */
  result(value: Value): void {
    this.#push(value.code);
  }

  #push(...parts: readonly (readonly number[])[]): void {
    // Not spread into one call: what is long would not fit on the stack.
    for (const part of parts) for (const byte of part) this.#code.push(byte);
  }

  /** The function's entry of the code section. */
  encode(): Uint8Array {
    const locals = this.#locals.flatMap((type) => [1, typeCode(type)]);
    const body = [...unsignedLeb(this.#locals.length), ...locals].concat(this.#code, 0x0b);
    const entry = unsignedLeb(body.length).concat(body);
    const bytes = new Uint8Array(entry.length);
    // To construct them from the numbers takes an engine five times as long.
    entry.forEach((byte, i) => (bytes[i] = byte));
    return bytes;
  }
}

function localValue(type: ValueType, index: number): Local {
  return { type, index, code: immediate(0x20, index) };
}

/** The values of a function's parameters under their names, in the order of the names. */
export function named<N extends string, V extends Value>(names: readonly N[], values: readonly V[]): Record<N, V> {
  return Object.fromEntries(names.map((name, i) => [name, values[i]])) as Record<N, V>;
}

/** Arguments in the order of a function's parameter names: none is forgotten, and none stands in another's place. */
export function inOrder<N extends string>(names: readonly N[], values: Readonly<Record<N, Value>>): Value[] {
  return names.map((name) => values[name]);
}
