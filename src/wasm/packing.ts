/**
 * Packing: a block of a matrix copied into panels, in the order the register tile reads them: for every step of k, the
 * panel's rows of A (or columns of B) side by side, absent ones 0. Below, the axis that is not k is called `outer`.
 *
 * Copying costs a load and a store an element, so it pays from about 16 uses an element, and where elements lie side by
 * side along k it is what brings the lanes of a vector together: 4×4 blocks are transposed in registers.
 */
import type { Callee, FunctionBuilder, Local } from "./function.ts";
import type { Value } from "./instructions.ts";
import { f32x4, i32, v128 } from "./instructions.ts";
import type { KernelContext } from "./kernel.ts";
import { transpose } from "./lanes.ts";

/** Reads of an operand from code: one element, or four neighbours along `lanes`, at a position. */
export interface OperandReader {
  /** Along which axis four elements can be had as one vector. */
  readonly lanes: "outer" | "k";
  /** Four elements from (outer, k) along `lanes`: a v128. */
  four(outer: Value, k: Value): Value;
  /** One element in every lane, or lane 0 of a v128. */
  one(outer: Value, k: Value): Value;
}

/** What is packed into one panel. */
export interface PanelShape {
  /** Rows (or columns) of a panel: a multiple of 4. */
  readonly width: number;
  /** Of these, how many there are; the others are filled with 0. */
  readonly valid: number;
}

/**
 * The function (from, to, steps): packs one panel of f32 elements that stand `outer` bytes apart along the panel and `k`
 * bytes apart from step to step. `from` is the address of the panel's first element at its first step, steps ≥ 1.
 */
export function packPlain(context: KernelContext, { width, valid }: PanelShape, outer: number, k: number): Callee {
  return context.shared(`matmul.pack ${width} ${valid} ${outer} ${k}`, (module) =>
    module.function({ parameters: ["i32", "i32", "i32"] }, (f) => {
      const [from, to, steps] = f.parameters;
      const end = f.local("i32", i32.add(to, i32.mul(steps, i32.const(4 * width))));
      const zero = f32x4.const(0);
      const advance = (count: number) => {
        f.set(from, i32.add(from, i32.const(count * k)));
        f.set(to, i32.add(to, i32.const(count * 4 * width)));
      };
      /** One step: the four elements of vector `group`. */
      const gather = (group: number): Value => {
        const count = Math.max(0, Math.min(4, valid - 4 * group));
        if (count === 0) return zero;
        const at = 4 * group * outer;
        if (outer === 4 && count === 4) return v128.load(from, at);
        let value = v128.load32Zero(from, at);
        for (let lane = 1; lane < count; lane++) value = v128.load32Lane(from, value, lane, at + lane * outer);
        return value;
      };
      const groups = Array.from({ length: width / 4 }, (_, g) => g);
      if (k === 4 && outer !== 4) {
        const fours = f.local("i32", i32.sub(end, i32.const(16 * width)));
        f.while(() => i32.leU(to, fours), () => {
          for (const group of groups) {
            const rows = [0, 1, 2, 3].map((i) => (4 * group + i < valid ? v128.load(from, (4 * group + i) * outer) : zero));
            transpose(f, rows).forEach((column, step) => f.store(to, column, 4 * width * step + 16 * group));
          }
          advance(4);
        });
      }
      f.while(() => i32.ltU(to, end), () => {
        for (const group of groups) f.store(to, gather(group), 16 * group);
        advance(1);
      });
    }));
}

/**
 * Packs one panel from a reader: steps `from` to `to` of k, rows (or columns) from `first`, to `at`. Contrary to
 * `packPlain` the code is written in place.
 */
export function packRead(
  f: FunctionBuilder, reader: OperandReader, { width, valid }: PanelShape, first: Value, k: { from: Value; to: Value }, at: Value,
): void {
  const to = f.local("i32", at);
  const index: Local = f.local("i32", k.from);
  const end = f.name(k.to);
  const zero = f32x4.const(0);
  const groups = Array.from({ length: width / 4 }, (_, g) => g);
  const outerAt = (i: number) => i32.add(first, i32.const(i));
  const gather = (group: number): Value => {
    const count = Math.max(0, Math.min(4, valid - 4 * group));
    if (count === 0) return zero;
    if (count === 4 && reader.lanes === "outer") return reader.four(outerAt(4 * group), index);
    const value = f.local("v128", zero);
    for (let lane = 0; lane < count; lane++) {
      f.set(value, f32x4.replace(value, lane, f32x4.extract(reader.one(outerAt(4 * group + lane), index), 0)));
    }
    return value;
  };
  if (reader.lanes === "k") {
    const fours = f.name(i32.sub(end, i32.const(4)));
    f.while(() => i32.leS(index, fours), () => {
      for (const group of groups) {
        const rows = [0, 1, 2, 3].map((i) =>
          (4 * group + i < valid ? f.name(reader.four(outerAt(4 * group + i), index)) : zero));
        transpose(f, rows).forEach((column, step) => f.store(to, column, 4 * width * step + 16 * group));
      }
      f.set(index, i32.add(index, i32.const(4)));
      f.set(to, i32.add(to, i32.const(16 * width)));
    });
  }
  f.while(() => i32.ltS(index, end), () => {
    for (const group of groups) f.store(to, gather(group), 16 * group);
    f.set(index, i32.add(index, i32.const(1)));
    f.set(to, i32.add(to, i32.const(4 * width)));
  });
}
