/**
 * Element types, and the typed arrays that hold them on the host.
 *
 * `f32`, `i32`, `u32`, `bool` exist on every device; `f64` only on the reference device (which computes every
 * floating type in double precision); `f16` is a storage type: arithmetic on it is done in f32.
 */
export type DType = "f32" | "f16" | "f64" | "i32" | "u32" | "bool";

/** Host data as users hand it in and get it back. `bool` and `f16` travel as `Uint8Array` and `Float32Array`. */
export type HostArray = Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array;

export const DTYPES: readonly DType[] = ["f32", "f16", "f64", "i32", "u32", "bool"];

export function isFloat(dtype: DType): boolean {
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

/** The dtype a bare typed array stands for when the caller names none. */
export function dtypeOfArray(data: HostArray): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Float64Array) return "f64";
  if (data instanceof Int32Array) return "i32";
  if (data instanceof Uint32Array) return "u32";
  return "bool";
}

/**
 * A value as another dtype. Floats become integers by truncation and saturation (NaN becomes 0), as in WGSL and WASM;
 * integers become integers of the other sign by their 32 bits.
 */
export function castValue(value: number, from: DType, to: DType): number {
  if (to === "bool") return value !== 0 ? 1 : 0;
  if (to !== "i32" && to !== "u32") return value;
  if (!isFloat(from)) return to === "i32" ? value | 0 : value >>> 0;
  if (Number.isNaN(value)) return 0;
  const [low, high] = to === "i32" ? [-2147483648, 2147483647] : [0, 4294967295];
  return Math.min(Math.max(Math.trunc(value), low), high);
}
