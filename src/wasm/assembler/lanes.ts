/**
 * Fewer than four elements at a time: loads and stores that touch nothing beside them, and sums over lanes.
 */
import type { FunctionBuilder } from "./function.ts";
import type { Value } from "./instructions.ts";
import { f32x4, i32, i32x4, v128 } from "./instructions.ts";

/** The first `count` (1–4) elements at `address`, 0 in the other lanes. `address` is used twice for 3. */
export function loadLanes(address: Value, count: number, offset = 0): Value {
  if (count === 1) return v128.load32Zero(address, offset);
  if (count === 2) return v128.load64Zero(address, offset);
  if (count === 3) return v128.load32Lane(address, v128.load64Zero(address, offset), 2, offset + 8);
  return v128.load(address, offset);
}

/** Stores the first `count` (1–4) lanes. `address` and `value` are used twice for 3. */
export function storeLanes(f: FunctionBuilder, address: Value, value: Value, count: number, offset = 0): void {
  if (count === 4) return f.store(address, value, offset);
  if (count >= 2) f.store64Lane(address, value, 0, offset);
  if (count !== 2) f.store32Lane(address, value, count - 1, offset + 4 * (count - 1));
}

/** Calls `emit(count)` for the case that `count` (a value from 1 to 4, or more: 4) holds when the code runs. */
export function byCount(f: FunctionBuilder, count: Value, emit: (count: number) => void): void {
  const given = f.name(count);
  f.if(
    i32.geS(given, i32.const(4)),
    () => emit(4),
    () =>
      f.if(
        i32.eq(given, i32.const(3)),
        () => emit(3),
        () =>
          f.if(
            i32.eq(given, i32.const(2)),
            () => emit(2),
            () => emit(1),
          ),
      ),
  );
}

/** All ones in the lanes below `count`, 0 in the others. */
export function lanesBelow(count: Value): Value {
  return i32x4.gtS(i32x4.splat(count), v128.const([0, 1, 2, 3]));
}

const halves = (x: Value): Value => v128.shuffle32(x, x, [2, 3, 0, 1]);
const neighbours = (x: Value): Value => v128.shuffle32(x, x, [1, 0, 3, 2]);

/** The sum of all lanes, in every lane. */
export function sumOfLanes(f: FunctionBuilder, x: Value): Value {
  const whole = f.name(x);
  const pairs = f.local("v128", f32x4.add(whole, halves(whole)));
  return f.local("v128", f32x4.add(pairs, neighbours(pairs)));
}

/** The largest lane, in every lane; NaN where one is. */
export function maxOfLanes(f: FunctionBuilder, x: Value): Value {
  const whole = f.name(x);
  const pairs = f.local("v128", f32x4.max(whole, halves(whole)));
  return f.local("v128", f32x4.max(pairs, neighbours(pairs)));
}

/** Four vectors, rows of a 4×4 block, as the block's columns. */
export function transpose(f: FunctionBuilder, [a, b, c, d]: readonly Value[]): Value[] {
  const low = f.local("v128", v128.shuffle32(a, b, [0, 4, 1, 5]));
  const high = f.local("v128", v128.shuffle32(a, b, [2, 6, 3, 7]));
  const lowNext = f.local("v128", v128.shuffle32(c, d, [0, 4, 1, 5]));
  const highNext = f.local("v128", v128.shuffle32(c, d, [2, 6, 3, 7]));
  return [
    v128.shuffle32(low, lowNext, [0, 1, 4, 5]),
    v128.shuffle32(low, lowNext, [2, 3, 6, 7]),
    v128.shuffle32(high, highNext, [0, 1, 4, 5]),
    v128.shuffle32(high, highNext, [2, 3, 6, 7]),
  ];
}
