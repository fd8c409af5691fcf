/**
 * A tensor on the host: element type, shape, and a typed array in row-major (C) order. What every reader returns and
 * every writer takes.
 *
 * The element types are those that files use, which are more than those a device computes with. Two need a word:
 * `f16` and `bf16` are kept as raw bits in a `Uint16Array` (see float16.ts), and 64-bit integers are kept exactly in
 * `BigInt64Array` / `BigUint64Array`. The conversions at the end go to numbers, and refuse to lose an integer's digits.
 *
 * Bytes are little-endian in every supported file format and on every platform that runs a supported runtime, so the
 * typed arrays are views of file bytes; big-endian files are swapped on reading.
 */
import { formatShape } from "../tensor/shape.ts";
import { bf16ToFloat32, f16ToFloat32 } from "../tensor/float16.ts";

/** Element types of files: more than devices compute with, see `HOST_DTYPES`. */
export type HostDType =
  | "f64"
  | "f32"
  | "f16"
  | "bf16"
  | "i64"
  | "i32"
  | "i16"
  | "i8"
  | "u64"
  | "u32"
  | "u16"
  | "u8"
  | "bool";

/** The typed arrays that hold elements of files. */
export type TypedArray =
  | Float64Array
  | Float32Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

/** A tensor on the host: what readers return and writers take. */
export interface HostTensor {
  readonly dtype: HostDType;
  /** Sizes of the axes; `[]` is a scalar. */
  readonly shape: readonly number[];
  /** The elements in row-major order, of the array type that `dtype` asks for (see {@link arrayTypeOf}). */
  readonly data: TypedArray;
}

/** What all constructors of typed arrays of numbers have in common. */
export interface TypedArrayConstructor {
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
  new (length: number): TypedArray;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): TypedArray;
}

const ARRAY_TYPES: Record<HostDType, TypedArrayConstructor> = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  i16: Int16Array,
  i8: Int8Array,
  u64: BigUint64Array,
  u32: Uint32Array,
  u16: Uint16Array,
  u8: Uint8Array,
  bool: Uint8Array,
};

/** Every element type of files. */
export const HOST_DTYPES = Object.keys(ARRAY_TYPES) as readonly HostDType[];

/** Most axes a tensor in a file may have: NumPy's limit. */
export const MAX_RANK = 64;

/** The typed array that holds elements of `dtype`. */
export function arrayTypeOf(dtype: HostDType): TypedArrayConstructor {
  return ARRAY_TYPES[dtype];
}

/** Bytes an element of `dtype` takes in a file, and in the typed array. */
export function bytesPerHostElement(dtype: HostDType): number {
  return ARRAY_TYPES[dtype].BYTES_PER_ELEMENT;
}

/**
 * Number of elements of an untrusted shape, or a sentence on what is wrong with it. Sizes of 0 are allowed, but the
 * other sizes must still have a product that a number holds exactly.
 */
export function checkedElementCount(shape: readonly number[], itemBytes: number): number | string {
  if (shape.length > MAX_RANK) return `${shape.length} axes; at most ${MAX_RANK} are allowed`;
  let bytes = itemBytes;
  let empty = false;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      // From a damaged file a size may be anything, such as lists within lists whose text has no end.
      const found = typeof size === "number" || typeof size === "bigint" ? String(size) : `a ${typeof size}`;
      return `size ${found} in its shape; sizes are integers from 0 to 2^53-1`;
    }
    if (size === 0) empty = true;
    else bytes *= size;
    if (!Number.isSafeInteger(bytes)) return `shape ${formatShape(shape)}, whose byte count passes 2^53-1`;
  }
  return empty ? 0 : bytes / itemBytes;
}

/**
 * A checked `HostTensor`. Throws when the shape is not one, or `data` is not of the array type or length that the
 * dtype and shape ask for.
 */
export function hostTensor(dtype: HostDType, shape: readonly number[], data: TypedArray): HostTensor {
  const fault = hostTensorFault({ dtype, shape, data });
  if (fault !== undefined) throw new Error(`hostTensor: ${fault}`);
  return { dtype, shape: [...shape], data };
}

/** What is wrong with a tensor somebody hands to a writer, or undefined. */
export function hostTensorFault(tensor: HostTensor): string | undefined {
  const { dtype, shape, data } = tensor;
  if (!Object.hasOwn(ARRAY_TYPES, dtype)) return `dtype ${String(dtype)} is not one of ${HOST_DTYPES.join(", ")}`;
  const ArrayType = ARRAY_TYPES[dtype];
  if (!Array.isArray(shape)) return `shape is not an array of sizes`;
  const count = checkedElementCount(shape, ArrayType.BYTES_PER_ELEMENT);
  if (typeof count === "string") return `it has ${count}`;
  if (!(data instanceof (ArrayType as unknown as new () => object))) {
    return `dtype ${dtype} needs a ${ArrayType.name}, not ${(data as object)?.constructor?.name ?? typeof data}`;
  }
  if (data.length !== count) return `shape ${formatShape(shape)} needs ${count} elements, data has ${data.length}`;
  return undefined;
}

/** Whether a value has the form of a `HostTensor` (its fields; {@link hostTensorFault} checks that they agree). */
export function isHostTensor(value: unknown): value is HostTensor {
  if (typeof value !== "object" || value === null) return false;
  const { dtype, shape, data } = value as Partial<HostTensor>;
  return (
    typeof dtype === "string" && Object.hasOwn(ARRAY_TYPES, dtype) && Array.isArray(shape) && ArrayBuffer.isView(data)
  );
}

/** The bytes of a typed array, sharing its memory. */
export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * `count` elements of `dtype` at `bytes[0..]`: a view of the same memory where it is aligned, else a copy.
 * The caller has checked that `bytes` is long enough.
 */
export function viewElements(bytes: Uint8Array, dtype: HostDType, count: number): TypedArray {
  const ArrayType = ARRAY_TYPES[dtype];
  const size = ArrayType.BYTES_PER_ELEMENT;
  if (bytes.byteOffset % size === 0) return new ArrayType(bytes.buffer, bytes.byteOffset, count);
  return new ArrayType(new Uint8Array(bytes.subarray(0, count * size)).buffer, 0, count);
}

/** Reverses the bytes of every element: between big- and little-endian. Returns fresh bytes; `bytes` is left alone. */
export function swapByteOrder(bytes: Uint8Array, itemBytes: number): Uint8Array {
  const result = new Uint8Array(bytes.length);
  for (let start = 0; start + itemBytes <= bytes.length; start += itemBytes) {
    for (let i = 0; i < itemBytes; i++) result[start + i] = bytes[start + itemBytes - 1 - i];
  }
  return result;
}

/**
 * The elements as float64 numbers. Exact for every dtype; a 64-bit integer beyond ±(2^53-1) throws rather than lose
 * digits. Booleans give 0 and 1.
 */
export function toFloat64(tensor: HostTensor): Float64Array {
  const { dtype, data } = tensor;
  if (data instanceof Float64Array) return data;
  if (dtype === "f16") return Float64Array.from(f16ToFloat32(data as Uint16Array));
  if (dtype === "bf16") return Float64Array.from(bf16ToFloat32(data as Uint16Array));
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const result = new Float64Array(data.length);
    for (let i = 0; i < data.length; i++) {
      const value = Number(data[i]);
      if (!Number.isSafeInteger(value)) {
        throw new Error(
          `toFloat64: element ${i} of an ${dtype} tensor is ${data[i]}, beyond ±(2^53-1), which a number cannot ` +
            `hold exactly; use the BigInt array in .data`,
        );
      }
      result[i] = value;
    }
    return result;
  }
  return Float64Array.from(data);
}

/**
 * The elements as float32 numbers, rounded to nearest where the dtype is wider; 64-bit integers beyond ±(2^53-1)
 * throw as in {@link toFloat64}. An f32 tensor's own array is returned, not a copy.
 */
export function toFloat32(tensor: HostTensor): Float32Array {
  const { dtype, data } = tensor;
  if (data instanceof Float32Array) return data;
  if (dtype === "f16") return f16ToFloat32(data as Uint16Array);
  if (dtype === "bf16") return bf16ToFloat32(data as Uint16Array);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return Float32Array.from(toFloat64(tensor));
  return Float32Array.from(data);
}

/** The elements of an integer or boolean tensor as plain numbers, exactly. Floating dtypes throw. */
export function toIntegers(tensor: HostTensor): number[] {
  if (tensor.dtype === "f64" || tensor.dtype === "f32" || tensor.dtype === "f16" || tensor.dtype === "bf16") {
    throw new Error(`toIntegers: the tensor is ${tensor.dtype}; it takes an integer or bool tensor`);
  }
  return Array.from(toFloat64(tensor));
}
