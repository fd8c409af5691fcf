/**
 * Host data as it comes in: which arrays hold numbers, which dtype they are, and their conversion.
 *
 * Arrays of 8- and 16-bit integers are numbers and become i32. 64-bit integers become i32 where they fit and are
 * refused where one does not. Conversions to a dtype that was asked for are those of a cast.
 */
import { describeValue } from "./door.ts";
import type { DType, HostArray } from "../dtype.ts";
import { castValue, hostArray } from "../dtype.ts";
import { bf16ToFloat32, f16ToFloat32 } from "../float16.ts";

/** Every typed array that a tensor can be made of. */
export type HostValues =
  | HostArray
  | Int8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | BigInt64Array
  | BigUint64Array;

/**
 * Values that say their dtype and shape: what readers of files and `readState` give. The dtypes are those of files:
 * `f16` and `bf16` are raw bits in a Uint16Array, other dtypes are plain arrays.
 */
export interface TypedValues {
  readonly dtype: "f64" | "f32" | "f16" | "bf16" | "i64" | "i32" | "i16" | "i8" | "u64" | "u32" | "u16" | "u8" | "bool";
  readonly shape: readonly number[];
  readonly data: HostValues;
}

/** An array of text, as readers of npy and npz give it where a file holds names. It has no numbers to be a tensor of. */
export interface TypedTexts {
  readonly dtype: "str";
  readonly shape: readonly number[];
  readonly data: readonly string[];
}

/** Numbers or booleans in nested arrays of one length an axis. */
export type NestedValues = number | boolean | readonly NestedValues[];

/** Whether a value has the form of {@link TypedValues}. */
export function isTypedValues(value: unknown): value is TypedValues {
  const { dtype, shape, data } = (value ?? {}) as Partial<TypedValues>;
  return typeof dtype === "string" && Array.isArray(shape) && isNumberArray(data);
}

/** Typed values as numbers, and the dtype that devices have for theirs: bf16 becomes f32, small integers i32. */
export function fromTyped({ dtype, data }: TypedValues): { data: HostValues; dtype: DType } {
  if (dtype === "f16" && data instanceof Uint16Array) return { data: f16ToFloat32(data), dtype: "f16" };
  if (dtype === "bf16" && data instanceof Uint16Array) return { data: bf16ToFloat32(data), dtype: "f32" };
  return { data, dtype: dtype === "bool" ? "bool" : dtypeOfArray(data) };
}

/** Whether a value is a typed array (of bytes without a type, a DataView, it cannot be said what they are). */
export function isNumberArray(value: unknown): value is HostValues {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

const isBig = (data: HostValues): data is BigInt64Array | BigUint64Array =>
  data instanceof BigInt64Array || data instanceof BigUint64Array;

/** The dtype a bare typed array stands for when the caller names none. */
export function dtypeOfArray(data: HostValues): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Float64Array) return "f64";
  if (data instanceof Uint32Array) return "u32";
  // Not every host has them.
  if (Object.prototype.toString.call(data) === "[object Float16Array]") return "f16";
  return "i32";
}

/** The values in the array that `dtype` travels in: a copy, or with `copy` false the array itself where it is that. */
export function convertValues(data: HostValues | readonly number[], dtype: DType, copy: boolean): HostArray {
  const out = Array.isArray(data) ? hostArray(dtype, data.length) : sameKind(data as HostValues, dtype, copy);
  if (out === data) return out;
  if (isNumberArray(data) && isBig(data)) {
    for (let i = 0; i < data.length; i++) out[i] = castValue(fromBig(data[i], dtype, i), "f64", dtype);
    return out;
  }
  const values = data as ArrayLike<number>;
  const same = Object.getPrototypeOf(out) === Object.getPrototypeOf(data);
  if ((same && dtype !== "bool") || dtype.startsWith("f")) out.set(values);
  else {
    const from = isNumberArray(data) ? dtypeOfArray(data) : "f64";
    for (let i = 0; i < values.length; i++) out[i] = castValue(values[i], from, dtype);
  }
  return out;
}

function sameKind(data: HostValues, dtype: DType, copy: boolean): HostArray {
  const fresh = hostArray(dtype, copy ? data.length : 0);
  // A lent Uint8Array may hold bools, of which anything but 0 is true; devices take it as it is.
  if (!copy && Object.getPrototypeOf(fresh) === Object.getPrototypeOf(data)) return data as HostArray;
  return copy ? fresh : hostArray(dtype, data.length);
}

function fromBig(value: bigint, dtype: DType, at: number): number {
  const number = Number(value);
  const holds =
    dtype === "bool" ||
    dtype.startsWith("f") ||
    (dtype === "u32" ? BigInt.asUintN(32, value) : BigInt.asIntN(32, value)) === value;
  if (holds && (dtype === "bool" || BigInt(number) === value)) return number;
  throw new Error(
    `tensor: element ${at} is ${value}, which no ${holds ? "number" : dtype} holds exactly; ` +
      `convert the array first, for example with Float64Array.from(array, Number)`,
  );
}

/** Nested arrays as one row-major list, with their shape; whether all elements are booleans. */
export function fromNested(values: unknown): { flat: number[]; shape: number[]; booleans: boolean } {
  const shape: number[] = [];
  for (let at: unknown = values; Array.isArray(at); at = at[0]) shape.push(at.length);
  const flat: number[] = [];
  let booleans = 0;
  const walk = (value: unknown, axis: number): void => {
    if (Array.isArray(value)) {
      if (axis >= shape.length || value.length !== shape[axis]) {
        throw new Error(
          `tensor: ragged array: axis ${axis} has rows of ${value.length} and of ${shape[axis] ?? 0} elements`,
        );
      }
      // By position: holes are elements too.
      for (let i = 0; i < value.length; i++) walk(value[i], axis + 1);
      return;
    }
    if (typeof value !== "number" && typeof value !== "boolean") {
      throw new TypeError(`tensor: ${axis === 0 ? "the data" : "an element"} is no number: ${refusal(value)}`);
    }
    if (axis !== shape.length) throw new Error(`tensor: ragged array: ${value} stands where axis ${axis} has arrays`);
    if (typeof value === "boolean") booleans++;
    flat.push(Number(value));
  };
  walk(values, 0);
  return { flat, shape, booleans: booleans > 0 && booleans === flat.length };
}

function refusal(value: unknown): string {
  if (isNumberArray(value)) return `a ${value.constructor.name}; join the rows into one array and give its shape`;
  if ((value as Partial<TypedTexts> | null)?.dtype === "str") return "an array of text; number its words first";
  const said = describeValue(value);
  return /^(Tensor|Variable)\(/.test(said) ? `${said} is a tensor already; stack([…]) joins several` : said;
}
