/** The random generator of `src/tensor/threefry.ts` over four lanes. */
import { THREEFRY_PARITY, THREEFRY_ROTATIONS, THREEFRY_ROUNDS } from "../../tensor/threefry.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, i32x4, v128 } from "../assembler/instructions.ts";

const { add } = i32x4;

/** Both words of the blocks with counters (c0, c1) under the key (k0, k1); all are four lanes. */
export function threefry(f: FunctionBuilder, k0: Value, k1: Value, c0: Value, c1: Value): [Value, Value] {
  const keys = [k0, k1, f.name(v128.xor(v128.xor(k0, k1), i32x4.const(THREEFRY_PARITY)))];
  let x0 = f.name(add(c0, k0));
  let x1 = f.name(add(c1, k1));
  for (let round = 0; round < THREEFRY_ROUNDS; round++) {
    const distance = THREEFRY_ROTATIONS[round % 8];
    x0 = f.name(add(x0, x1));
    const rotated = v128.or(i32x4.shl(x1, i32.const(distance)), i32x4.shrU(x1, i32.const(32 - distance)));
    x1 = f.name(v128.xor(rotated, x0));
    if (round % 4 === 3) {
      const step = (round + 1) / 4;
      x0 = f.name(add(x0, keys[step % 3]));
      x1 = f.name(add(x1, add(keys[(step + 1) % 3], i32x4.const(step))));
    }
  }
  return [x0, x1];
}
