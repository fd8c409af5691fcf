/**
 * Protocol-buffer messages: fields written one after the other, and taken apart again.
 *
 * A message is a sequence of fields, each a key (field number and wire type) and a value: a varint, 4 or 8 bytes, or
 * bytes with their length before them, which also holds text, packed lists and messages within messages.
 * (https://protobuf.dev/programming-guides/encoding)
 */
import { FormatError } from "../format-error.ts";

/** Wire types. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/** A message under construction. Bytes handed in are not copied before `toBytes`. */
export class Message {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** @throws RangeError for anything but an integer from 0 to 2^53-1. */
  varint(field: number, value: number): this {
    return this.#add(Uint8Array.from([...varintBytes(field * 8 + VARINT), ...varintBytes(value)]));
  }
  double(field: number, value: number): this {
    return this.#key(field, FIXED64).#add(new Uint8Array(Float64Array.of(value).buffer));
  }
  float(field: number, value: number): this {
    return this.#key(field, FIXED32).#add(new Uint8Array(Float32Array.of(value).buffer));
  }
  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }
  bytes(field: number, value: Uint8Array): this {
    this.#key(field, BYTES).#add(Uint8Array.from(varintBytes(value.length)));
    return this.#add(value);
  }
  /** A list of integers in one field. */
  packed(field: number, values: readonly number[]): this {
    return this.bytes(field, Uint8Array.from(values.flatMap(varintBytes)));
  }
  message(field: number, value: Message): this {
    this.#key(field, BYTES).#add(Uint8Array.from(varintBytes(value.size)));
    for (const chunk of value.#chunks) this.#add(chunk);
    return this;
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.#size);
    let at = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  #key(field: number, wire: number): this {
    return this.#add(Uint8Array.from(varintBytes(field * 8 + wire)));
  }
  #add(bytes: Uint8Array): this {
    this.#chunks.push(bytes);
    this.#size += bytes.length;
    return this;
  }
}

/** Seven bits a byte, the lowest first. */
function varintBytes(value: number): number[] {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`protobuf: ${value} is not an integer from 0 to 2^53-1`);
  }
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return bytes;
}

interface Field {
  readonly field: number;
  readonly wire: number;
  /** A number for a varint, else its bytes. */
  readonly value: number | Uint8Array;
}

/** The fields of a message in their order. @throws FormatError where they do not end with the bytes. */
export function fieldsOf(bytes: Uint8Array, name: string): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const take = (count: number): Uint8Array => {
    if (at + count > bytes.length) throw new FormatError(name, "a message is cut off");
    at += count;
    return bytes.subarray(at - count, at);
  };
  const number = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const [byte] = take(1);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      if (scale > 2 ** 56) throw new FormatError(name, "a message holds an endless number");
    }
  };
  while (at < bytes.length) {
    const key = number();
    const [field, wire] = [Math.floor(key / 8), key % 8];
    if (wire === VARINT) fields.push({ field, wire, value: number() });
    else if (wire === FIXED64) fields.push({ field, wire, value: take(8) });
    else if (wire === FIXED32) fields.push({ field, wire, value: take(4) });
    else if (wire === BYTES) fields.push({ field, wire, value: take(number()) });
    else throw new FormatError(name, `a message has a field of wire type ${wire}`);
  }
  return fields;
}
