/**
 * WebAssembly's instructions for kernels of one's own: those that the engine's kernels use, and the rest. A bundle of the
 * engine carries only its own.
 */
import type { Value } from "./instructions.ts";
import * as engine from "./instructions.ts";
import { binary, load, operation, simd, unary } from "./instructions.ts";

/** Values of 32-bit integers, addresses among them: `S` takes operands as signed, `U` as unsigned. */
export const i32 = {
  ...engine.i32,
  or: binary("i32", "i32", 0x72),
  rotl: binary("i32", "i32", 0x77),
  geU: binary("i32", "i32", 0x4f),
  load8U: load("i32", 0, 0x2d),
  load16U: load("i32", 1, 0x2f),
  /** Towards zero; the nearest integer there is for what is too large, 0 for NaN. */
  truncSatF32S: unary("i32", "f32", 0xfc, 0x00),
  truncSatF32U: unary("i32", "f32", 0xfc, 0x01),
  reinterpretF32: unary("i32", "f32", 0xbc),
};

/** Values of float32. Comparisons give an i32, 1 or 0. */
export const f32 = {
  ...engine.f32,
  add: binary("f32", "f32", 0x92),
  sub: binary("f32", "f32", 0x93),
  mul: binary("f32", "f32", 0x94),
  div: binary("f32", "f32", 0x95),
  min: binary("f32", "f32", 0x96),
  max: binary("f32", "f32", 0x97),
  copysign: binary("f32", "f32", 0x98),
  abs: unary("f32", "f32", 0x8b),
  neg: unary("f32", "f32", 0x8c),
  ceil: unary("f32", "f32", 0x8d),
  floor: unary("f32", "f32", 0x8e),
  trunc: unary("f32", "f32", 0x8f),
  /** To the nearest integer, halves to the even one. */
  nearest: unary("f32", "f32", 0x90),
  sqrt: unary("f32", "f32", 0x91),
  ne: binary("i32", "f32", 0x5c),
  lt: binary("i32", "f32", 0x5d),
  gt: binary("i32", "f32", 0x5e),
  le: binary("i32", "f32", 0x5f),
  convertI32S: unary("f32", "i32", 0xb2),
  convertI32U: unary("f32", "i32", 0xb3),
  reinterpretI32: unary("f32", "i32", 0xbe),
};

/** Values of four i32 lanes. Comparisons give all bits of a lane 1, or 0. */
export const i32x4 = {
  ...engine.i32x4,
  /** 1 where no lane is 0. */
  allTrue: unary("i32", "v128", ...simd(0xa3)),
  /** The lanes' sign bits, the first lane's lowest. */
  bitmask: unary("i32", "v128", ...simd(0xa4)),
};

/** Values of four float32 lanes. Comparisons give all bits of a lane 1, or 0. */
export const f32x4 = {
  ...engine.f32x4,
  extract: (x: Value, lane: number): Value => operation("f32", [...simd(0x1f), lane], ["v128"], [x]),
  replace: (x: Value, lane: number, by: Value): Value =>
    operation("v128", [...simd(0x20), lane], ["v128", "f32"], [x, by]),
};
