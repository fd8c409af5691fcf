/**
 * The two 16-bit floating types, IEEE 754 binary16 ("f16") and bfloat16 ("bf16"), converted to and from float32.
 *
 * JavaScript has no 16-bit float array on every supported runtime, so both are kept as their raw bits in a
 * `Uint16Array`. Widening is exact. Narrowing rounds to nearest, ties to even, as PyTorch's `Tensor.half()` and
 * `Tensor.bfloat16()` and NumPy's `astype(float16)` do; values past the range become infinities; NaN stays NaN.
 */

const floatScratch = new Float32Array(1);
const bitsScratch = new Uint32Array(floatScratch.buffer);

/** Every binary16 value, indexed by its bits: 65,536 floats (256 KiB), built at first use. */
let halfTable: Float32Array | undefined;

function buildHalfTable(): Float32Array {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    const sign = bits & 0x8000 ? -1 : 1;
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[bits] = fraction === 0 ? sign * Infinity : NaN;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
}

/** binary16 bits to float32, exactly. */
export function f16ToFloat32(bits: Uint16Array): Float32Array {
  halfTable ??= buildHalfTable();
  const result = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) result[i] = halfTable[bits[i]];
  return result;
}

/** The `values`, as float32, to binary16 bits, rounding to nearest even. Past ±65520 gives ±infinity. */
export function float32ToF16(values: ArrayLike<number>): Uint16Array {
  const result = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    floatScratch[0] = values[i];
    const bits = bitsScratch[0];
    const sign = (bits >>> 16) & 0x8000;
    const magnitude = bits & 0x7fffffff;
    let half: number;
    if (magnitude > 0x7f800000) {
      half = 0x7e00;
    } else if (magnitude >= 0x47800000) {
      half = 0x7c00;
    } else if (magnitude >= 0x38800000) {
      // A normal number: rebias the exponent (127 - 15 = 112) and drop 13 bits. A carry out of the fraction
      // lands in the exponent, which is the right result, up to and including infinity.
      half = ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13) & 0x7fff;
    } else {
      // A subnormal: an integer multiple of 2^-24. The product is exact in double precision.
      const scaled = Math.abs(floatScratch[0]) * 2 ** 24;
      const floor = Math.floor(scaled);
      const rest = scaled - floor;
      half = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
    }
    result[i] = sign | half;
  }
  return result;
}

/** bfloat16 bits to float32, exactly: they are a float32's upper half. */
export function bf16ToFloat32(bits: Uint16Array): Float32Array {
  const result = new Float32Array(bits.length);
  const words = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return result;
}

/** The `values`, as float32, to bfloat16 bits, rounding to nearest even. */
export function float32ToBf16(values: ArrayLike<number>): Uint16Array {
  const result = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    floatScratch[0] = values[i];
    const bits = bitsScratch[0];
    // Rounding could carry a NaN's payload into infinity, so NaN takes its own path.
    result[i] = (bits & 0x7fffffff) > 0x7f800000 ? (bits >>> 16) | 0x40 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return result;
}
