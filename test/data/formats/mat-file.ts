/** MATLAB 5 files put together by hand, for the reader's tests and fuzzing. */
import { deflateSync } from "node:zlib";

const MI = { i8: 1, u8: 2, i32: 5, u32: 6, f64: 9, matrix: 14, compressed: 15 };

function element(type: number, data: Uint8Array, pad = true): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(pad ? (8 - (data.length % 8)) % 8 : 0)]);
}

/** A variable; `values` in MATLAB's order. `kind` is MATLAB's class (6: double, 1: cell); `small` stores bytes. */
export function matVariable(
  name: string,
  shape: readonly number[],
  values: readonly number[],
  { kind = 6, small = false, flags = 0 } = {},
): Buffer {
  const numbers = small ? Uint8Array.from(values) : new Uint8Array(Float64Array.from(values).buffer);
  const content = Buffer.concat([
    element(MI.u32, new Uint8Array(Uint32Array.of(kind | flags, 0).buffer)),
    element(MI.i32, new Uint8Array(Int32Array.from(shape).buffer)),
    element(MI.i8, Buffer.from(name)),
    element(small ? MI.u8 : MI.f64, numbers),
  ]);
  return element(MI.matrix, content, false);
}

export function matFile(variables: readonly Buffer[], compress = false): Uint8Array {
  const header = Buffer.alloc(128, " ");
  header.write("MATLAB 5.0 MAT-file, made by hand");
  header.writeUInt16LE(0x0100, 124);
  header.write("IM", 126);
  return Buffer.concat([
    header,
    ...variables.map((one) => (compress ? element(MI.compressed, deflateSync(one), false) : one)),
  ]);
}
