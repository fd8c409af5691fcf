/**
 * The inner loop of every matrix product: a tile of C held in registers while k runs.
 *
 * 4 rows × 8 columns are 8 accumulators, two vectors of B and one broadcast element of A: they fit the 16 vector
 * registers of x64. Each step of k is 6 loads and 8 multiply-adds, so the multiply-adds are the limit. Taller or wider
 * tiles of 128-bit vectors spill in V8, and unrolling k gains nothing. The layout of the panels is that of K. Goto,
 * R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
 *
 * Where V8 joins neighbouring vectors into one of 256 bits (`WasmFeatures.wide`), 4 rows × 16 columns are 8
 * accumulators again; those of 4 × 8 would be 4, too few chains to hide the latency of a multiply-add. Eight hide it
 * where nothing comes between; on some processors (`WasmFeatures.tall`) 6 rows, with twelve, are faster by a seventh, on
 * others no faster.
 *
 * Every element of C is one chain of multiply-adds in the order of k for each block of k: the result does not depend on the
 * tile.
 */
import { multiplyAdd } from "../assembler/features.ts";
import type { WasmFeatures } from "../assembler/features.ts";
import type { Callee, FunctionBuilder, Local } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, v128 } from "../assembler/instructions.ts";
import { transpose } from "../assembler/lanes.ts";
import type { KernelContext } from "../kernel.ts";

/** Rows of a packed panel of A. */
export const MR = 4;
/** Rows of one where six are faster (`WasmFeatures.tall`). */
export const TALL = 6;
/** Columns of a packed panel of B, and what the columns of blocks are multiples of. */
export const NR = 8;
/** Columns of a panel of the wide tile. */
export const WIDE_NR = 2 * NR;

/** Where an operand's elements stand, in bytes. */
interface TileStrides {
  /** Between neighbours along m (A) or between rows k (B). */
  readonly aRow: number;
  readonly aStep: number;
  readonly bStep: number;
}

/** Panels as packing leaves them: A[k][row], B[k][column], nothing between. */
export const PACKED: TileStrides = { aRow: 4, aStep: 4 * MR, bStep: 4 * NR };

interface TileShape {
  readonly rows: number;
  readonly vectors: number;
  readonly strides: TileStrides;
  /** Two steps of k a round. */
  readonly unrolled?: boolean;
}

/**
 * Multiplies `rows` rows of A by `vectors`·4 columns of B over `k` ≥ 1 steps.
 * @param a address of A's first element; it is advanced to one step past the last
 * @param b likewise of B's, or of each panel of B where the columns are those of several
 * @param bEnd address that B's, or its first panel's, ends at
 * @param initial starting values, row by row; 0 where absent
 * @returns the accumulators, row by row
 */
export function emitTile(
  f: FunctionBuilder,
  features: WasmFeatures,
  a: Local,
  b: Local | readonly Local[],
  bEnd: Value,
  { rows, vectors, strides, unrolled = false }: TileShape,
  initial?: (row: number, vector: number) => Value,
): Local[][] {
  const panels = Array.isArray(b) ? (b as readonly Local[]) : [b as Local];
  const perPanel = vectors / panels.length;
  const tile = Array.from({ length: rows }, (_, r) =>
    Array.from({ length: vectors }, (_, v) => f.local("v128", initial?.(r, v) ?? f32x4.const(0))),
  );
  const columns = Array.from({ length: vectors }, () => f.local("v128", f32x4.const(0)));
  const element = f.local("v128", f32x4.const(0));
  const step = (number: number): void => {
    columns.forEach((column, v) => {
      const place = number * strides.bStep + 16 * (v % perPanel);
      f.set(column, v128.load(panels[Math.floor(v / perPanel)], place));
    });
    tile.forEach((row, r) => {
      f.set(element, v128.load32Splat(a, number * strides.aStep + strides.aRow * r));
      row.forEach((sum, v) => f.set(sum, multiplyAdd(features, element, columns[v], sum)));
    });
  };
  const advance = (steps: number): void => {
    f.set(a, i32.add(a, i32.const(steps * strides.aStep)));
    for (const panel of panels) f.set(panel, i32.add(panel, i32.const(steps * strides.bStep)));
  };
  const [first] = panels;
  if (!unrolled) {
    f.doWhile(() => {
      step(0);
      advance(1);
      return i32.ne(first, bEnd);
    });
    return tile;
  }
  const odd = i32.and(i32.divU(i32.sub(bEnd, first), i32.const(strides.bStep)), i32.const(1));
  f.if(odd, () => {
    step(0);
    advance(1);
  });
  f.if(i32.ne(first, bEnd), () =>
    f.doWhile(() => {
      step(0);
      step(1);
      advance(2);
      return i32.ne(first, bEnd);
    }),
  );
  return tile;
}

/** A kind of `strip`: its sizes and strides are compiled in. */
interface StripShape {
  /** Rows of a panel of A: at most TALL. */
  readonly rows: number;
  /** Columns of a panel of B: NR or WIDE_NR. */
  readonly columns: number;
  readonly strides: TileStrides;
  readonly accumulate: boolean;
}

/**
 * The function (a, b, bEnd, c, cStride, panels, aPanel): tiles one below the other, `panels` ≥ 1 panels of A (`aPanel`
 * bytes apart) times one panel of B, which stays in the L1 cache meanwhile.
 */
export function strip(context: KernelContext, { rows, columns, strides, accumulate }: StripShape): Callee {
  const { aRow, aStep, bStep } = strides;
  return context.shared(`matmul.strip ${rows}x${columns} ${aRow} ${aStep} ${bStep} ${accumulate}`, (module) =>
    module.function({ parameters: ["i32", "i32", "i32", "i32", "i32", "i32", "i32"] }, (f) => {
      const [a, b, bEnd, c, stride, panels, aPanel] = f.parameters;
      const pointers = Array.from({ length: rows - 1 }, () => f.local("i32"));
      const [aAt, bAt] = [f.local("i32"), f.local("i32")];
      f.doWhile(() => {
        pointers.forEach((p, r) => f.set(p, i32.add(r === 0 ? c : pointers[r - 1], stride)));
        const at = [c, ...pointers];
        f.set(aAt, a);
        f.set(bAt, b);
        const shape = { rows, vectors: columns / 4, strides, unrolled: columns > NR };
        storeTile(f, emitTile(f, context.features, aAt, bAt, bEnd, shape), at, accumulate);
        f.set(a, i32.add(a, aPanel));
        f.set(c, i32.add(at[rows - 1], stride));
        f.set(panels, i32.sub(panels, i32.const(1)));
        return panels;
      });
    }),
  );
}

/** A kind of `rowTile`: its sizes and strides are compiled in. */
interface RowTileShape {
  /** Rows of A: at most MR. */
  readonly rows: number;
  readonly aRow: number;
  readonly aStep: number;
  /** Bytes from column to column of B, whose elements lie side by side along k. */
  readonly bColumn: number;
  readonly accumulate: boolean;
}

/**
 * The function (a, b, steps, c, cStride): a few rows of A times NR columns of B, which stand as rows in memory: 4 × 4
 * blocks of them are turned in registers, since so few rows do not pay for a copy. Chains are those of `strip`.
 */
export function rowTile(context: KernelContext, { rows, aRow, aStep, bColumn, accumulate }: RowTileShape): Callee {
  return context.shared(`matmul.rows ${rows} ${aRow} ${aStep} ${bColumn} ${accumulate}`, (module) =>
    module.function({ parameters: ["i32", "i32", "i32", "i32", "i32"] }, (f) => {
      const [a, b, steps, c, stride] = f.parameters;
      const at = [c];
      for (let r = 1; r < rows; r++) at.push(f.local("i32", i32.add(at[r - 1], stride)));
      const vectors = [0, 1];
      const tile = at.map(() => vectors.map(() => f.local("v128", f32x4.const(0))));
      const multiply = (step: number, columns: readonly Value[]): void =>
        tile.forEach((row, r) => {
          const element = f.name(v128.load32Splat(a, step * aStep + r * aRow));
          row.forEach((sum, v) => f.set(sum, multiplyAdd(context.features, element, columns[v], sum)));
        });
      const advance = (count: number): void => {
        f.set(a, i32.add(a, i32.const(count * aStep)));
        f.set(b, i32.add(b, i32.const(4 * count)));
      };
      const end = f.local("i32", i32.add(b, i32.shl(steps, i32.const(2))));
      const last = f.local("i32", i32.sub(end, i32.const(16)));
      f.while(
        () => i32.leU(b, last),
        () => {
          const turned = vectors.map((v) =>
            transpose(
              f,
              [0, 1, 2, 3].map((i) => f.name(v128.load(b, (4 * v + i) * bColumn))),
            ).map((column) => f.name(column)),
          );
          for (let step = 0; step < 4; step++) {
            multiply(
              step,
              turned.map((columns) => columns[step]),
            );
          }
          advance(4);
        },
      );
      f.while(
        () => i32.ltU(b, end),
        () => {
          const columns = vectors.map((v) => {
            let value = v128.load32Zero(b, 4 * v * bColumn);
            for (let lane = 1; lane < 4; lane++) value = v128.load32Lane(b, value, lane, (4 * v + lane) * bColumn);
            return f.name(value);
          });
          multiply(0, columns);
          advance(1);
        },
      );
      storeTile(f, tile, at, accumulate);
    }),
  );
}

/**
 * Stores a tile's rows at these addresses, or adds them to what stands there: each block of k is a chain of its own, so
 * that rounding errors do not grow with the whole length. A row is read before it is written, for V8 to join its vectors.
 */
function storeTile(f: FunctionBuilder, tile: readonly Local[][], at: readonly Value[], accumulate: boolean): void {
  tile.forEach((row, r) => {
    if (accumulate) row.forEach((sum, v) => f.set(sum, f32x4.add(v128.load(at[r], 16 * v), sum)));
    row.forEach((sum, v) => f.store(at[r], sum, 16 * v));
  });
}
