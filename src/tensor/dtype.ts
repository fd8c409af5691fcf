/**
 * Element types, and the typed arrays that hold them on the host.
 *
 * `f32`, `i32`, `u32`, `bool` exist on every device; `f64` only on the reference device (which computes every
 * floating type in double precision); `f16` is a storage type: arithmetic on it is done in f32.
 */
export type DType = "f32" | "f16" | "f64" | "i32" | "u32" | "bool";

/** Host data as users hand it in and get it back. `bool` and `f16` travel as `Uint8Array` and `Float32Array`. */
export type HostArray = Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array;

/** The array that elements of a dtype come in. */
export type HostArrayOf<D extends DType> = D extends "f32" | "f16"
  ? Float32Array
  : D extends "f64"
    ? Float64Array
    : D extends "i32"
      ? Int32Array
      : D extends "u32"
        ? Uint32Array
        : Uint8Array;

export const DTYPES: readonly DType[] = ["f32", "f16", "f64", "i32", "u32", "bool"];

export function isFloat(dtype: DType): dtype is "f32" | "f16" | "f64" {
  return dtype === "f32" || dtype === "f16" || dtype === "f64";
}

/** Bytes one element occupies in a device buffer (WGSL has no storable bool: it is kept as u32). */
export function bytesPerElement(dtype: DType): number {
  return dtype === "f64" ? 8 : dtype === "f16" ? 2 : 4;
}

/** A zeroed host array for `length` elements of `dtype`. */
export function hostArray(dtype: DType, length: number): HostArray {
  switch (dtype) {
    case "f32":
    case "f16":
      return new Float32Array(length);
    case "f64":
      return new Float64Array(length);
    case "i32":
      return new Int32Array(length);
    case "u32":
      return new Uint32Array(length);
    case "bool":
      return new Uint8Array(length);
  }
}

/** Names that other libraries have for dtypes of this one, for the errors that meet them. */
const OTHER_NAMES: Readonly<Record<string, DType>> = {
  float: "f32",
  float32: "f32",
  half: "f16",
  float16: "f16",
  double: "f64",
  float64: "f64",
  int: "i32",
  int32: "i32",
  uint32: "u32",
  boolean: "bool",
};

/** Throws unless `dtype` is the name of a dtype. */
export function checkDType(op: string, dtype: unknown): asserts dtype is DType {
  if (DTYPES.includes(dtype as DType)) return;
  const meant = typeof dtype === "string" ? OTHER_NAMES[dtype.toLowerCase().replace(/^torch\./, "")] : undefined;
  const given = typeof dtype === "string" ? `"${dtype}"` : String(dtype);
  throw new Error(
    `${op}: there is no dtype ${given}; dtypes are ${DTYPES.join(", ")}${meant ? ` (for ${given} write "${meant}")` : ""}`,
  );
}

const CATEGORY: Readonly<Record<DType, number>> = { bool: 0, i32: 1, u32: 1, f16: 2, f32: 2, f64: 2 };
const FLOATS: readonly DType[] = ["f16", "f32", "f64"];

/** The dtype two tensors with axes meet in, or undefined for i32 and u32: no 32-bit dtype holds both. */
function promoteTypes(a: DType, b: DType): DType | undefined {
  if (a === b) return a;
  if (CATEGORY[a] !== CATEGORY[b]) return CATEGORY[a] > CATEGORY[b] ? a : b;
  return CATEGORY[a] === 2 ? FLOATS[Math.max(FLOATS.indexOf(a), FLOATS.indexOf(b))] : undefined;
}

/** What of an operand decides the dtype of a result. */
interface Typed {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/**
 * The dtype tensors meet in (torch.result_type): one without axes counts only where its category, bool < integer <
 * float, is above that of the others.
 */
export function resultType(op: string, operands: readonly Typed[]): DType {
  const meet = (of: readonly Typed[]): DType | undefined =>
    of.reduce<DType | undefined>((so, { dtype }) => {
      if (so === undefined) return dtype;
      const both = promoteTypes(so, dtype);
      if (both) return both;
      throw new Error(`${op}: no dtype holds both ${so} and ${dtype}; cast one with .cast("${so}")`);
    }, undefined);
  const wide = meet(operands.filter((o) => o.shape.length > 0));
  const scalars = meet(operands.filter((o) => o.shape.length === 0));
  if (wide === undefined || scalars === undefined) return (wide ?? scalars)!;
  return CATEGORY[scalars] > CATEGORY[wide] ? scalars : wide;
}

/** The dtype a number and a tensor of `dtype` meet in: that of the tensor where it can hold the number. */
export function numberType(value: number, dtype: DType): DType {
  if (dtype === "bool") return holds("i32", value) ? "i32" : "f32";
  if (dtype === "i32" || dtype === "u32") return holds(dtype, value) ? dtype : "f32";
  return dtype;
}

/** Whether an integer dtype has this value. */
export function holds(dtype: "i32" | "u32", value: number): boolean {
  const [low, high] = INTEGER_RANGE[dtype];
  return Number.isInteger(value) && value >= low && value <= high;
}

export const INTEGER_RANGE = { i32: [-2147483648, 2147483647], u32: [0, 4294967295] } as const;

/**
 * A value as another dtype. Floats become integers by truncation and saturation (NaN becomes 0), as in WGSL and WASM;
 * integers become integers of the other sign by their 32 bits.
 */
export function castValue(value: number, from: DType, to: DType): number {
  if (to === "bool") return value !== 0 ? 1 : 0;
  if (to !== "i32" && to !== "u32") return value;
  if (!isFloat(from)) return to === "i32" ? value | 0 : value >>> 0;
  if (Number.isNaN(value)) return 0;
  const [low, high] = INTEGER_RANGE[to];
  return Math.min(Math.max(Math.trunc(value), low), high);
}
