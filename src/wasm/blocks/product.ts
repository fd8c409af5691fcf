/**
 * Products of blocks that lie in a thread's memory: attention's scores, the logits of a chunk of a queue.
 *
 * A is read where it stands, by rows or by columns; B is either rows side by side or panels of 8 columns, as
 * `block-copy.ts` leaves them. Blocks are small enough for the caches, so the only loop order that matters is that a
 * panel of B stays near while all rows of A pass by.
 */
import type { Callee, Signature } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import { MR, NR, WIDE_NR, emitTile } from "../matmul/micro-kernel.ts";

/** Where elements stand, in bytes. */
interface BlockStrides {
  /** From row to row of A, and from one k to the next. */
  readonly aRow: number;
  readonly aStep: number;
  /** From one k to the next of B; absent, B is panels of 8 columns, [panel][k][8]. */
  readonly bStep?: number;
  /** From row to row of C. */
  readonly cRow: number;
}

const SIGNATURE: Signature = { parameters: ["i32", "i32", "i32", "i32", "i32", "i32"] };

/**
 * The function (a, b, c, rows, columns, k): C = A·B, or C += A·B with `accumulate`. `k` ≥ 1. Rows and columns are
 * rounded up to multiples of 4: the memory of A, B and C must have room for them.
 *
 * Every element of C is one chain of multiply-adds in the order of k, continued where it accumulates.
 */
export function blockProduct(context: KernelContext, strides: BlockStrides, accumulate = false): Callee {
  const { aRow, aStep, bStep, cRow } = strides;
  const key = `blockProduct ${[aRow, aStep, bStep ?? "panels", cRow, accumulate].join()}`;
  return context.shared(key, (module) =>
    module.function(SIGNATURE, (f) => {
      const [a, b, c, rows, columns, k] = f.parameters;
      const step = bStep ?? 4 * NR;
      const length = f.local("i32", i32.mul(k, i32.const(step)));
      const panel = f.local("i32", b);
      const panelProduct = (column: Value, vectors: number): void => {
        const from = f.local("i32", a);
        const to = f.local("i32", i32.add(c, i32.shl(column, i32.const(2))));
        const end = f.local("i32", i32.add(panel, length));
        f.for(i32.const(0), rows, MR, () => {
          const atA = f.local("i32", from);
          // The wide tile takes the columns of two panels.
          const both = vectors > NR / 4 && bStep === undefined;
          const atB = [panel, ...(both ? [i32.add(panel, length)] : [])].map((at) => f.local("i32", at));
          const initial = (r: number, v: number): Value => v128.load(to, r * cRow + 16 * v);
          const strides = { aRow, aStep, bStep: step };
          const shape = { rows: MR, vectors, strides, unrolled: vectors > NR / 4 };
          const tile = emitTile(f, context.features, atA, atB, end, shape, accumulate ? initial : undefined);
          tile.forEach((row, r) => row.forEach((sum, v) => f.store(to, sum, r * cRow + 16 * v)));
          f.set(from, i32.add(from, i32.const(MR * aRow)));
          f.set(to, i32.add(to, i32.const(MR * cRow)));
        });
      };
      const wide = context.features.wide === true;
      const done = wide ? f.local("i32", i32.and(columns, i32.const(-WIDE_NR))) : i32.const(0);
      if (wide) {
        f.for(i32.const(0), done, WIDE_NR, (column) => {
          panelProduct(column, WIDE_NR / 4);
          const next = bStep === undefined ? i32.shl(length, i32.const(1)) : i32.const(4 * WIDE_NR);
          f.set(panel, i32.add(panel, next));
        });
      }
      f.for(done, columns, NR, (column) => {
        const left = i32.sub(columns, column);
        f.if(
          i32.gtS(left, i32.const(4)),
          () => panelProduct(column, 2),
          () => panelProduct(column, 1),
        );
        f.set(panel, i32.add(panel, bStep === undefined ? length : i32.const(4 * NR)));
      });
    }),
  );
}
