/**
 * Sums of sources where an index says, each source visited once.
 *
 * A unit has some columns of one outer element to itself and takes its sources in order: nobody else adds to its sums,
 * and their bits are the same for any number of threads.
 */
import type { ValueSpec } from "../tensor/fused.ts";
import type { Value } from "./assembler/instructions.ts";
import { f32x4, i32, i32x4, v128 } from "./assembler/instructions.ts";
import type { WasmKernel, WasmLowering } from "./kernel.ts";

/** Words that a unit clears. */
const CLEARED_WORDS = 1 << 15;
/** Columns of a unit: a cache line of a row. */
const UNIT_COLUMNS = 16;

/** In: index [O or 1, T, I or 1], 32-bit integers; source [O, T, I]. Out: [O, size, I]; indices outside add to nothing. */
export function scatterAdd(index: ValueSpec, source: ValueSpec, size: number): WasmLowering {
  const [outer, length, inner] = source.shape;
  const [everyRow, everyColumn] = [index.shape[0] === 1, index.shape[2] === 1];
  const { add } = source.dtype === "f32" ? f32x4 : i32x4;
  const groups = Math.ceil(inner / UNIT_COLUMNS);
  const kernel: WasmKernel = {
    name: "scatterAdd",
    units: outer * groups,
    threadBytes: 0,
    emit(f, { begin, end, input, output }) {
      const place = f.local("i32", i32.const(0));
      f.for(begin, end, 1, (unit) => {
        const row = f.name(i32.divU(unit, i32.const(groups)));
        const first = f.name(i32.mul(i32.remU(unit, i32.const(groups)), i32.const(UNIT_COLUMNS)));
        const rest = f.name(i32.sub(i32.const(inner), first));
        const columns = f.least(rest, UNIT_COLUMNS);
        const bytes = f.name(i32.shl(columns, i32.const(2)));
        const vectorBytes = f.name(i32.and(bytes, i32.const(-16)));
        const start = (base: Value, rows: number) =>
          f.name(i32.add(base, i32.shl(i32.add(i32.mul(row, i32.const(rows * inner)), first), i32.const(2))));
        const sums = start(output(0), size);
        const sources = start(input(1), length);
        const indexRow = everyRow ? input(0) : i32.add(input(0), i32.mul(row, i32.const(4 * length * index.shape[2])));
        const indices = f.name(everyColumn ? indexRow : i32.add(indexRow, i32.shl(first, i32.const(2))));

        const addOne = (to: Value, from: Value): void =>
          f.store32Lane(to, add(v128.load32Zero(to), v128.load32Zero(from)), 0);
        f.for(i32.const(0), i32.const(length), 1, (t) => {
          const from = f.name(i32.add(sources, i32.mul(t, i32.const(4 * inner))));
          const inside = () => i32.ltU(place, i32.const(size));
          if (everyColumn) {
            f.set(place, i32.load(i32.add(indices, i32.shl(t, i32.const(2)))));
            f.if(inside(), () => {
              const to = f.name(i32.add(sums, i32.mul(place, i32.const(4 * inner))));
              f.for(i32.const(0), vectorBytes, 16, (byte) => {
                const at = f.name(i32.add(to, byte));
                f.store(at, add(v128.load(at), v128.load(i32.add(from, byte))));
              });
              f.for(vectorBytes, bytes, 4, (byte) => addOne(f.name(i32.add(to, byte)), f.name(i32.add(from, byte))));
            });
          } else {
            const named = f.name(i32.add(indices, i32.mul(t, i32.const(4 * inner))));
            f.for(i32.const(0), bytes, 4, (byte) => {
              f.set(place, i32.load(i32.add(named, byte)));
              f.if(inside(), () => {
                const to = f.name(i32.add(i32.add(sums, byte), i32.mul(place, i32.const(4 * inner))));
                addOne(to, f.name(i32.add(from, byte)));
              });
            });
          }
        });
      });
    },
  };
  return { kernels: [clear(outer * size * inner), kernel], scratch: [] };
}

/** Zeros in the result: the last vector may reach into the padding that follows every tensor. */
function clear(words: number): WasmKernel {
  return {
    name: "scatterAdd.clear",
    units: Math.ceil(words / CLEARED_WORDS),
    threadBytes: 0,
    emit(f, { begin, end, output }) {
      const last = f.name(i32.mul(end, i32.const(CLEARED_WORDS)));
      const stop = f.least(last, words);
      f.for(i32.mul(begin, i32.const(CLEARED_WORDS)), stop, 4, (word) =>
        f.store(i32.add(output(0), i32.shl(word, i32.const(2))), i32x4.const(0)),
      );
    },
  };
}
