/** Words of memory and the lanes they become: four from four places, bools as masks, casts between dtypes. */
import type { DType } from "../../tensor/dtype.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32x4, v128 } from "../assembler/instructions.ts";

/** Four words from four places, each an address and an offset. */
export function gather(place: (lane: number) => readonly [Value, number]): Value {
  const [first, offset] = place(0);
  let vector = v128.load32Zero(first, offset);
  for (let lane = 1; lane < 4; lane++) {
    const [address, laneOffset] = place(lane);
    vector = v128.load32Lane(address, vector, lane, laneOffset);
  }
  return vector;
}

export function constantVector(value: number, dtype: DType): Value {
  if (dtype === "bool") return i32x4.const(value ? -1 : 0);
  return dtype === "f32" ? f32x4.const(value) : i32x4.const(value);
}

/** Bools are 0 or 1 in memory, masks in registers. */
export function asRegister(words: Value, dtype: DType): Value {
  return dtype === "bool" ? i32x4.ne(words, i32x4.const(0)) : words;
}

export function asMemory(value: Value, dtype: DType): Value {
  return dtype === "bool" ? v128.and(value, i32x4.const(1)) : value;
}

export function cast(value: Value, from: DType, to: DType): Value {
  if (from === to) return value;
  if (to === "bool") return from === "f32" ? f32x4.ne(value, f32x4.const(0)) : i32x4.ne(value, i32x4.const(0));
  if (from === "bool") return v128.and(value, to === "f32" ? f32x4.const(1) : i32x4.const(1));
  if (to === "f32") return from === "u32" ? f32x4.convertI32x4U(value) : f32x4.convertI32x4S(value);
  if (from === "f32") return to === "u32" ? i32x4.truncSatF32x4U(value) : i32x4.truncSatF32x4S(value);
  return value;
}
