/**
 * Matrix products C = A·B on the `cpu` device: blocked as caches want it, on the register tile of `micro-kernel.ts`.
 *
 * A unit of work is a block of C of one matrix of the batch. Within it, k runs in blocks; of B one panel of 8 columns at
 * a time is in the L1 cache, while all rows of the block pass by. Operands that stand so that the tile can read them are
 * read where they are; others are packed: A by each unit into its thread's memory, B either likewise, panel by panel, or,
 * where many rows of blocks share it, once for all of them by a kernel of its own. When all of k is done, the block of C
 * goes through the epilogue while it is in the cache. (Loop order: K. Goto, R. van de Geijn, "Anatomy of
 * High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.)
 *
 * Each element is one chain of multiply-adds in the order of k, however blocks are cut and units shared out.
 */
import type { TensorSpec } from "../shaders/kernel.ts";
import type { FunctionBuilder, Local } from "./function.ts";
import type { Value } from "./instructions.ts";
import { i32, select, v128 } from "./instructions.ts";
import type { KernelContext, WasmKernel } from "./kernel.ts";
import type { Blocks } from "./matmul-blocks.ts";
import { chooseBlocks } from "./matmul-blocks.ts";
import type { TileStrides } from "./micro-kernel.ts";
import { MR, NR, PACKED, strip } from "./micro-kernel.ts";
import type { OperandReader, PanelShape } from "./packing.ts";
import { packPlain, packRead } from "./packing.ts";

/** An operand; the axis that is not k is `outer`. */
export interface Operand {
  /** Where it is a plain view of memory: the strides in bytes. */
  readonly plain?: { readonly outer: number; readonly k: number };
  /** Of a plain view: the address of the first element of a matrix of the batch. */
  address(f: FunctionBuilder, context: KernelContext, batch: Value): Value;
  /** Of any other: how its elements are computed. */
  reader(f: FunctionBuilder, context: KernelContext, batch: Value): OperandReader;
}

/** Where C goes. */
export interface Result {
  /** Address of the first element of a matrix of the batch where C is stored as it is, row-major. */
  readonly address?: (f: FunctionBuilder, context: KernelContext, batch: Value) => Value;
  /** Stores lane 0, or four neighbours along n, of a row. */
  store(f: FunctionBuilder, context: KernelContext, at: { batch: Value; m: Value; n: Value }, value: Value, lanes: 1 | 4): void;
}

/** Sizes are at least 1. */
export interface Product {
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Operand;
  readonly b: Operand;
  readonly c: Result;
}

export interface ProductKernels {
  readonly kernels: readonly WasmKernel[];
  /** Shared between these kernels; `scratch(0)` of their contexts. */
  readonly scratch: readonly TensorSpec[];
}

/** Kernels of a product of f32 matrices. */
export function productKernels(product: Product, blocks: Blocks = chooseBlocks(product)): ProductKernels {
  const main: WasmKernel = {
    name: `matmul ${product.name}`,
    units: product.batch * blocks.rowBlocks * blocks.columnBlocks,
    threadBytes: threadLayout(product, blocks).bytes,
    emit: (f, context) => emitUnits(product, blocks, f, context),
  };
  if (blocks.b !== "shared") return { kernels: [main], scratch: [] };
  const panels = Math.ceil(product.n / NR);
  const pack: WasmKernel = {
    name: `pack ${product.name}`,
    units: product.batch * panels,
    threadBytes: 0,
    emit: (f, context) => f.for(context.begin, context.end, 1, (unit) => {
      const batch = f.name(i32.divU(unit, i32.const(panels)));
      const panel = f.name(i32.sub(unit, i32.mul(batch, i32.const(panels))));
      const to = i32.add(context.scratch(0), i32.mul(unit, i32.const(4 * NR * product.k)));
      const source = packSource(product.b, product.n, NR, f, context, batch);
      source(i32.mul(panel, i32.const(NR)), { from: i32.const(0), to: i32.const(product.k) }, to);
    }),
  };
  return { kernels: [pack, main], scratch: [{ shape: [product.batch * panels * product.k * NR], dtype: "f32" }] };
}

/** Packs the panel from `first`, steps `k.from` to `k.to`, to an address. */
type PackPanel = (first: Value, k: { from: Value; to: Value }, to: Value) => void;

function packSource(
  operand: Operand, size: number, width: number, f: FunctionBuilder, context: KernelContext, batch: Value,
): PackPanel {
  const { plain } = operand;
  const base = plain ? f.name(operand.address(f, context, batch)) : undefined;
  const reader = plain ? undefined : operand.reader(f, context, batch);
  const panel = (shape: PanelShape): PackPanel => (first, k, to) => {
    if (reader) return packRead(f, reader, shape, first, k, to);
    const { outer, k: step } = plain!;
    const from = i32.add(i32.add(base!, i32.mul(first, i32.const(outer))), i32.mul(k.from, i32.const(step)));
    f.call(packPlain(context, shape, outer, step), [from, to, i32.sub(k.to, k.from)]);
  };
  const whole = panel({ width, valid: width });
  const rest = size % width;
  if (rest === 0) return whole;
  const last = panel({ width, valid: rest });
  if (size < width) return last;
  return (first, k, to) => {
    const at = f.name(first);
    f.if(i32.leS(at, i32.const(size - width)), () => whole(at, k, to), () => last(at, k, to));
  };
}

/** A thread's memory: a block of packed A, a panel of packed B, a block of C. */
function threadLayout({ c, n }: Product, { rows, columns, depth, a, b }: Blocks) {
  const aBytes = a === "packed" ? 4 * rows * depth : 0;
  const bBytes = b === "packed" ? 4 * NR * depth : 0;
  const inPlace = c.address !== undefined && n % NR === 0;
  const cBytes = inPlace ? 0 : 4 * rows * columns;
  return { a: 0, b: aBytes, c: aBytes + bBytes, inPlace, bytes: aBytes + bBytes + cBytes };
}

function emitUnits(product: Product, blocks: Blocks, f: FunctionBuilder, context: KernelContext): void {
  const { rowBlocks, columnBlocks, rows: blockRows, columns: blockColumns } = blocks;
  const { m, n } = product;
  f.for(context.begin, context.end, 1, (unit) => {
    const split = (value: Value, by: number): [Value, Value] => {
      if (by === 1) return [value, i32.const(0)];
      const quotient = f.name(i32.divU(value, i32.const(by)));
      return [quotient, f.name(i32.sub(value, i32.mul(quotient, i32.const(by))))];
    };
    const [rest, rowBlock] = split(unit, rowBlocks);
    const [batch, columnBlock] = split(rest, columnBlocks);
    const least = (x: Value, y: number): Value => {
      const named = f.name(x);
      return f.name(select(i32.ltS(named, i32.const(y)), named, i32.const(y)));
    };
    const m0 = f.name(i32.mul(rowBlock, i32.const(blockRows)));
    const n0 = f.name(i32.mul(columnBlock, i32.const(blockColumns)));
    const rows = rowBlocks === 1 ? i32.const(m) : least(i32.sub(i32.const(m), m0), blockRows);
    const columns = columnBlocks === 1 ? i32.const(n) : least(i32.sub(i32.const(n), n0), blockColumns);
    emitBlock(product, blocks, f, context, { batch, m0, n0, rows, columns });
  });
}

interface BlockPlace {
  readonly batch: Value;
  readonly m0: Value;
  readonly n0: Value;
  readonly rows: Value;
  readonly columns: Value;
}

function emitBlock(product: Product, blocks: Blocks, f: FunctionBuilder, context: KernelContext, place: BlockPlace): void {
  const { batch, m0, n0, rows, columns } = place;
  const { a, b, c, m, n, k } = product;
  const { depth } = blocks;
  const layout = threadLayout(product, blocks);
  const own = (offset: number): Value => i32.add(context.threadMemory, i32.const(offset));
  const cStride = layout.inPlace ? 4 * n : 4 * blocks.columns;
  const cBase = f.name(layout.inPlace
    ? i32.add(c.address!(f, context, batch), i32.add(i32.mul(m0, i32.const(cStride)), i32.mul(n0, i32.const(4))))
    : own(layout.c));
  const packA = blocks.a === "packed" ? packSource(a, m, MR, f, context, batch) : undefined;
  const packB = blocks.b === "packed" ? packSource(b, n, NR, f, context, batch) : undefined;
  const aBase = packA ? f.name(own(layout.a)) : f.name(i32.add(a.address(f, context, batch), i32.mul(m0, i32.const(a.plain!.outer))));
  const bBase = f.name(packB ? own(layout.b) : blocks.b === "shared"
    ? i32.add(context.scratch(0), i32.mul(
      i32.add(i32.mul(batch, i32.const(Math.ceil(n / NR) * NR)), n0), i32.const(4 * k)))
    : i32.add(b.address(f, context, batch), i32.mul(n0, i32.const(b.plain!.outer))));
  const strides: TileStrides = {
    ...(packA ? { aRow: PACKED.aRow, aStep: PACKED.aStep } : { aRow: a.plain!.outer, aStep: a.plain!.k }),
    bStep: blocks.b === "direct" ? b.plain!.k : PACKED.bStep,
  };
  const panels = f.name(rows.constant !== undefined ? i32.const(rows.constant >> 2) : i32.shrU(rows, i32.const(2)));
  const tailRows = m % MR;

  const kBlock = (k0: Value, steps: Value, accumulate: boolean): void => {
    const kEnd = i32.add(k0, steps);
    if (packA) {
      f.for(i32.const(0), rows, MR, (row) =>
        packA(i32.add(m0, row), { from: k0, to: kEnd }, i32.add(aBase, i32.mul(row, i32.mul(steps, i32.const(4))))));
    }
    const aFirst = f.name(packA ? aBase : i32.add(aBase, i32.mul(k0, i32.const(a.plain!.k))));
    const aPanel = f.name(packA ? i32.mul(steps, i32.const(4 * MR)) : i32.const(MR * a.plain!.outer));
    const bBytes = f.name(i32.mul(steps, i32.const(strides.bStep)));
    f.for(i32.const(0), columns, NR, (column) => {
      let bAt: Value;
      if (packB) {
        packB(i32.add(n0, column), { from: k0, to: kEnd }, bBase);
        bAt = bBase;
      } else if (blocks.b === "shared") {
        bAt = i32.add(bBase, i32.add(i32.mul(column, i32.const(4 * k)), i32.mul(k0, i32.const(4 * NR))));
      } else {
        bAt = i32.add(bBase, i32.add(i32.mul(column, i32.const(4)), i32.mul(k0, i32.const(b.plain!.k))));
      }
      bAt = f.name(bAt);
      const bEnd = f.name(i32.add(bAt, bBytes));
      const cAt = f.name(i32.add(cBase, i32.mul(column, i32.const(4))));
      const call = (rowsOfPanel: number, aAt: Value, to: Value, count: Value) =>
        f.call(strip(context, { rows: rowsOfPanel, strides, accumulate }), [aAt, bAt, bEnd, to, i32.const(cStride), count, aPanel]);
      if (m >= MR) {
        const certain = panels.constant !== undefined || blocks.rows % MR === 0 && m % MR === 0;
        const all = () => call(MR, aFirst, cAt, panels);
        if (certain) all();
        else f.if(panels, all);
      }
      if (tailRows > 0) {
        const tail = () => call(tailRows, i32.add(aFirst, i32.mul(panels, aPanel)), i32.add(cAt, i32.mul(panels, i32.const(MR * cStride))), i32.const(1));
        if (blocks.rowBlocks === 1) tail();
        else f.if(i32.and(rows, i32.const(MR - 1)), tail);
      }
    });
  };
  const whole = Math.ceil(k / depth);
  if (whole === 1) {
    kBlock(i32.const(0), i32.const(k), false);
  } else {
    kBlock(i32.const(0), i32.const(depth), false);
    f.for(i32.const(depth), i32.const(k), depth, (k0) => {
      const left = f.name(i32.sub(i32.const(k), k0));
      kBlock(k0, k % depth === 0 ? i32.const(depth) : f.name(select(i32.ltS(left, i32.const(depth)), left, i32.const(depth))), true);
    });
  }
  if (!layout.inPlace) emitEpilogue(product, f, context, place, cBase, cStride);
}

/** Stores a finished block of C. */
function emitEpilogue(
  { c, n }: Product, f: FunctionBuilder, context: KernelContext, { batch, m0, n0, rows, columns }: BlockPlace,
  from: Value, stride: number,
): void {
  const line: Local = f.local("i32", from);
  f.for(i32.const(0), rows, 1, (row) => {
    const m = f.name(i32.add(m0, row));
    const column = f.local("i32", i32.const(0));
    const at = () => i32.add(line, i32.shl(column, i32.const(2)));
    const where = () => ({ batch, m, n: f.name(i32.add(n0, column)) });
    if (n >= 4) {
      const fours = f.name(i32.sub(columns, i32.const(4)));
      f.while(() => i32.leS(column, fours), () => {
        c.store(f, context, where(), f.name(v128.load(at())), 4);
        f.set(column, i32.add(column, i32.const(4)));
      });
    }
    if (n % 4 !== 0) {
      f.while(() => i32.ltS(column, columns), () => {
        c.store(f, context, where(), f.name(v128.load32Zero(at())), 1);
        f.set(column, i32.add(column, i32.const(1)));
      });
    }
    f.set(line, i32.add(line, i32.const(stride)));
  });
}
