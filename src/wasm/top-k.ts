/**
 * The k largest elements of every row, in one pass: a list of the largest so far, in order, and a look at four elements
 * at a time whether any is above the list's last. Rarely one is, once the list has seen a part of the row.
 *
 * Of equals the first comes first, as an element only moves up past smaller ones. NaN is above every number.
 */
import type { Shape } from "../tensor/shape.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Value } from "./assembler/instructions.ts";
import { f32, f32x4, i32, select, v128 } from "./assembler/instructions.ts";
import type { WasmKernel, WasmLowering } from "./kernel.ts";

/** In: x [..., n], f32. Out: values [..., k], f32, largest first, and their indices [..., k], i32. */
export function topK(shape: Shape, k: number): WasmLowering {
  const n = shape[shape.length - 1];
  const kernel: WasmKernel = {
    name: "topK",
    units: sizeOf(shape) / n,
    threadBytes: 0,
    emit(f, { begin, end, input, output }) {
      const least = f.local("f32", f32.const(0));
      const value = f.local("f32", f32.const(0));
      const place = f.local("i32", i32.const(0));
      f.for(begin, end, 1, (row) => {
        const x = f.local("i32", i32.add(input(0), i32.mul(row, i32.const(4 * n))));
        const values = f.local("i32", i32.add(output(0), i32.mul(row, i32.const(4 * k))));
        const indices = f.local("i32", i32.add(output(1), i32.mul(row, i32.const(4 * k))));
        /** Whether x comes before y, an element of the list. */
        const ahead = (x: Value, y: Value): Value => i32.and(i32.eqz(f32.ge(y, x)), f32.eq(y, y));
        /** Moves up past smaller ones what is at `place` of the list. Before the first there is nothing to read. */
        const moveUp = (index: Value): void => {
          const before = (): Value => i32.sub(place, i32.const(4));
          const previous = (): Value => f32.load(i32.add(values, select(place, before(), i32.const(0))));
          f.while(
            () => i32.and(i32.ne(place, i32.const(0)), ahead(value, previous())),
            () => {
              f.store(i32.add(values, place), f32.load(i32.add(values, before())));
              f.store(i32.add(indices, place), i32.load(i32.add(indices, before())));
              f.set(place, before());
            },
          );
          f.store(i32.add(values, place), value);
          f.store(i32.add(indices, place), index);
        };
        const read = (index: Value): void => f.set(value, f32.load(i32.add(x, i32.shl(index, i32.const(2)))));
        const offer = (index: Value): void => {
          read(index);
          f.if(ahead(value, least), () => {
            f.set(place, i32.const(4 * (k - 1)));
            moveUp(index);
            f.set(least, f32.load(values, 4 * (k - 1)));
          });
        };
        f.for(i32.const(0), i32.const(k), 1, (index) => {
          read(index);
          f.set(place, i32.shl(index, i32.const(2)));
          moveUp(index);
        });
        f.set(least, f32.load(values, 4 * (k - 1)));
        const aligned = Math.min(n, 4 * Math.ceil(k / 4));
        const whole = aligned + 4 * Math.floor((n - aligned) / 4);
        for (let index = k; index < aligned; index++) offer(i32.const(index));
        f.for(i32.const(aligned), i32.const(whole), 4, (index) => {
          const four = v128.load(i32.add(x, i32.shl(index, i32.const(2))));
          f.if(v128.anyTrue(v128.not(f32x4.le(four, f32x4.splat(least)))), () => {
            for (let lane = 0; lane < 4; lane++) offer(i32.add(index, i32.const(lane)));
          });
        });
        for (let index = whole; index < n; index++) offer(i32.const(index));
      });
    },
  };
  return { kernels: [kernel], scratch: [] };
}
