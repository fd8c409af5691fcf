/**
 * Brings parts of tensors into a thread's memory in the layouts that `block-product.ts` reads, and results back.
 *
 * The copies cost a few hundredths of the products that use them, and buy rows that neither overhang nor share cache
 * sets, whatever the tensor's strides are. Nothing is read or written beside the rows of the tensor.
 */
import type { Callee, FunctionBuilder, Signature } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import { byCount, loadLanes, storeLanes, transpose } from "../assembler/lanes.ts";
import { NR } from "../matmul/micro-kernel.ts";

export const roundUp4 = (n: number): number => Math.ceil(n / 4) * 4;

/** Bytes from row to row of a block: whole vectors, and not so that all rows meet in few cache sets. */
export function blockRow(columns: number): number {
  const bytes = 4 * roundUp4(columns);
  return bytes % 256 === 0 ? bytes + 32 : bytes;
}

/** Bytes of [k][n] as panels of 8 columns. */
export function panelBytes(k: number, n: number): number {
  return 4 * NR * k * Math.ceil(n / NR);
}

/** Hands out parts of a thread's memory, each at a multiple of 64 bytes. */
export class ThreadLayout {
  bytes = 0;

  take(bytes: number): number {
    const at = this.bytes;
    this.bytes += Math.ceil(bytes / 64) * 64;
    return at;
  }
}

/** Vectors of a row that are printed one after the other, without a loop: in a loop each costs twice as much. */
const UNROLLED = 8;

/** One vector of a row: where it stands within the row, in bytes, and how many lanes it has. */
interface RowVector {
  readonly offset: number;
  readonly count: number;
}

/**
 * For every two neighbouring vectors of a row of `columns` elements, and what is left: where the round stands within the
 * row, in bytes, and the vectors from there on.
 */
function forVectorPairs(
  f: FunctionBuilder,
  columns: number,
  body: (byte: Value, vectors: readonly RowVector[]) => void,
): void {
  const rounds = Math.floor(columns / (4 * UNROLLED));
  const round = (byte: Value): void => {
    for (let v = 0; v < UNROLLED; v += 2)
      body(
        byte,
        [v, v + 1].map((i) => ({ offset: 16 * i, count: 4 })),
      );
  };
  if (rounds === 1) round(i32.const(0));
  else f.for(i32.const(0), i32.const(16 * UNROLLED * rounds), 16 * UNROLLED, round);
  for (let column = 4 * UNROLLED * rounds; column < columns; column += 8) {
    const places = [column, column + 4].filter((at) => at < columns);
    body(
      i32.const(0),
      places.map((at) => ({ offset: 4 * at, count: Math.min(4, columns - at) })),
    );
  }
}

/**
 * For each vector of a row of `columns` elements: where it stands, as a value and a constant to add to it, both in
 * bytes, and how many lanes it has.
 */
export function forVectors(
  f: FunctionBuilder,
  columns: number,
  body: (byte: Value, offset: number, count: number) => void,
): void {
  forVectorPairs(f, columns, (byte, vectors) => vectors.forEach(({ offset, count }) => body(byte, offset, count)));
}

/**
 * Stores a row of `columns` elements at `to`, vector by vector as `value` computes them from `rows`. Of two neighbours
 * all is loaded before anything is stored, and from one address: engines that join vectors need that.
 */
export function mapRow(
  f: FunctionBuilder,
  columns: number,
  to: Value,
  rows: readonly Value[],
  value: (load: (row: number) => Value) => Value,
): void {
  forVectorPairs(f, columns, (byte, vectors) => {
    const target = f.name(i32.add(to, byte));
    const sources = rows.map((row) => f.name(i32.add(row, byte)));
    const values = vectors.map(({ offset, count }) =>
      f.local(
        "v128",
        value((row) => loadLanes(sources[row], count, offset)),
      ),
    );
    vectors.forEach(({ offset, count }, i) => storeLanes(f, target, values[i], count, offset));
  });
}

/**
 * Walks `bytes` of a row, a multiple of 16 known when the code runs: two neighbouring vectors at a time with `paired`
 * and what is left, else one by one. `body` is given where it stands and the bytes from there to each vector.
 */
export function forVectorsOf(
  f: FunctionBuilder,
  paired: boolean,
  bytes: Value,
  body: (byte: Value, vectors: readonly number[]) => void,
): void {
  const end = f.name(bytes);
  const pairs = paired ? f.name(i32.and(end, i32.const(-32))) : i32.const(0);
  if (paired) f.for(i32.const(0), pairs, 32, (byte) => f.forgetting(() => body(byte, [0, 16])));
  f.for(pairs, end, 16, (byte) => body(byte, [0]));
}

const PACK: Signature = { parameters: ["i32", "i32", "i32", "i32"] };

/** Sizes of a copy: elements of a row, and bytes from row to row. */
interface RowCopy {
  readonly columns: number;
  readonly fromRow: number;
  readonly toRow: number;
}

/**
 * The function (from, to, rows, factor: f32): a block's rows = a tensor's rows · factor; lanes up to the next multiple
 * of 4 are 0.
 */
export function copyRows(context: KernelContext, { columns, fromRow, toRow }: RowCopy): Callee {
  const key = `copyRows ${[columns, fromRow, toRow].join()}`;
  const signature: Signature = { parameters: ["i32", "i32", "i32", "f32"] };
  return context.shared(key, (module) =>
    module.function(signature, (f) => {
      const [from, to, rows, factor] = f.parameters;
      const scale = f.local("v128", f32x4.splat(factor));
      f.for(i32.const(0), rows, 1, () => {
        forVectorPairs(f, columns, (byte, vectors) => {
          const [source, target] = [f.name(i32.add(from, byte)), f.name(i32.add(to, byte))];
          const scaled = vectors.map(({ offset, count }) =>
            f.local("v128", f32x4.mul(loadLanes(source, count, offset), scale)),
          );
          vectors.forEach(({ offset }, i) => f.store(target, scaled[i], offset));
        });
        f.set(from, i32.add(from, i32.const(fromRow)));
        f.set(to, i32.add(to, i32.const(toRow)));
      });
    }),
  );
}

/**
 * The function (from, to, rows, factor: f32): a tensor's rows = a block's rows · factor, or += with `add`. With `each`,
 * every row has a factor of its own, and `factor` is the address (i32) of the first.
 */
export function storeRows(
  context: KernelContext,
  { columns, fromRow, toRow, add = false, each = false }: RowCopy & { readonly add?: boolean; readonly each?: boolean },
): Callee {
  const signature: Signature = { parameters: ["i32", "i32", "i32", each ? "i32" : "f32"] };
  const key = `storeRows ${[columns, fromRow, toRow, add, each].join()}`;
  return context.shared(key, (module) =>
    module.function(signature, (f) => {
      const [from, to, rows, factor] = f.parameters;
      const scale = f.local("v128", each ? f32x4.const(0) : f32x4.splat(factor));
      f.for(i32.const(0), rows, 1, () => {
        if (each) f.set(scale, v128.load32Splat(factor));
        mapRow(f, columns, to, [from, to], (load) => {
          const scaled = f32x4.mul(load(0), scale);
          return add ? f32x4.add(load(1), scaled) : scaled;
        });
        if (each) f.set(factor, i32.add(factor, i32.const(4)));
        f.set(from, i32.add(from, i32.const(fromRow)));
        f.set(to, i32.add(to, i32.const(toRow)));
      });
    }),
  );
}

/**
 * The function (from, to, rows, columns): rows of a tensor, `fromRow` bytes apart, as panels [panel][row][8]. Of the
 * columns beyond, those up to a multiple of 4 are 0 and the others are left as they are.
 */
export function packRows(context: KernelContext, fromRow: number): Callee {
  return context.shared(`packRows ${fromRow}`, (module) =>
    module.function(PACK, (f) => {
      const [from, to, rows, columns] = f.parameters;
      const each = (column: Value, copy: (source: Value, target: Value) => void): void => {
        const source = f.local("i32", i32.add(from, i32.shl(column, i32.const(2))));
        f.for(i32.const(0), rows, 1, () => {
          copy(source, to);
          f.set(source, i32.add(source, i32.const(fromRow)));
          f.set(to, i32.add(to, i32.const(4 * NR)));
        });
      };
      f.for(i32.const(0), columns, NR, (column) => {
        const left = f.local("i32", i32.sub(columns, column));
        f.if(
          i32.geS(left, i32.const(NR)),
          () =>
            each(column, (source, target) =>
              f.forgetting(() => {
                const halves = [0, 16].map((offset) => f.local("v128", v128.load(source, offset)));
                halves.forEach((half, i) => f.store(target, half, 16 * i));
              }),
            ),
          () =>
            f.if(
              i32.gtS(left, i32.const(4)),
              () =>
                byCount(f, i32.sub(left, i32.const(4)), (count) =>
                  each(column, (source, target) => {
                    f.store(target, v128.load(source));
                    f.store(target, loadLanes(source, count, 16), 16);
                  }),
                ),
              () =>
                byCount(f, left, (count) =>
                  each(column, (source, target) => f.store(target, loadLanes(source, count))),
                ),
            ),
        );
      });
    }),
  );
}

/**
 * The function (from, to, rows, columns): rows of a tensor, `fromRow` bytes apart, as the columns of panels
 * [panel][column][8]. Beyond `rows` the last row is repeated up to a multiple of 4.
 */
export function packColumns(context: KernelContext, fromRow: number): Callee {
  return context.shared(`packColumns ${fromRow}`, (module) =>
    module.function(PACK, (f) => {
      const [from, to, rows, columns] = f.parameters;
      const last = f.local("i32", i32.sub(rows, i32.const(1)));
      const panel = f.local("i32", i32.mul(columns, i32.const(4 * NR)));
      f.for(i32.const(0), rows, 4, (row) => {
        const sources = [0, 1, 2, 3].map((r) => {
          const within = f.least(i32.add(row, i32.const(r)), last);
          return f.local("i32", i32.add(from, i32.mul(within, i32.const(fromRow))));
        });
        // Rows 0–3 of eight are the left half of a panel, rows 4–7 the right.
        const target = f.local(
          "i32",
          i32.add(
            i32.add(to, i32.mul(i32.shrU(row, i32.const(3)), panel)),
            i32.shl(i32.and(row, i32.const(4)), i32.const(2)),
          ),
        );
        const full = f.local("i32", i32.and(columns, i32.const(-4)));
        const four = (count: number): void => {
          const rowsOfBlock = sources.map((source) => f.local("v128", loadLanes(source, count)));
          transpose(f, rowsOfBlock)
            .slice(0, count)
            .forEach((column, i) => f.store(target, column, 4 * NR * i));
        };
        f.for(i32.const(0), full, 4, () => {
          four(4);
          sources.forEach((source) => f.set(source, i32.add(source, i32.const(16))));
          f.set(target, i32.add(target, i32.const(16 * NR)));
        });
        const left = f.local("i32", i32.sub(columns, full));
        f.if(left, () => byCount(f, left, four));
      });
    }),
  );
}
