/** Host arrays in the form device buffers hold: bools as u32, f16 as half-precision words, and back. */
import { f16ToFloat32, float32ToF16 } from "../tensor/float16.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";

/** The bytes a buffer of `dtype` is filled with. */
export function toDevice(data: HostArray, dtype: DType): ArrayBufferView {
  switch (dtype) {
    case "bool":
      return Uint32Array.from(data, (v) => (v ? 1 : 0));
    case "f16":
      return float32ToF16(data as Float32Array);
    case "f32":
      return data instanceof Float32Array ? data : Float32Array.from(data);
    case "i32":
      return data instanceof Int32Array ? data : Int32Array.from(data);
    case "u32":
      return data instanceof Uint32Array ? data : Uint32Array.from(data);
    case "f64":
      throw new Error("float64 tensors exist on the reference device only; cast to f32 first");
  }
}

/** Values of `length` elements from a buffer's bytes. */
export function fromDevice(bytes: ArrayBuffer, dtype: DType, length: number): HostArray {
  switch (dtype) {
    case "bool":
      return Uint8Array.from(new Uint32Array(bytes, 0, length));
    case "f16":
      return f16ToFloat32(new Uint16Array(bytes, 0, length));
    case "f32":
      return new Float32Array(bytes, 0, length);
    case "i32":
      return new Int32Array(bytes, 0, length);
    case "u32":
      return new Uint32Array(bytes, 0, length);
    case "f64":
      throw new Error("float64 tensors exist on the reference device only");
  }
}
