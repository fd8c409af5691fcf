/**
 * What the forward and the backward of attention share: how the work is cut into units and blocks, where a unit finds
 * its rows, and which keys of a block are open.
 *
 * A block is up to 64 queries by up to 64 keys: its scores and its parts of q, k, v stay in the caches of one core,
 * and a thread's memory is bounded whatever the length of the sequences.
 */
import type { AttentionSpec } from "../../specs/attention.ts";
import { inputNames, keepWidth, outputNames, rowLayout } from "../../specs/attention.ts";
import { blockRow, forVectorsOf, roundUp4 } from "../blocks/copy.ts";
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";
import { f32x4, i32, v128 } from "../assembler/instructions.ts";
import type { KernelContext } from "../kernel.ts";
import { byCount, lanesBelow, loadLanes } from "../assembler/lanes.ts";

/** Most rows and columns of a block of scores. */
const BLOCK = 64;

/** Rows and columns that meet: a whole sequence of keys and its queries. */
interface Sequence {
  /** First query and first key. */
  readonly first: number;
  readonly rows: number;
  readonly columns: number;
}

export function sequencesOf(spec: AttentionSpec): Sequence[] {
  if (!spec.segments) return [{ first: 0, rows: spec.queries, columns: spec.keys }];
  let first = 0;
  return spec.segments.map((length) => {
    first += length;
    return { first: first - length, rows: length, columns: length };
  });
}

/** Length of the blocks that `count` is cut into: about the same for all, and a multiple of 4. */
export function blockLength(count: number): number {
  return roundUp4(Math.ceil(count / Math.ceil(count / BLOCK)));
}

/** `blockLength`, of a count known when the code runs. */
export function emitBlockLength(f: FunctionBuilder, count: Value): Value {
  const blocks = f.name(i32.divU(i32.add(count, i32.const(BLOCK - 1)), i32.const(BLOCK)));
  const even = i32.divU(i32.add(count, i32.sub(blocks, i32.const(1))), blocks);
  return f.local("i32", i32.and(i32.add(even, i32.const(3)), i32.const(-4)));
}

/** Sizes that are the same for all blocks of an attention, in bytes where they are distances. */
interface BlockSizes {
  /** Most rows and columns. */
  readonly rows: number;
  readonly columns: number;
  /** From row to row of a copy of q, k, v or of an output. */
  readonly channelRow: number;
  /** From row to row of the scores. */
  readonly scoreRow: number;
  /** Whether some columns of some block are to be left out. */
  readonly closed: boolean;
}

export function blockSizes(spec: AttentionSpec): BlockSizes {
  const sequences = sequencesOf(spec);
  const columns = Math.max(...sequences.map((s) => blockLength(s.columns)));
  return {
    rows: Math.max(...sequences.map((s) => blockLength(s.rows))),
    columns,
    channelRow: blockRow(spec.dim),
    scoreRow: blockRow(columns),
    closed: spec.mask || sequences.some((s) => s.columns % 4 !== 0),
  };
}

/** Names a function that is the same for all attentions that differ in batch, heads' number or lengths only. */
export function functionKey(name: string, spec: AttentionSpec, ...more: readonly unknown[]): string {
  const { dim, scale, mask, keep } = spec;
  const rows = (["q", "k", "out", "dq"] as const).map((operand) => tensorRow(spec, operand));
  return `${name} ${JSON.stringify([dim, scale, mask, keep, keepWidth(spec), rows, blockSizes(spec), more])}`;
}

export type AttentionOperand = "q" | "k" | "v" | "out" | "dout" | "dq" | "dk" | "dv";

/** Bytes from row to row of an operand's tensor. */
export function tensorRow(spec: AttentionSpec, operand: AttentionOperand): number {
  return 4 * rowLayout(spec, operand).stride;
}

/** Addresses of one batch element and head. */
interface HeadAddresses {
  /** Of row `row` of an operand. */
  row(operand: AttentionOperand, row: Value): Value;
  /** Of `lse[b][h][row]`. */
  lse(row: Value): Value;
  /** Of `mask[b][key]`, 0 where there is no mask. */
  mask(key: Value): Value;
  /** Of `keep[b][h][row]`, 0 where there is none. */
  keep(row: Value): Value;
}

/** @param bh number of the batch element and head, b·H + h */
export function headAddresses(
  f: FunctionBuilder,
  context: KernelContext,
  spec: AttentionSpec,
  backward: boolean,
  bh: Value,
): HeadAddresses {
  const inputs = inputNames(spec, backward);
  const outputs = outputNames(spec, backward);
  const buffer = (name: string): Value =>
    inputs.includes(name) ? context.input(inputs.indexOf(name)) : context.output(outputs.indexOf(name));
  const b = f.local("i32", i32.divU(bh, i32.const(spec.heads)));
  const h = f.local("i32", i32.sub(bh, i32.mul(b, i32.const(spec.heads))));
  const at = (start: Value, element: Value): Value => i32.add(start, i32.shl(element, i32.const(2)));
  return {
    row(operand, row) {
      const { buffer: name, rows, stride, offset } = rowLayout(spec, operand);
      const within = i32.add(i32.const(offset), i32.mul(h, i32.const(spec.dim)));
      return at(buffer(name), i32.add(i32.mul(i32.add(i32.mul(b, i32.const(rows)), row), i32.const(stride)), within));
    },
    lse: (row) => at(buffer("lse"), i32.add(i32.mul(bh, i32.const(spec.queries)), row)),
    mask: (key) => (spec.mask ? at(buffer("mask"), i32.add(i32.mul(b, i32.const(spec.keys)), key)) : i32.const(0)),
    keep: (row) =>
      spec.keep
        ? at(buffer("keep"), i32.mul(i32.add(i32.mul(bh, i32.const(spec.queries)), row), i32.const(keepWidth(spec))))
        : i32.const(0),
  };
}

/**
 * Runs the units `begin` to `end` of a kernel whose units are, for each batch element and head in turn, the pieces of
 * its sequences.
 * @param pieces how many pieces each sequence has
 */
export function forUnits(
  f: FunctionBuilder,
  context: KernelContext,
  sequences: readonly Sequence[],
  pieces: readonly number[],
  body: (bh: Value, sequence: Sequence, piece: Value) => void,
): void {
  const total = pieces.reduce((a, b) => a + b, 0);
  f.for(context.begin, context.end, 1, (unit) => {
    const bh = f.local("i32", i32.divU(unit, i32.const(total)));
    const piece = f.local("i32", i32.sub(unit, i32.mul(bh, i32.const(total))));
    const from = (index: number, start: number): void => {
      const run = (): void => body(bh, sequences[index], i32.sub(piece, i32.const(start)));
      const end = start + pieces[index];
      if (index === sequences.length - 1) run();
      else f.if(i32.ltS(piece, i32.const(end)), run, () => from(index + 1, end));
    };
    from(0, 0);
  });
}

/**
 * Writes all ones for every open column of a block, and 0 for the closed ones and those that fill up the last vector.
 * @param mask address of the mask's element of the block's first key; not used where the spec has no mask
 */
export function writeOpen(f: FunctionBuilder, spec: AttentionSpec, mask: Value, columns: Value, to: Value): void {
  f.for(i32.const(0), columns, 4, (column) => {
    const left = f.local("i32", i32.sub(columns, column));
    const byte = f.local("i32", i32.shl(column, i32.const(2)));
    const open = f.local("v128", lanesBelow(left));
    if (spec.mask) {
      const source = f.local("i32", i32.add(mask, byte));
      byCount(f, left, (count) => f.set(open, v128.and(open, f32x4.ne(loadLanes(source, count), f32x4.const(0)))));
    }
    f.store(i32.add(to, byte), open);
  });
}

/** A vector of a row of scores: how many bytes further on than the first of its round, and its dropout factors. */
interface ScoreVector {
  readonly bytes: number;
  readonly keep?: Value;
}

/**
 * Walks the vectors of a row of scores, two neighbours at a time with `paired`.
 * @param columns elements of the row
 * @param keep address of the row's dropout factors, where there are any
 * @param body given where a round stands within the row, in bytes, and its vectors, whose factors have been loaded
 */
export function forScores(
  f: FunctionBuilder,
  paired: boolean,
  columns: Value,
  sizes: BlockSizes,
  keep: Value | undefined,
  body: (byte: Value, vectors: readonly ScoreVector[]) => void,
): void {
  const whole = keep && sizes.closed ? i32.and(columns, i32.const(-4)) : columns;
  const end = f.name(i32.shl(whole, i32.const(2)));
  forVectorsOf(f, paired, end, (byte, vectors) => {
    const factors = keep && f.name(i32.add(keep, byte));
    body(
      byte,
      vectors.map((bytes) => ({ bytes, keep: factors && f.local("v128", v128.load(factors, bytes)) })),
    );
  });
  if (!keep || !sizes.closed) return;
  // Nothing beside the factors is read.
  const left = f.local("i32", i32.and(columns, i32.const(3)));
  f.if(left, () => {
    const source = f.local("i32", i32.add(keep, end));
    const kept = f.local("v128", f32x4.const(0));
    byCount(f, left, (count) => f.set(kept, loadLanes(source, count)));
    body(end, [{ bytes: 0, keep: kept }]);
  });
}
