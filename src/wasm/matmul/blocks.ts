/**
 * How a matrix product is cut into blocks, and which operands are packed. Figures are for caches of 32 KiB (L1) and 512
 * KiB (L2) or more. Only the parts and blocks that k is divided into change the bits of a result, and those follow from
 * the sizes alone.
 */
import { MR, NR } from "./micro-kernel.ts";
import type { Product } from "./product.ts";

export interface Blocks {
  /** Rows and columns of C a unit computes: multiples of 4 and 8. */
  readonly rows: number;
  readonly columns: number;
  /** Steps of k at a time, each such block a sum of its own: a multiple of 4. */
  readonly depth: number;
  /** Parts of k that are summed up separately, each by units of its own. */
  readonly parts: number;
  /** Steps of a part, a multiple of `depth`; the last part may have fewer. */
  readonly partSteps: number;
  readonly rowBlocks: number;
  readonly columnBlocks: number;
  /** Read where it is, or packed. */
  readonly a: "direct" | "packed";
  /**
   * "rows": where it is as well, a few rows of A times columns that are rows in memory. "panels": as another kernel has
   * packed all of it.
   */
  readonly b: "direct" | "packed" | "rows" | "panels";
}

/** Steps of k for which a panel of A and one of 16 columns of B lie in the L1 cache with room to spare. */
const DEPTH = 256;
/** Rows of a block: `DEPTH` steps of them lie in half the L2 cache, and a packed panel of B is used by all of them. */
const ROWS = 256;
const COLUMNS = 512;
/** A product of few more steps takes them at once. */
const WHOLE_DEPTH = 384;
/** Where k is divided into parts: what the bits of a sum rest on, so the sizes of blocks are others than above. */
const [PART_ROWS, PART_DEPTH] = [160, 384];
/** Rows and columns from which packing costs little: every packed element is used that often. */
const GOOD = 128;
/** Units that keep threads evenly busy, and how many are worth blocks smaller than good ones. */
const UNITS = 16;
const FEW_UNITS = 8;
/** Multiply-adds that are worth a unit of their own. */
const UNIT_WORK = 1 << 19;
/** Steps of k that are worth a part of their own: its sums are written and read once more. */
const PART = 512;
/** Rows up to which B is read where it is: it is used too seldom to be copied. */
const FEW_ROWS = 8;
/** Bytes of rows of B that stay in the L1 cache where they stand. */
const NEAR = 16384;

export const roundUp = (x: number, to: number): number => Math.ceil(x / to) * to;

interface Cut {
  readonly rows: number;
  readonly columns: number;
  readonly parts: number;
}

/** Blocks of up to `most` rows, and parts of k where there are few of them and it may be `divided`. */
function cutUnits({ batch, m, n, k }: Product, most: number, divided: boolean): Cut {
  let rows = cut(m, most, MR);
  let columns = cut(n, COLUMNS, NR);
  const units = () => batch * Math.ceil(m / rows) * Math.ceil(n / columns);
  // Columns first: of each panel of B all rows of the block make use.
  const split = (wanted: number, least: number): void => {
    while (units() < wanted && rows * columns * k >= 2 * UNIT_WORK) {
      if (columns >= rows && columns >= 2 * least) columns = roundUp(columns / 2, NR);
      else if (rows >= 2 * least) rows = roundUp(rows / 2, MR);
      else break;
    }
  };
  split(UNITS, k >= 2 * PART ? 2 * GOOD : GOOD);
  const parts = Math.min(Math.ceil(UNITS / units()), Math.floor(k / PART));
  if (divided && parts > 1) return { rows, columns, parts };
  split(FEW_UNITS, NR);
  return { rows, columns, parts: 1 };
}

export function chooseBlocks(product: Product): Blocks {
  const { m, n, k, a, b } = product;
  const divided = cutUnits(product, PART_ROWS, true);
  const { rows, columns, parts } = divided.parts > 1 ? divided : cutUnits(product, ROWS, false);
  const most = parts > 1 ? PART_DEPTH : k <= WHOLE_DEPTH ? k : DEPTH;
  const depth = cut(Math.ceil(k / parts), most, 4);
  const partSteps = parts === 1 ? k : roundUp(Math.ceil(k / parts), depth);
  const aDirect = a.plain !== undefined && a.plain.k === 4;
  // Code that reads B where it is knows by the address when it is done: rows of B must not be one and the same.
  const bReadable = b.plain !== undefined && b.plain.outer === 4 && b.plain.k > 0 && n % NR === 0;
  const bDirect = bReadable && (m <= FEW_ROWS || k * b.plain!.k <= NEAR);
  const bRows = b.plain !== undefined && b.plain.k === 4 && b.plain.outer > 4 && n % NR === 0 && m <= MR;
  return {
    rows,
    columns,
    depth,
    parts: Math.ceil(k / partSteps),
    partSteps,
    rowBlocks: Math.ceil(m / rows),
    columnBlocks: Math.ceil(n / columns),
    a: aDirect ? "direct" : "packed",
    b: bRows ? "rows" : bDirect ? "direct" : "packed",
  };
}

/** Blocks of equal size, at most `most`. */
function cut(size: number, most: number, multiple: number): number {
  return roundUp(Math.ceil(size / Math.ceil(size / most)), multiple);
}
