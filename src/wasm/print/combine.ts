/**
 * How a reduction's values become one: what each operation starts from, how two vectors of lanes are combined, and how long
 * sums are cut.
 */
import type { Accumulator } from "../../compiler/kernels.ts";
import type { ReduceName } from "../../tensor/node.ts";
import type { Value } from "../assembler/instructions.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import { f32x4, i32, i32x4 } from "../assembler/instructions.ts";

type Operation = (x: Value, y: Value) => Value;

/** What f32, i32 and u32 start from, and how their lanes are combined. */
const REDUCTIONS: Record<ReduceName, readonly (readonly [number, Operation])[]> = {
  sum: [
    [0, f32x4.add],
    [0, i32x4.add],
    [0, i32x4.add],
  ],
  prod: [
    [1, f32x4.mul],
    [1, i32x4.mul],
    [1, i32x4.mul],
  ],
  max: [
    [-Infinity, f32x4.max],
    [-2147483648, i32x4.maxS],
    [0, i32x4.maxU],
  ],
  min: [
    [Infinity, f32x4.min],
    [2147483647, i32x4.minS],
    [4294967295, i32x4.minU],
  ],
};

const reductionOf = ({ name, value: { dtype } }: Accumulator) =>
  REDUCTIONS[name][dtype === "f32" ? 0 : dtype === "i32" ? 1 : 2];

/** What a reduction starts from, in every lane. */
export const identity = (a: Accumulator): Value => (a.value.dtype === "f32" ? f32x4 : i32x4).const(reductionOf(a)[0]);

/** Lane by lane. A NaN stays one. */
export const combine = (a: Accumulator, x: Value, y: Value): Value => reductionOf(a)[1](x, y);

/** Elements, or rounds of several, of which more are summed in blocks. */
export const LONG_CHAIN = 256;

/**
 * Code to come by at each of `count`, which does `endBlock` at the end of every block. Blocks have a power of two of them,
 * about as many as there are blocks: rounding errors then do not grow with the length (Higham 1993, SIAM J. Sci. Comput.
 * 14(4)).
 */
export function inBlocks(f: FunctionBuilder, count: number, endBlock: () => void): () => void {
  const block = 2 ** Math.ceil(Math.log2(count) / 2);
  const done = f.local("i32", i32.const(0));
  return () => {
    f.set(done, i32.add(done, i32.const(1)));
    f.if(i32.eqz(i32.and(done, i32.const(block - 1))), endBlock);
  };
}
