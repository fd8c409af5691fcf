/**
 * Matrix products C = A·B on the `cpu` device: blocked as caches want it, on the register tile of `micro-kernel.ts`.
 *
 * A unit of work is a block of C of one matrix of the batch. Within it, k runs in blocks; of B one panel of 8 columns
 * (16 where vectors are joined and more than 8 are left) at a time is in the L1 cache, while all rows of the block pass
 * by. Operands that stand so that the tile can read them
 * are read where they are; others are packed by each unit into its thread's memory, A block by block, B panel by panel.
 * (Blocks are so large that this costs 2% where several of them pack the same; a kernel before, that packs once for
 * all, costs memory and a barrier.) When all of k is done, the block of C goes through the epilogue while it is in the
 * cache. Loop order: K. Goto, R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008.
 *
 * Where C is small and k long (gradients of weights), parts of k are units too; a second kernel adds their sums up.
 *
 * Each element is one chain of multiply-adds a block of k, in the order of k, however rows and columns are cut and units
 * shared out.
 */
import type { ValueSpec } from "../../tensor/fused.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext, WasmKernel } from "../kernel.ts";
import type { Blocks } from "./blocks.ts";
import { chooseBlocks, roundUp } from "./blocks.ts";
import { MR, NR, TALL, WIDE_NR, rowTile, strip } from "./micro-kernel.ts";
import type { PackPanel, Panel, PanelWidth } from "./packing.ts";
import { computedBytes, packComputed, packPlain, packSeparable } from "./packing.ts";
import type { BlockPlace, Operand, PlainOperand, Product, Result } from "./product.ts";

interface ProductKernels {
  readonly kernels: readonly WasmKernel[];
  /** Sums of the parts; `scratch(0)` of the kernels' contexts. */
  readonly scratch: readonly ValueSpec[];
}

/** The kernels of a product of f32 matrices. */
export function productKernels(product: Product, blocks: Blocks = chooseBlocks(product)): ProductKernels {
  const { name, batch, m, n } = product;
  const { parts, rowBlocks, columnBlocks } = blocks;
  const units = parts * batch * rowBlocks * columnBlocks;
  const kernel = (target: Product): WasmKernel => ({
    name: `matmul ${name}`,
    units,
    threadBytes: threadLayout(target, blocks).bytes,
    emit: (f, context) => emitUnits(target, blocks, f, context),
  });
  if (parts === 1) return { kernels: [kernel(product)], scratch: [] };
  const stride = roundUp(n, NR);
  const partial: Result = {
    stride: 4 * stride,
    address: (_, context, matrix) => i32.add(context.scratch(0), i32.mul(matrix, i32.const(4 * m * stride))),
  };
  return {
    kernels: [kernel({ ...product, c: partial }), sumKernel(product, parts)],
    scratch: [{ shape: [parts * batch * m * stride], dtype: "f32" }],
  };
}

/**
 * The product with units of `rows` rows of C each, for a B that is packed into `bytes` of memory by a kernel of its own,
 * `pack`: where A changes from run to run and B does not. Its address is `scratch(0)` of both. Undefined where B cannot
 * be packed so, or k is divided into parts.
 */
export function productWithPanels(
  product: Product,
  rows: number,
): { readonly kernel: WasmKernel; readonly pack: WasmKernel; readonly bytes: number } | undefined {
  const { name, batch, m, n, k, b } = product;
  const chosen = chooseBlocks(product);
  if (batch > 1 || chosen.parts > 1 || !b.plain) return undefined;
  const columns = roundUp(n, NR);
  const cut = { rows, rowBlocks: Math.ceil(m / rows), columns, columnBlocks: 1, b: "panels" } as const;
  const pack: WasmKernel = {
    name: `pack ${name}`,
    units: Math.ceil(n / WIDE_NR),
    threadBytes: 0,
    emit: (f, context) => {
      const base = f.name(b.address(f, context, i32.const(0)));
      const packerOf = (width: number): PackPanel =>
        packPlain(f, context, { elements: width, step: NR }, n, b.plain, base);
      const [narrow, wide] = [packerOf(NR), packerOf(WIDE_NR)];
      f.for(context.begin, context.end, 1, (unit) => {
        const panelAt = (column: Value): Panel => ({
          first: f.name(column),
          from: i32.const(0),
          to: i32.const(k),
          at: f.name(i32.add(context.scratch(0), i32.mul(column, i32.const(4 * k)))),
        });
        const column = f.name(i32.mul(unit, i32.const(WIDE_NR)));
        const next = f.name(i32.add(column, i32.const(NR)));
        // Where vectors are not joined, panels of eight columns lie where those of sixteen would.
        const two = () => {
          narrow(panelAt(column));
          f.if(i32.ltS(next, i32.const(n)), () => narrow(panelAt(next)));
        };
        if (!context.features.wide) return two();
        f.if(
          i32.ltS(next, i32.const(n)),
          () => wide(panelAt(column)),
          () => narrow(panelAt(column)),
        );
      });
    },
  };
  const [kernel] = productKernels(product, { ...chosen, ...cut }).kernels;
  return { kernel, pack, bytes: 4 * k * roundUp(n, WIDE_NR) };
}

/** Rows of C that are added up at a time. */
const SUM_ROWS = 8;

/** Adds up the parts, in their order, and stores C. */
function sumKernel({ name, batch, m, n, c }: Product, parts: number): WasmKernel {
  const rowBytes = 4 * roundUp(n, NR);
  const blocks = Math.ceil(m / SUM_ROWS);
  const partBytes = i32.const(batch * m * rowBytes);
  return {
    name: `add parts ${name}`,
    units: batch * blocks,
    threadBytes: SUM_ROWS * rowBytes,
    emit: (f, context) =>
      f.for(context.begin, context.end, 1, (unit) => {
        const batchAt = f.name(i32.divU(unit, i32.const(blocks)));
        const m0 = f.name(i32.mul(i32.sub(unit, i32.mul(batchAt, i32.const(blocks))), i32.const(SUM_ROWS)));
        const rows = f.least(i32.sub(i32.const(m), m0), SUM_ROWS);
        const row = i32.add(i32.mul(batchAt, i32.const(m)), m0);
        const from = f.name(i32.add(context.scratch(0), i32.mul(row, i32.const(rowBytes))));
        f.for(i32.const(0), i32.mul(rows, i32.const(rowBytes)), 16, (at) => {
          const part = f.local("i32", i32.add(from, at));
          const sum = f.local("v128", v128.load(part));
          f.for(i32.const(1), i32.const(parts), 1, () => {
            f.set(part, i32.add(part, partBytes));
            f.set(sum, f32x4.add(sum, v128.load(part)));
          });
          f.store(i32.add(context.threadMemory, at), sum);
        });
        const place = { batch: batchAt, m0, n0: i32.const(0), rows, columns: i32.const(n) };
        c.store!(f, context, place, context.threadMemory, rowBytes);
      }),
  };
}

function packerOf(
  operand: Operand,
  size: number,
  width: PanelWidth,
  depth: number,
  f: FunctionBuilder,
  context: KernelContext,
  batch: Value,
  strip: Value,
): PackPanel {
  if (operand.plain) {
    return packPlain(f, context, width, size, operand.plain, f.name(operand.address(f, context, batch)));
  }
  if (operand.separable) return packSeparable(f, width.elements, size, operand.separable(f, context, batch));
  return packComputed(f, context, width, size, operand.elements(f, context, batch), strip, depth);
}

/** A thread's memory: a block of packed A, a panel of packed B, a strip that packing uses, a block of C. */
function threadLayout({ a: aOperand, b: bOperand, c, n }: Product, { rows, columns, depth, partSteps, a, b }: Blocks) {
  // The last step of a tall panel is written beyond its end.
  const aBytes = a === "packed" ? 4 * rows * depth + 64 : 0;
  const bBytes = b === "packed" ? 4 * WIDE_NR * depth : 0;
  const stripOf = (operand: Operand, packed: boolean, width: number): number =>
    packed ? computedBytes(operand.lanes, width, depth) : 0;
  const stripBytes = Math.max(stripOf(aOperand, a === "packed", TALL), stripOf(bOperand, b === "packed", WIDE_NR));
  // What is added to block of k by block of k does so faster where it lies close together.
  const fits = c.address !== undefined && (c.stride ?? 4 * n) % (4 * NR) === 0;
  const inPlace = fits && (partSteps <= depth || c.store === undefined);
  const cAt = aBytes + bBytes + stripBytes;
  return { a: 0, b: aBytes, strip: aBytes + bBytes, c: cAt, inPlace, bytes: cAt + (inPlace ? 0 : 4 * rows * columns) };
}

function emitUnits(product: Product, blocks: Blocks, f: FunctionBuilder, context: KernelContext): void {
  const { parts, rowBlocks, columnBlocks, rows: blockRows, columns: blockColumns } = blocks;
  const { m, n } = product;
  f.for(context.begin, context.end, 1, (unit) => {
    const split = (value: Value, by: number): [Value, Value] => {
      if (by === 1) return [value, i32.const(0)];
      const quotient = f.name(i32.divU(value, i32.const(by)));
      return [quotient, f.name(i32.sub(value, i32.mul(quotient, i32.const(by))))];
    };
    const [rest, rowBlock] = split(unit, rowBlocks);
    const [matrix, columnBlock] = split(rest, columnBlocks);
    // Sums of parts are matrices like any, those of the first part first.
    const [part, batch] = parts === 1 ? [i32.const(0), matrix] : split(matrix, product.batch);
    const m0 = f.name(i32.mul(rowBlock, i32.const(blockRows)));
    const n0 = f.name(i32.mul(columnBlock, i32.const(blockColumns)));
    const rows = rowBlocks === 1 ? i32.const(m) : f.least(i32.sub(i32.const(m), m0), blockRows);
    const columns = columnBlocks === 1 ? i32.const(n) : f.least(i32.sub(i32.const(n), n0), blockColumns);
    emitBlock(product, blocks, f, context, { batch, m0, n0, rows, columns }, matrix, part);
  });
}

/** @param matrix which matrix of results it belongs to: the batch's, or the part's of it */
function emitBlock(
  product: Product,
  blocks: Blocks,
  f: FunctionBuilder,
  context: KernelContext,
  place: BlockPlace,
  matrix: Value,
  part: Value,
): void {
  const { batch, m0, n0, rows, columns } = place;
  const { a, b, c, m, n, k } = product;
  const { depth, parts, partSteps } = blocks;
  const layout = threadLayout(product, blocks);
  const own = (offset: number): Value => i32.add(context.threadMemory, i32.const(offset));
  const cStride = layout.inPlace ? (c.stride ?? 4 * n) : 4 * blocks.columns;
  const cBase = f.name(
    layout.inPlace
      ? i32.add(c.address!(f, context, matrix), i32.add(i32.mul(m0, i32.const(cStride)), i32.mul(n0, i32.const(4))))
      : own(layout.c),
  );
  const stripAt = f.name(own(layout.strip));
  const packed = blocks.a === "packed";
  const packerOfB = (width: number): PackPanel | undefined =>
    blocks.b === "packed"
      ? packerOf(b, n, { elements: width, step: NR }, depth, f, context, batch, stripAt)
      : undefined;
  // A block's columns are a multiple of 8, so there is room for 16 where more than 8 are left.
  const wide = context.features.wide && n > NR && blocks.columns > NR && blocks.b !== "rows";
  const widePackB = wide ? packerOfB(WIDE_NR) : undefined;
  const narrow = !wide || blocks.columns % WIDE_NR > 0 || (n % WIDE_NR > 0 && n % WIDE_NR <= NR);
  const packB = narrow ? packerOfB(NR) : undefined;
  const aBase = f.name(packed ? own(layout.a) : firstOf(a as PlainOperand, f, context, batch, m0));
  const panels = blocks.b === "panels";
  const bBase = panels
    ? context.scratch(0)
    : f.name(blocks.b === "packed" ? own(layout.b) : firstOf(b as PlainOperand, f, context, batch, n0));
  // Panels of six rows come in pairs, so that what is left for those of four is a multiple of four. Elements that are
  // computed four rows at a time keep to four.
  const tall = context.features.tall && blocks.rows >= 2 * TALL && a.lanes !== "outer";
  const tallRows = tall ? f.name(i32.sub(rows, i32.remU(rows, i32.const(2 * TALL)))) : i32.const(0);
  const whole = f.name(i32.and(rows, i32.const(-MR)));
  const bands = [
    { height: tall ? TALL : 0, first: i32.const(0), past: tallRows },
    { height: m >= MR ? MR : 0, first: tallRows, past: whole },
    { height: m % MR, first: whole, past: rows },
  ]
    .filter((band) => band.height)
    .map(({ height, first, past }) => {
      const panel = Math.max(height, MR);
      return {
        height,
        first,
        past,
        panels: f.name(i32.divU(i32.sub(past, first), i32.const(height))),
        view: packed ? { outer: 4, k: 4 * panel } : a.plain!,
        pack: packed && packerOf(a, m, { elements: panel, step: panel }, depth, f, context, batch, stripAt),
      };
    });

  const kBlocks = Math.ceil(partSteps / depth);
  const kFirst = f.name(i32.mul(part, i32.const(partSteps)));
  const kBlock = (k0: Value, steps: Value): void => {
    const to = i32.add(k0, steps);
    /** Bytes to row `row` of a band's panels. */
    const toRow = (row: Value): Value =>
      i32.mul(row, packed ? i32.mul(steps, i32.const(4)) : i32.const(a.plain!.outer));
    for (const { height, first, past, panels, pack } of bands) {
      if (!pack) continue;
      const packAt = (row: Value, count?: Value): void =>
        pack({ first: f.name(i32.add(m0, row)), from: k0, to, at: i32.add(aBase, toRow(row)), count });
      if (a.plain?.outer === 4) f.if(panels, () => packAt(first, panels));
      else f.for(first, past, Math.max(height, MR), (row) => packAt(row));
    }
    const aFirst = f.name(packed ? aBase : i32.add(aBase, i32.mul(k0, i32.const(a.plain!.k))));
    const panel = (width: number, pack: PackPanel | undefined, column: Value): void => {
      const bStep = pack || panels ? 4 * width : b.plain!.k;
      if (pack) pack({ first: f.name(i32.add(n0, column)), from: k0, to, at: bBase });
      const toColumn = (): Value => i32.mul(column, i32.const(panels ? 4 * k : b.plain!.outer));
      const bAt = pack ? bBase : f.name(i32.add(bBase, i32.add(toColumn(), i32.mul(k0, i32.const(bStep)))));
      const bEnd = f.name(i32.add(bAt, i32.mul(steps, i32.const(bStep))));
      const cAt = f.name(i32.add(cBase, i32.mul(column, i32.const(4))));
      const tiles = (accumulate: boolean) => {
        if (blocks.b === "rows") {
          const [{ view }] = bands;
          const shape = { rows: m, aRow: view.outer, aStep: view.k, bColumn: b.plain!.outer, accumulate };
          f.call(rowTile(context, shape), [aFirst, bAt, steps, cAt, i32.const(cStride)]);
          return;
        }
        for (const { height, first, panels, view } of bands) {
          const strides = { aRow: view.outer, aStep: view.k, bStep };
          const shape = { rows: height, columns: width, strides, accumulate };
          f.if(panels, () =>
            f.call(strip(context, shape), [
              i32.add(aFirst, toRow(first)),
              bAt,
              bEnd,
              i32.add(cAt, i32.mul(first, i32.const(cStride))),
              i32.const(cStride),
              panels,
              toRow(i32.const(height)),
            ]),
          );
        }
      };
      if (kBlocks === 1) tiles(false);
      else
        f.if(
          i32.eq(k0, kFirst),
          () => tiles(false),
          () => tiles(true),
        );
    };
    if (!wide) {
      f.for(i32.const(0), columns, NR, (column) => panel(NR, packB, column));
      return;
    }
    f.for(i32.const(0), f.name(i32.sub(columns, i32.const(NR))), WIDE_NR, (column) =>
      panel(WIDE_NR, widePackB, column),
    );
    if (!narrow) return;
    const left = f.name(i32.and(i32.sub(columns, i32.const(1)), i32.const(WIDE_NR - 1)));
    f.if(i32.ltS(left, i32.const(NR)), () =>
      panel(NR, packB, f.name(i32.and(i32.sub(columns, i32.const(1)), i32.const(-WIDE_NR)))),
    );
  };
  if (kBlocks === 1 && parts === 1) {
    kBlock(i32.const(0), i32.const(k));
  } else {
    const kLast = parts === 1 ? i32.const(k) : f.least(i32.add(kFirst, i32.const(partSteps)), k);
    f.for(kFirst, kLast, depth, (k0) => {
      kBlock(k0, k % depth === 0 ? i32.const(depth) : f.least(i32.sub(i32.const(k), k0), depth));
    });
  }
  if (!layout.inPlace) c.store!(f, context, place, cBase, cStride);
}

/** Address of row (or column) `first` of a plain operand. */
function firstOf(operand: PlainOperand, f: FunctionBuilder, context: KernelContext, batch: Value, first: Value): Value {
  return i32.add(operand.address(f, context, batch), i32.mul(first, i32.const(operand.plain.outer)));
}
