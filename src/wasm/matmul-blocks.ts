/**
 * How a matrix product is cut into blocks, and which operands are packed. Figures are for caches of 32 KiB (L1) and 512
 * KiB (L2) or more; nothing here changes the bits of a result.
 */
import type { Product } from "./matmul.ts";
import { MR, NR } from "./micro-kernel.ts";

export interface Blocks {
  /** Rows and columns of C a unit computes: multiples of 4 and 8. */
  readonly rows: number;
  readonly columns: number;
  /** Steps of k at a time. */
  readonly depth: number;
  readonly rowBlocks: number;
  readonly columnBlocks: number;
  /** Read where it is, or packed by each unit. */
  readonly a: "direct" | "packed";
  /** Likewise, or packed once by a kernel before. */
  readonly b: "direct" | "packed" | "shared";
}

/** Steps of k for which a panel of A and one of B lie in half the L1 cache. */
const DEPTH = 384;
/** Rows of a block: `DEPTH` steps of them lie in half the L2 cache. */
const ROWS = 128;
const COLUMNS = 512;
/** Units that keep threads evenly busy, where there is so much work. */
const UNITS = 16;
/** Multiply-adds that are worth a unit of their own. */
const UNIT_WORK = 1 << 19;

const roundUp = (x: number, to: number): number => Math.ceil(x / to) * to;

export function chooseBlocks({ batch, m, n, k, a, b }: Product): Blocks {
  const depth = cut(k, DEPTH, 4);
  let rows = cut(m, ROWS, MR);
  let columns = cut(n, COLUMNS, NR);
  const units = () => batch * Math.ceil(m / rows) * Math.ceil(n / columns);
  while (units() < UNITS && rows * columns * k > 2 * UNIT_WORK) {
    // Columns first where that leaves long rows: A that is packed is packed for every block of columns.
    if (columns >= rows && columns > NR) columns = roundUp(columns / 2, NR);
    else if (rows > MR) rows = roundUp(rows / 2, MR);
    else break;
  }
  const rowBlocks = Math.ceil(m / rows);
  const columnBlocks = Math.ceil(n / columns);
  const aDirect = a.plain !== undefined && a.plain.k === 4;
  const bReadable = b.plain !== undefined && b.plain.outer === 4 && n % NR === 0;
  const bDirect = bReadable && (m <= 4 * MR || k * b.plain!.k <= 16384);
  return {
    rows, columns, depth, rowBlocks, columnBlocks,
    a: aDirect ? "direct" : "packed",
    b: bDirect ? "direct" : rowBlocks > 2 ? "shared" : "packed",
  };
}

/** Blocks of equal size, at most `most`. */
function cut(size: number, most: number, multiple: number): number {
  return roundUp(Math.ceil(size / Math.ceil(size / most)), multiple);
}
